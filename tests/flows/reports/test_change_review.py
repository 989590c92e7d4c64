"""A change of the configuration is reviewed: by history, by logged decisions, and for a pull request."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from api.facade import Facade
from api.queries.backtests import reviews
from cli.app import app
from flows.change_review import logged_change
from flows.prometheus_history import PrometheusQuestion, queries_from, source_options
from flows.reports.pull_request import key_changes
from flows.side_by_side import Replayed, side_by_side
from settings import load_settings
from storage import ForeactError, TransientError, open_store
from storage.records import NOTHING, Alternative
from storage.samples import SampleColumns
from tasks.learn.reports.configured_policy import ConfiguredPolicy, shares_of

NOW_S = int(time.time()) // 300 * 300
CONFIGURATION = """
use_default_objectives = false
[[objectives]]
name = "load"
metric = "load"
bound = {bound}
horizon_s = 7200
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def filled_prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a Prometheus that holds two days of `load`, which climbs and falls each eight hours."""
    server, tool = shutil.which("prometheus"), shutil.which("promtool")
    if server is None or tool is None:
        pytest.skip("Prometheus is not installed (Debian: apt install prometheus)")
    folder = tmp_path_factory.mktemp("prometheus")
    lines = ["# TYPE load gauge"]
    for step in range(576):
        at_s = NOW_S - 300 * (575 - step)
        lines.append(f"load {40 + 45 * (step % 96) / 96 + step % 3} {at_s}")
    (folder / "in.om").write_text("\n".join([*lines, "# EOF", ""]))
    (folder / "prometheus.yml").write_text("{}")
    words = ["tsdb", "create-blocks-from", "openmetrics", str(folder / "in.om"), str(folder / "data")]
    subprocess.run([tool, *words], check=True, capture_output=True)
    address = f"127.0.0.1:{free_port()}"
    arguments = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    with (folder / "log").open("w") as log:
        running = subprocess.Popen(
            [server, *arguments, f"--web.listen-address={address}", "--storage.tsdb.retention.time=60d"],
            stdout=log,
            stderr=log,
        )
    try:
        _wait_for(f"http://{address}/-/ready")
        yield f"http://{address}"
    finally:
        running.terminate()
        running.wait(30)


def _wait_for(url: str) -> None:
    for _ in range(300):
        try:
            if httpx.get(url).is_success:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    pytest.fail("Prometheus did not start")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "foreact.toml").write_text(CONFIGURATION.format(bound=80))
    (tmp_path / "main.toml").write_text(CONFIGURATION.format(bound=78))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def reviewed(url: str, *more: str) -> Any:
    words = ["backtest", "--prometheus", url, "--against", "main.toml", "--days", "1", "--every-minutes", "120"]
    return CliRunner().invoke(app, [*words, *more])


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_month_of_a_real_prometheus_is_gone_through_with_both_configurations(
    filled_prometheus: str, folder: Path
) -> None:
    answer = reviewed(filled_prometheus, "--query", "load=load", "--query", "none=absent_metric", "--markdown", "r.md")
    assert answer.exit_code == 0, answer.output + str(answer.exception)
    text = (folder / "r.md").read_text()
    assert text.startswith("## foreact: `foreact.toml` against `main.toml`")
    assert "| breaches | " in text
    assert "The query for none gives nothing in this time." in text
    assert "| `objectives.load.bound` | `78.0` | `80.0` |" in text
    (kept,) = (folder / ".foreact" / "reports").glob("review-*.json")
    record = json.loads(kept.read_text())
    breaches = next(each for each in record["figures"] if each["name"] == "breaches")
    assert breaches["before"] > 0
    assert record["markdown"] == text
    assert not (folder / ".foreact" / "foreact.duckdb").exists(), "nothing of the history is recorded here"


def test_a_query_that_gives_nothing_is_refused_in_a_sentence(filled_prometheus: str, folder: Path) -> None:
    with pytest.raises(ForeactError, match="Prometheus has nothing of this for") as refused:
        raise reviewed(filled_prometheus, "--query", "load=absent_metric").exception
    assert refused.value.code == "history_empty"


def test_a_prometheus_that_is_not_there_is_told_in_a_sentence(folder: Path) -> None:
    answer = reviewed(f"http://user:word@127.0.0.1:{free_port()}", "--query", "load=load")
    assert isinstance(answer.exception, TransientError)
    assert "cannot be reached" in str(answer.exception)
    assert "word" not in str(answer.exception)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--query", "load"], "query_unreadable"),
        ([], "prometheus_queries"),
        (["--query", "load=load", "--config", "broken.toml"], "configuration_invalid"),
        (["--query", "load=load", "--markdown", "no/such/folder.md"], "folder_not_found"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_is_read(folder: Path, words: list[str], code: str) -> None:
    (folder / "broken.toml").write_text("[[objectives]\n")
    answer = reviewed(f"http://127.0.0.1:{free_port()}", *words)
    assert isinstance(answer.exception, ForeactError)
    assert answer.exception.code == code


def test_a_query_without_a_prometheus_and_a_review_without_a_second_file_are_refused(folder: Path) -> None:
    for words, code in ((["--query", "a=b"], "query_needs_prometheus"), (["--markdown", "x"], "markdown_needs_two")):
        answer = CliRunner().invoke(app, ["backtest", *words])
        assert isinstance(answer.exception, ForeactError)
        assert answer.exception.code == code


def test_a_configured_login_goes_to_the_configured_server_alone(tmp_path: Path) -> None:
    source = {"url": "http://here:9090", "queries": {"a": "b"}, "headers": {"Authorization": "Bearer x"}}
    settings = load_settings(tmp_path, home=tmp_path, sources={"prometheus": source})
    here, there = (
        source_options(settings, PrometheusQuestion(url, {})) for url in ("http://here:9090/", "http://elsewhere:9090")
    )
    assert here["headers"] == {"Authorization": "Bearer x"}
    assert there["headers"] == {}
    assert queries_from(['x=sum(a{b="c"})']) == {"x": 'sum(a{b="c"})'}


def test_without_logged_decisions_a_review_says_so_and_opens_no_store(tmp_path: Path) -> None:
    settings = load_settings(tmp_path, home=tmp_path)
    estimate, note = logged_change(settings, settings)
    assert estimate is None
    assert "No decision was logged here" in note
    assert not settings.database_path.exists()


def test_what_differs_is_named_by_the_objective_it_belongs_to() -> None:
    before = {"objectives": [{"name": "a", "bound": 1}, {"name": "b", "bound": 2}], "agent": {"name": "x"}}
    after = {"objectives": [{"name": "b", "bound": 3}], "agent": {"name": "x"}}
    assert [(each.key, each.before, each.after) for each in key_changes(before, after)] == [
        ("objectives.a.bound", 1, None),
        ("objectives.b.bound", 2, 3),
    ]


NAMES = ("nothing", "one", "two", "three")


@given(
    gains=st.lists(st.floats(-2, 2), min_size=3, max_size=3),
    allowed=st.sets(st.sampled_from(NAMES[1:])),
    costs=st.dictionaries(st.sampled_from(NAMES[1:]), st.floats(0, 2)),
    holdout=st.floats(0, 0.5),
    severity=st.floats(0, 1),
)
def test_the_probabilities_of_a_configuration_sum_to_one_and_nothing_forbidden_has_any(
    gains: list[float], allowed: set[str], costs: dict[str, float], holdout: float, severity: float
) -> None:
    weighed = [
        Alternative(action=name, value=gain, gain=gain, cost=0.0, propensity=0.3)
        for name, gain in zip(NAMES[1:], gains, strict=True)
    ]
    policy = ConfiguredPolicy({name: frozenset() for name in allowed}, costs, holdout, frozenset(NAMES))
    shares = shares_of(policy, weighed, "SLA_MAINTENANCE", severity)
    assert sum(shares.values()) == pytest.approx(1)
    assert shares.keys() <= allowed | {NOTHING}
    assert all(share >= 0 for share in shares.values())
    assert severity >= 0.9 or shares.get(NOTHING, 0.0) >= holdout


def test_a_refusal_in_a_process_of_its_own_arrives_as_it_is(tmp_path: Path) -> None:
    settings = load_settings(tmp_path, home=tmp_path, use_default_objectives=False)
    end = datetime(2026, 3, 2, tzinfo=UTC)
    with pytest.raises(ForeactError, match="Nothing was recorded between") as refused:
        side_by_side([Replayed(settings, "one", SampleColumns.of(()), end - timedelta(days=1), end, 3_600)])
    assert refused.value.code == "history_empty"
    assert refused.value.remedy


def test_reviews_that_were_made_here_are_listed_newest_first_and_a_broken_one_is_left_out(tmp_path: Path) -> None:
    settings = load_settings(tmp_path, home=tmp_path)
    now = datetime(2026, 3, 4, tzinfo=UTC)
    facade = Facade(settings, open_store(), cast(Any, None), lambda: now, started_at=now)
    folder = tmp_path / "reports"
    folder.mkdir()
    record = {"before": "main.toml", "after": "foreact.toml", "worse": [], "figures": [], "configuration": []}
    record |= {"logged_decisions": None, "logged_note": "", "notes": [], "markdown": "text"}
    for day in (1, 2):
        told = record | {"at": f"2026-03-0{day}T00:00:00Z"}
        (folder / f"review-2026-03-0{day}T00-00-00.json").write_text(json.dumps(told))
    (folder / "review-2026-03-03T00-00-00.json").write_text("{")
    assert [each.at.day for each in reviews(facade).reviews] == [2, 1]
