"""The guides, followed on real stacks as a newcomer would, until what they promise is there; in the minutes they name.

Every file is written and every command typed as the page has it, with other ports and folders. `make guides` runs this.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import httpx
import pytest

from tests import PROJECT
from tests.conftest import free_port
from tests.e2e.conftest import BUSY_RATIO, STOPPING_S, wait_for
from tests.test_guides import written

pytestmark = [pytest.mark.guides, pytest.mark.slow, pytest.mark.timeout(1_200)]
PATH_LINE = 'export PATH="$HOME/foreact/.venv/bin:$PATH"'


@dataclass
class Newcomer:
    """Someone with a clone in their home, who types what pages say into terminals in a folder."""

    folder: Path
    pages: str = ""
    begun_s: float = field(default_factory=time.monotonic)
    terminals: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Choose what stands for the ports and folders of the pages, and clone."""
        self.instead = {each: str(free_port()) for each in ("5003", "4200", "8099", "5999", "9090")}
        self.instead |= {each: str(self.folder / each.strip("/")) for each in ("/backups", "/tmp")}
        for each in ("home/foreact", "backups", "tmp"):
            (self.folder / each).mkdir(parents=True)
        (self.folder / "home" / "foreact" / ".venv").symlink_to(sys.prefix)
        (self.folder / "output.txt").touch()

    def here(self, text: str) -> str:
        """Return a text of a page with our ports and folders."""
        names = "|".join(map(re.escape, self.instead))
        return re.sub(rf"(?<![\w/])({names})(?!\w)", lambda found: self.instead[found[1]], text)

    def write(self, page: str) -> None:
        """Write the files of a page."""
        text = written(page, self.folder)
        self.read(page)
        for name in re.findall(r"^```\w+ (\S+)$", text, re.MULTILINE):
            (self.folder / name).write_text(self.here((self.folder / name).read_text()))
        ports = f"\n[server]\nport = {self.instead['5003']}\nprefect_port = {self.instead['4200']}\n"
        with (self.folder / "foreact.toml").open("a") as file:
            file.write(ports)

    def read(self, page: str) -> None:
        """Open a further page."""
        self.pages += (PROJECT / "docs" / page).read_text()

    def open(self, *lines: str) -> subprocess.Popen[bytes]:
        """Type lines into a new terminal, where they go on."""
        with (self.folder / "output.txt").open("ab") as output:
            self.terminals.append(self._terminal(lines, output))
        return self.terminals[-1]

    def type(self, *lines: str) -> str:
        """Type lines into a terminal, and return what they print."""
        status, said = self.attempt(*lines)
        assert status == 0, said
        return said

    def attempt(self, *lines: str) -> tuple[int, str]:
        """Type lines into a terminal, and return with what they end and what they print."""
        terminal = self._terminal(lines, subprocess.PIPE)
        said = terminal.communicate(timeout=120)[0].decode()
        return terminal.returncode, said

    def _terminal(self, lines: Sequence[str], output: int | IO[bytes]) -> subprocess.Popen[bytes]:
        assert all(line in self.pages for line in lines), lines
        # Where the tests run in the background Ctrl-C is ignored, and would be in a terminal that is opened from there.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        ours = ("FOREACT_", "PREFECT_", "PYTHON")
        environment = {name: text for name, text in os.environ.items() if not name.startswith(ours)}
        return subprocess.Popen(
            ["bash", "-e", "-c", "\n".join([PATH_LINE, *map(self.here, lines)])],
            cwd=self.folder,
            env=environment | {"HOME": str(self.folder / "home"), "COLUMNS": "120"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def start(self) -> subprocess.Popen[bytes]:
        """Start foreact, and return when its first cycle is done."""
        before = self.output.count("first cycle completed")
        stack = self.open("foreact up")
        wait_for("the first cycle", lambda: self.output.count("first cycle completed") > before, 180)
        return stack

    def interrupt(self, terminal: subprocess.Popen[bytes]) -> int:
        """Press Ctrl-C in a terminal."""
        if terminal.poll() is None:
            os.killpg(terminal.pid, signal.SIGINT)
        return terminal.wait(BUSY_RATIO * STOPPING_S)

    @property
    def output(self) -> str:
        """Return what the terminals that go on printed."""
        return (self.folder / "output.txt").read_text()

    @property
    def minutes(self) -> float:
        """Return how long it took so far."""
        return (time.monotonic() - self.begun_s) / 60

    def api(self, path: str) -> Any:
        """Ask the facade."""
        return httpx.get(f"http://127.0.0.1:{self.instead['5003']}/api/autonomous{path}", trust_env=False).json()

    def set_level(self, level: str) -> None:
        """Set the level of the action in foreact.toml, with the rest after an act that the guide names."""
        file, rest = self.folder / "foreact.toml", "\ncooldown_seconds = 10"
        assert f'level = "recommend"{rest}' in self.pages
        changed = re.sub(rf"^level = .*$({rest})?", f'level = "{level}"{rest}', file.read_text(), flags=re.MULTILINE)
        file.write_text(changed)

    def acts(self, level: str, is_open: bool = False) -> list[str]:
        """Return the ids of the acts of a level, newest first; only those that nobody has answered, where `is_open`."""
        rows = self.api("/actions")["actions"]
        return [
            row["action"]["action_id"]
            for row in sorted(rows, key=lambda row: row["action"]["due_at"], reverse=True)
            if row["action"]["level"] == level
            and not row["action"]["dry_run"]
            and not (is_open and (row["approval"] or row["receipt"]))
        ]

    def workers(self) -> int:
        """Return how many workers the service of the guide has."""
        address = f"http://127.0.0.1:{self.instead['8099']}/"
        return int(httpx.get(address, trust_env=False).json()["workers"])

    def leave(self) -> None:
        """Press Ctrl-C in all terminals, the last opened first; what does not end by that is killed, and told."""
        stuck = []
        for terminal in reversed(self.terminals):
            try:
                self.interrupt(terminal)
            except subprocess.TimeoutExpired:
                os.killpg(terminal.pid, signal.SIGKILL)
                stuck.append(str(terminal.args))
        assert stuck == []


@pytest.fixture
def newcomer(tmp_path: Path) -> Iterator[Newcomer]:
    someone = Newcomer(tmp_path)
    try:
        yield someone
    finally:
        someone.leave()
        print(someone.output[-3_000:])


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newcomer]:
    """Return someone who has followed the guide to watching a service until an effect was measured."""
    someone = Newcomer(tmp_path_factory.mktemp("service"))
    try:
        someone.write("watch-my-service.md")
        someone.start()
        someone.open("python service.py")
        _give_it_two_minutes(someone)
        assert "response_ms" in someone.type("foreact forecast response_ms")
        someone.type("curl -X PATCH http://127.0.0.1:8099/ -d '{\"requests_per_second\": 60}'")
        wait_for("a goal", lambda: "shop-is-fast" in str(someone.api("/goals")), 180)
        workers = "curl http://127.0.0.1:8099/"
        wait_for("more workers", lambda: '"workers": 4' in someone.type(workers), 180, every_s=2)
        effect = r"more_workers\s+BOTTLENECK_PREVENTION\s+\d+\s+\+\d"
        wait_for("an effect", lambda: re.search(effect, someone.type("foreact insights")), 240, every_s=2)
        yield someone
    finally:
        someone.leave()
        print(someone.output[-3_000:])


def _give_it_two_minutes(someone: Newcomer) -> None:
    """Wait as the page says: until the first forecast, and for two minutes since the service began."""
    assert "Give it two minutes:" in someone.pages
    began_s = time.monotonic()
    wait_for("a forecast", lambda: _is_forecast(someone, "response_ms"), 240)
    time.sleep(max(0.0, 120 - (time.monotonic() - began_s)))


def _is_forecast(someone: Newcomer, series: str) -> bool:
    return any(each["series"].startswith(series) and each["refusal"] is None for each in _series(someone))


def _series(someone: Newcomer) -> list[dict[str, Any]]:
    return list(someone.api("/predictions?horizon_hours=0.1")["series"])


def test_a_service_is_watched_helped_and_the_effect_measured_within_ten_minutes(owner: Newcomer) -> None:
    print(f"\nwatch-my-service.md: {owner.minutes:.1f} min to a measured effect")
    assert owner.minutes <= 10
    assert "more_workers" in owner.type("foreact actions")


def test_a_metric_sent_by_hand_has_an_objective_and_a_goal_in_a_minute(owner: Newcomer) -> None:
    owner.read("start.md")
    shown = re.search(r"## 4\. Say what you want.*?```sh\n(.*?)```", owner.pages, re.DOTALL)
    assert shown is not None
    begun_s = time.monotonic()
    owner.type(*shown[1].partition("foreact cycle")[0].strip().splitlines())
    # Here a cycle begins every half minute: while one runs, another is refused.
    wait_for("a cycle", lambda: owner.attempt("foreact cycle")[0] == 0, 60, every_s=2)
    goals = wait_for("its goal", lambda: "orders-flow" in str(owner.api("/goals")) and owner.type("foreact goals"), 90)
    assert "orders_waiting" in goals
    print(f"\nstart.md: {(time.monotonic() - begun_s) / 60:.1f} min from the history to its goal")
    owner.type("curl -X DELETE http://127.0.0.1:5003/api/autonomous/objectives/orders-flow")


def test_a_backup_is_restored_beside_what_runs_and_then_in_earnest(owner: Newcomer) -> None:
    owner.read("production.md")
    begun_s = time.monotonic()
    owner.type("foreact backup /backups/monday.duckdb")
    checked = subprocess.run(
        ["sha256sum", "--check", "monday.duckdb.sha256"], cwd=owner.folder / "backups", capture_output=True, text=True
    )
    assert checked.stdout == "monday.duckdb: OK\n"
    shown = re.search(r"Practise the restore.*?```sh\n(.*?)```", owner.pages, re.DOTALL)
    assert shown is not None
    practised = owner.type(*shown[1].strip().splitlines())
    assert "restored" in practised
    assert "intact" in practised
    (stack,) = (each for each in owner.terminals if "foreact up" in str(each.args))
    assert owner.interrupt(stack) == 0
    owner.type("foreact restore /backups/monday.duckdb --replace")
    owner.start()
    assert "more_workers" in owner.type("foreact insights")
    print(
        f"\nproduction.md: {(time.monotonic() - begun_s) / 60:.1f} min from the backup to a restored foreact that runs"
    )


def test_a_pipeline_that_will_be_late_is_foretold_within_five_minutes(newcomer: Newcomer) -> None:
    newcomer.write("prefect-deadlines.md")
    newcomer.start()
    newcomer.open("PREFECT_API_URL=http://127.0.0.1:4200/api python pipeline.py")

    def foretold() -> Any:
        breaches = newcomer.api("/predictions?horizon_hours=1")["breaches"]
        return next((each for each in breaches if each["objective"] == "load-within-15-s"), None)

    breach = wait_for("a probability", foretold, 420, every_s=1)
    print(f"\nprefect-deadlines.md: {newcomer.minutes:.1f} min to a probability ({breach['probability']:.0%})")
    assert newcomer.minutes <= 5
    assert breach["probability"] > 0.5
    assert "load-within-15-s" in newcomer.type("foreact status")
    wait_for("a goal", lambda: "load-within-15-s" in str(newcomer.api("/goals")), 180)
    print(newcomer.type("foreact goals"))


@pytest.fixture
def prometheus(newcomer: Newcomer) -> Iterator[None]:
    """Run a Prometheus that scrapes itself, with two hours of history."""
    if not (shutil.which("prometheus") and shutil.which("promtool")):
        pytest.skip("Prometheus is not installed (Debian: apt install prometheus)")
    port, folder, now_s = newcomer.instead["9090"], newcomer.folder, time.time()
    metric, labels = "process_resident_memory_bytes", f'{{job="prometheus",instance="127.0.0.1:{port}"}}'
    values = [(now_s - 7_200 + 15 * step, 1e8 + 2e6 * (step % 40)) for step in range(480)]
    lines = [f"# TYPE {metric} gauge", *(f"{metric}{labels} {value} {at_s:.0f}" for at_s, value in values), "# EOF", ""]
    (folder / "history.txt").write_text("\n".join(lines))
    backfill = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "history.txt", "data"]
    subprocess.run(backfill, cwd=folder, check=True, capture_output=True)
    job = f'{{job_name: prometheus, scrape_interval: 1s, static_configs: [{{targets: ["127.0.0.1:{port}"]}}]}}'
    (folder / "prometheus.yml").write_text(f"scrape_configs: [{job}]\n")
    options = ["--config.file=prometheus.yml", "--storage.tsdb.path=data", f"--web.listen-address=127.0.0.1:{port}"]
    with (folder / "prometheus.log").open("wb") as log:
        server = subprocess.Popen(["prometheus", *options], cwd=folder, stdout=log, stderr=log)
    try:
        yield
    finally:
        server.terminate()
        server.wait(STOPPING_S)


