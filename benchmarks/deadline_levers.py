"""What a lever saves on a real Prefect server whose pool is full: `python -m benchmarks.deadline_levers`.

A work pool of one slot with runs waiting in it, and one more that has a deadline. The loop foresees that it will be
late and sets a goal that names it. In half of the rounds, drawn by a seed within each pair, `prefect_concurrency` is
then proposed for the goal, approved, and carried out by the loop; in the others nothing is done. What is compared is
when the run was done after it was due. The 90 % interval of the mean difference is Student's over the pairs. Nothing
else may run here: where the loop takes longer to see and to act than the queue to empty, there is nothing to save.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from scipy.stats import t as student

from api import commands
from api.facade import Facade
from api.models.goals import Answer
from api.models.proposals import ProposalIn
from api.prefect_client import Started
from flows.cycle import bare_turn, second_half
from flows.wiring import live_context
from settings import Settings, load_settings, utc_now
from storage import Store, open_store
from storage.records import GoalView
from tests.conftest import free_port
from tests.flows.prefect_pool import PrefectPool

LEVER, REPORT, BULK = "prefect_concurrency", "report/hourly", "bulk/copy"
HISTORY = 4


def main() -> int:
    """Measure and print; return 1 where the interval of what is saved holds zero."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=6)
    parser.add_argument("--waiting", type=int, default=6, help="runs that are ahead in the pool")
    parser.add_argument("--run-s", type=float, default=10.0, help="how long each of them takes")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng, saved_s = random.Random(options.seed), []
    with tempfile.TemporaryDirectory() as folder, prefect_server(Path(folder)) as url:
        bench = SaturatedPool(Path(folder), url, options.run_s, options.waiting)
        with bench.pool.worker():
            bench.remember()
            for pair in range(options.pairs):
                delays_s = {acts: bench.round(acts) for acts in rng.sample([True, False], 2)}
                saved_s.append(delays_s[False] - delays_s[True])
                told = f"done after {delays_s[True]:.1f} s with the lever, {delays_s[False]:.1f} s without"
                print(f"pair {pair + 1}: {told}", flush=True)
    mean, spread = float(np.mean(saved_s)), float(np.std(saved_s, ddof=1)) / len(saved_s) ** 0.5
    reach = float(student.ppf(0.95, len(saved_s) - 1)) * spread
    print(f"delay saved: {mean:.1f} s, 90 % interval {mean - reach:.1f} to {mean + reach:.1f} s, {len(saved_s)} pairs")
    return int(mean - reach <= 0)


class SaturatedPool:
    """A pool of one slot, and the loop that watches it."""

    def __init__(self, folder: Path, url: str, run_s: float, waiting: int) -> None:
        bound_s = run_s * waiting / 2
        (folder / "foreact.toml").write_text(f"""
[sources.prefect_runs]
api_url = "{url}"

[[objectives]]
name = "report-in-time"
kind = "deadline"
deployment = "{REPORT}"
bound = {bound_s}

[executor]
blast_radius = 1000
rate_limits = ["1000/hour"]

[actions.{LEVER}]
work_pool = "small"
api_url = "{url}"
cooldown_seconds = 0
rate_limits = ["1000/hour"]
""")
        self.settings: Settings = load_settings(folder, home=folder, prefect_api_url=url, use_default_objectives=False)
        self.store: Store = open_store()
        self.facade = Facade(self.settings, self.store, RunsByHand(), utc_now, utc_now())
        self.pool, self.waiting, self.rounds = PrefectPool(url, "small", limit=1), waiting, 0
        self.pool.deploy(REPORT, 0.5)
        self.pool.deploy(BULK, run_s)

    def remember(self) -> None:
        """Let both deployments run a few times, so that their lengths are known."""
        for name in (REPORT, BULK):
            for _ in range(HISTORY):
                self.pool.wait_for(self.pool.run(name)["id"])
        self.turn()

    def round(self, acts: bool) -> float:
        """Fill the pool and let the loop act or not; return how many seconds after it was due the run was done."""
        self.rounds += 1
        bulks = [self.pool.run(BULK)["id"] for _ in range(self.waiting)]
        run = self.pool.run(REPORT)
        self.turn()
        (goal,) = self.goals_of(run["id"])
        if acts:
            self.act(goal)
        self.pool.wait_for(run["id"], *bulks, within_s=600)
        self.pool.set_limit(1)
        self.turn()
        seen = self.pool.read(run["id"])
        return (_moment(seen["end_time"]) - _moment(run["expected_start_time"])).total_seconds()

    def act(self, goal: GoalView) -> None:
        """Propose the lever for a goal, approve it, and let the loop carry it out."""
        asked = ProposalIn(action=LEVER, params={"amount": 4}, reason="The pool is full.")
        proposed = commands.proposals.propose(self.facade, goal.goal.goal_id, asked, f"bench-{self.rounds}")
        commands.operator.answer_action(self.facade, proposed.action_id, Answer(by="operator"), approved=True)
        self.turn(second_half)
        view = self.store.actions.get(proposed.action_id)
        assert view is not None
        assert view.receipt is not None, "the loop did not carry it out"
        assert view.receipt.status == "succeeded", view.receipt.detail

    def turn(self, *body: Any) -> None:
        bare_turn(live_context(self.settings, self.store, utc_now()), *body)

    def goals_of(self, run_id: str) -> list[GoalView]:
        return [each for each in self.store.goals.open() if each.goal.because["inputs"].get("flow_run_id") == run_id]


class RunsByHand:
    """Starts nothing: the rounds run the loop themselves."""

    def running(self, deployment: str, but: str | None = None) -> Started | None:
        return None

    def run(self, deployment: str, parameters: Mapping[str, Any] | None = None, key: str | None = None) -> Started:
        return Started("", "")


@contextmanager
def prefect_server(home: Path) -> Iterator[str]:
    """Run a Prefect server of its own and return the address of its API."""
    port = free_port()
    quiet = {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1", "PREFECT_HOME": str(home / "prefect")}
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    url, give_up_s = f"http://127.0.0.1:{port}/api", time.monotonic() + 300
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(command, env={**os.environ, **quiet}, stdout=log, stderr=log, cwd=home)
    try:
        while not _is_healthy(url):
            assert time.monotonic() < give_up_s, (home / "log").read_text()
            time.sleep(0.5)
        yield url
    finally:
        server.terminate()
        server.wait(30)


def _is_healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health").is_success
    except httpx.HTTPError:
        return False


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


if __name__ == "__main__":
    raise SystemExit(main())
