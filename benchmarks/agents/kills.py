"""Kill processes that share a budget at random moments, and look whether more was ever held than there is.

One facade grants workers to four loops, each a process with a database and a clock of its own; whichever is killed
comes back after a while, sometimes only when its lease is long over. The counts are real, on disk, and their sum is
looked at in every change; every act leaves its mark.
"""

from __future__ import annotations

import multiprocessing
import random
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from benchmarks.agents.counted import CountedPool
from benchmarks.agents.kill_lives import SAFE, coordinate, look_after
from storage.engine.local import LocalEngine
from storage.store import open_store

NEEDED = [
    *("api.app", "flows.cycle", "flows.wiring", "uvicorn", "httpx", "benchmarks.agents.kill_lives"),
    *("pandas", "pytz", "scipy.optimize", "scipy.linalg", "scipy.spatial", "scipy.cluster", "scipy.sparse"),
]
SETTLE_S, LONG_AWAY_S = 10.0, 8.0
MOST_OFFSET_S, MOST_DRIFT_RATIO = 7_200.0, 0.01
COORDINATOR = "coordinator"


@dataclass(frozen=True)
class KillResult:
    """What was found after so many kills: the most that was held at once, acts done twice, receipts that are untrue.

    `acts` were done, with `rises` of them something was added; `leases` were granted.
    """

    kills: int
    total: int
    most: int
    acts: int
    rises: int
    twice: tuple[str, ...]
    leases: int
    untrue: tuple[str, ...]

    @property
    def troubles(self) -> list[str]:
        """Return what must not be, in words."""
        over = [f"{self.most} were held at once, of {self.total}"] if self.most > self.total else []
        idle = [f"no more than {self.most} of {self.total} were ever held: nothing was tried"]
        return [
            *over,
            *(f"{act} was done twice" for act in self.twice),
            *self.untrue,
            *(idle if self.most < self.total else []),
        ]


class KillTown:
    """The processes that may be killed, by name, started from one that has imported all they need."""

    def __init__(self, folder: Path, agents: int, total: int, rng: random.Random) -> None:
        self.folder, self.total, self.rng, self.port = folder, total, rng, free_port()
        self.begun_s = time.time()
        self.names = [f"agent-{number}" for number in range(agents)]
        self._clocks = [
            (rng.uniform(-MOST_OFFSET_S, MOST_OFFSET_S), rng.uniform(-MOST_DRIFT_RATIO, MOST_DRIFT_RATIO))
            for _ in self.names
        ]
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(NEEDED)
        self.living: dict[str, ForkServerProcess] = {}
        self.pool = CountedPool(folder / "pool")
        self.pool.folder.mkdir()
        for name in self.names:
            self.pool.set(name, SAFE, f"at first, {name}")

    def start(self, name: str) -> None:
        """Start a process anew."""
        if name == COORDINATOR:
            arguments = (str(self.folder / name), self.port, self.total, self.names, self.begun_s)
            process = self._context.Process(target=coordinate, args=arguments, daemon=True)
        else:
            number = self.names.index(name)
            arguments_of = (str(self.folder), self.port, number, self.begun_s, *self._clocks[number])
            process = self._context.Process(target=look_after, args=arguments_of, daemon=True)
        process.start()
        self.living[name] = process

    def turn_s(self) -> float:
        """Return how long a turn of a loop took on average up to now, in seconds."""
        turns = sum(file.stat().st_size for file in self.folder.glob("*/turns"))
        return min(2.0, (time.time() - self.begun_s) * len(self.names) / max(turns, 1))

    def kill(self, name: str) -> bool:
        """Kill a process, wherever it is; False where it had ended by itself."""
        process = self.living.pop(name)
        is_alive = process.is_alive()
        process.kill()
        process.join()
        return is_alive


def run_kills(
    folder: Path, kills: int, seed: int, agents: int = 4, total: int = 10, say: Callable[[int], None] = lambda n: None
) -> KillResult:
    """Kill so many processes, one after the other, and return what was found."""
    rng = random.Random(seed)
    town = KillTown(folder, agents, total, rng)
    ended: list[str] = []
    back_at: dict[str, float] = {}
    for name in (COORDINATOR, *town.names):
        town.start(name)
    try:
        time.sleep(SETTLE_S)
        for number in range(kills):
            # By the time of a turn, so that on any machine a process lives for some of them.
            deadline_s = time.monotonic() + rng.uniform(0, town.turn_s())
            while time.monotonic() < deadline_s or not town.living:
                _bring_back(town, back_at)
                time.sleep(0.01)
            name = rng.choice(sorted(town.living))
            if not town.kill(name):
                ended.append(f"{name} ended by itself before kill {number}")
            away_s = LONG_AWAY_S if rng.random() < 0.1 else rng.uniform(0, town.turn_s())
            back_at[name] = time.monotonic() + away_s
            say(number + 1)
        _settle(town, back_at)
    finally:
        for name in list(town.living):
            town.kill(name)
    return _found(town, kills, ended)


def _bring_back(town: KillTown, back_at: dict[str, float]) -> None:
    for name in [name for name, at_s in back_at.items() if time.monotonic() >= at_s]:
        del back_at[name]
        town.start(name)


def _settle(town: KillTown, back_at: dict[str, float]) -> None:
    """Let all that were killed come back, and go on for a while."""
    deadline_s = time.monotonic() + LONG_AWAY_S + 3.0
    while time.monotonic() < deadline_s:
        _bring_back(town, back_at)
        time.sleep(0.05)


def _found(town: KillTown, kills: int, ended: list[str]) -> KillResult:
    lines = town.pool.lines()
    marks = {str(line["act"]) for line in lines}
    untrue, rises = list(ended), 0
    before: dict[str, int] = {}
    for line in lines:
        holder, count = str(line["holder"]), int(str(line["count"]))
        rises += count > before.get(holder, count)
        before[holder] = count
    for name in town.names:
        with open_store(town.folder / name / "f.duckdb") as store:
            for view in store.actions.latest(100_000):
                status = str(view.receipt.status) if view.receipt else ""
                if status == "succeeded" and view.action.name == "set_workers" and view.action.action_id not in marks:
                    untrue.append(f"{view.action.action_id} of {name} has a receipt, and was not done")
    with open_store(town.folder / COORDINATOR / "foreact.duckdb") as store:
        assert isinstance(store.engine, LocalEngine)
        leases = int(store.engine.rows("SELECT coalesce(max(token), 0) FROM shared_leases")[0][0])
    return KillResult(
        kills=kills,
        total=town.total,
        most=town.pool.most(),
        acts=len(lines),
        rises=rises,
        twice=tuple(town.pool.done_twice()),
        leases=leases,
        untrue=tuple(untrue),
    )


def free_port() -> int:
    """Return a port of this machine that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