def test_what_a_prometheus_has_is_forecast_within_five_minutes(newcomer: Newcomer, prometheus: None) -> None:
    newcomer.begun_s = time.monotonic()
    newcomer.write("prometheus.md")
    newcomer.start()
    wait_for("a forecast", lambda: _is_forecast(newcomer, "prometheus_memory_mb"), 180)
    assert "prometheus_memory_mb" in newcomer.type("foreact forecast prometheus_memory_mb")
    print(f"\nprometheus.md: {newcomer.minutes:.1f} min to a forecast of what Prometheus has")
    assert newcomer.minutes <= 5
    assert "foreact_breach_probability" in newcomer.type("curl -s http://127.0.0.1:5003/metrics")


def test_an_action_goes_from_recommend_to_auto_and_back_by_what_the_guide_says(newcomer: Newcomer) -> None:
    newcomer.write("watch-my-service.md")
    newcomer.read("from-recommend-to-auto.md")
    newcomer.set_level("recommend")
    newcomer.start()
    newcomer.open("python service.py")
    _give_it_two_minutes(newcomer)
    newcomer.begun_s = time.monotonic()
    newcomer.type("curl -X PATCH http://127.0.0.1:8099/ -d '{\"requests_per_second\": 60}'")
    newcomer.instead["ACTION"] = wait_for("a recommendation", lambda: newcomer.acts("recommend", is_open=True), 180)[0]
    assert "shop-is-fast" in str(newcomer.api("/goals"))
    assert "response_ms" in newcomer.type("foreact goals")
    assert newcomer.workers() == 2

    newcomer.set_level("approve")
    newcomer.type("foreact reject ACTION")
    newcomer.instead["ACTION"] = wait_for("a question", lambda: newcomer.acts("approve", is_open=True), 180)[0]
    assert newcomer.instead["ACTION"] in newcomer.type("foreact actions")
    newcomer.type("foreact approve ACTION --dry-run")
    rehearsed = r"would set\s+\S+\s+from\s+2\s+to\s+4"
    wait_for("what it would do", lambda: re.search(rehearsed, newcomer.type("foreact actions")), 60)
    assert newcomer.workers() == 2
    newcomer.type("foreact approve ACTION")
    wait_for("four workers", lambda: newcomer.workers() == 4, 60)
    newcomer.type("foreact undo ACTION")
    wait_for("two workers again", lambda: newcomer.workers() == 2, 60)

    newcomer.set_level("auto")
    wait_for("more workers, unasked", lambda: newcomer.workers() > 2, 240)
    newcomer.type("foreact mode stop --note REASON")
    assert "kill switch" in newcomer.type("foreact status")
    newcomer.type("foreact mode release --note REASON", "foreact mode off")
    assert "more_workers" in newcomer.type("foreact rollout")
    audit = newcomer.type("foreact audit")
    assert "REASON" in audit
    assert "reject" in audit
    print(f"\nfrom-recommend-to-auto.md: {newcomer.minutes:.1f} min from the first recommendation to auto and back")
