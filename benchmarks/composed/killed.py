"""A sequence of three acts whose process is killed at every moment in turn: what is there once another went on.

Moments lie before and after each durable step (intent, receipt, planned undo, audit line, fact) and each effect. A life
kills itself with SIGKILL at one of them; the next one goes on with the file. Forked from one process, so that a life
costs a tenth of a second.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import random
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from flows.cycle import acting, bare
from flows.wiring import live_context
from handlers import ActionHandler, from_callable
from settings import load_settings
from storage import Store, open_store
from storage.facts import SEQUENCE_ENDS
from storage.records import (
    Action,
    Autonomy,
    Goal,
    GoalState,
    GoalType,
    Receipt,
    ReceiptStatus,
    Sample,
    Transition,
    stable_id,
)
from tasks.execute.task import execute

PR_SET_CHILD_SUBREAPER = 36
START = datetime(2026, 3, 2, 12, tzinfo=UTC)
PAUSE = timedelta(minutes=6)
TURNS = 14
NAMES = ("one", "two", "three")
SEQUENCE = stable_id("sequence", "killed")
SERIES = "latency"


@dataclass(frozen=True)
class Scenario:
    """What happens in a sequence: which step fails, which cannot be undone, and whether checks can tell."""

    name: str
    fails: str = ""
    irreversible: str = ""
    is_blind: bool = False


SCENARIOS = (
    Scenario("all steps succeed"),
    Scenario("the second fails", fails="two"),
    Scenario("the third fails", fails="three"),
    Scenario("the third fails, the second cannot be undone", fails="three", irreversible="two"),
    Scenario("the third fails, and no check can tell", fails="three", is_blind=True),
)


@dataclass
class Moments:
    """Counts the moments of a life, and ends it at one of them; at none where that is None."""

    dies_at: int | None
    seen: int = 0

    def pass_by(self) -> None:
        """Note a moment."""
        self.seen += 1
        if self.seen - 1 == self.dies_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, step: Callable[..., Any]) -> Callable[..., Any]:
        """Return a step with a moment before it and one after."""

        def run(*given: Any, **named: Any) -> Any:
            self.pass_by()
            done = step(*given, **named)
            self.pass_by()
            return done

        return run


@dataclass
class Told:
    """What a round came to: where it was killed, what was really done, and what does not hold."""

    scenario: str
    killed_at: list[int]
    how: str = ""
    marks: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)


def actions_of(folder: Path, scenario: Scenario, moments: Moments) -> dict[str, ActionHandler]:
    """Return three actions that write down what they do and undo."""
    file = folder / "marks"

    def note(word: str) -> dict[str, Any]:
        moments.pass_by()
        with file.open("a") as lines:
            lines.write(f"{word}\n")
        moments.pass_by()
        return {"success": True}

    def action(name: str) -> ActionHandler:
        def run(params: Mapping[str, Any], goal_id: str) -> dict[str, Any]:
            return {"success": False, "detail": "it cannot"} if name == scenario.fails else note(f"do {name}")

        def undo(params: Any, before: Any, context: Any) -> dict[str, Any]:
            return note(f"undo {name}")

        def check(params: Any, before: Any, context: Any) -> str:
            return "succeeded" if name in in_place(marks_in(folder)) else "skipped"

        hooks: dict[str, Callable[..., Any]] = {} if scenario.is_blind else {"check": check}
        hooks |= {} if name == scenario.irreversible else {"undo": undo}
        limits: dict[str, Any] = {"cooldown_s": 0.0, "rate_limits": (), "timeout_s": 20.0, "latency_s": 0.0}
        return from_callable(name, run, default_level="auto", hooks=hooks, runs_in_process=True, **limits)

    return {name: action(name) for name in NAMES}


def marks_in(folder: Path) -> list[str]:
    """Return what was really done, line by line."""
    file = folder / "marks"
    return file.read_text().splitlines() if file.exists() else []


def in_place(marks: list[str]) -> list[str]:
    """Return the steps whose effect is there."""
    return [name for name in NAMES if f"do {name}" in marks and f"undo {name}" not in marks]


def turn(folder: Path, scenario: Scenario, number: int, dies_at: int | None) -> dict[str, Any]:
    """Run the execute stage once, and die at a moment; return how many there were and how the sequence stands."""
    tick, moments = START + number * PAUSE, Moments(dies_at)
    with open_store(folder / "loop.duckdb", clock=lambda: tick) as store:
        if not store.goals.open():
            _plan(store)
        store.samples.append([Sample(metric=SERIES, value=1.0, ts=tick)])
        actions = actions_of(folder, scenario, moments)
        settings = load_settings(folder, home=folder)
        context = live_context(settings, store, tick, actions=actions, now=lambda: tick)
        _arm(store, moments)
        execute.fn(context, acting(bare))
        end = store.facts.get(SEQUENCE_ENDS.of(SEQUENCE))
        return {"moments": moments.seen, "how": end.how if end else "", "why": end.reason if end else ""}


def _arm(store: Store, moments: Moments) -> None:
    for table, name in (
        (store.actions, "claim"),
        (store.actions, "finish"),
        (store.actions, "append"),
        (store.audit, "append"),
        (store.facts, "set"),
    ):
        setattr(table, name, moments.around(getattr(table, name)))


def _plan(store: Store) -> None:
    numbers = dict.fromkeys(("severity", "probability", "urgency", "priority"), 0.5)
    goal = Goal(
        goal_id="goal",
        goal_type=GoalType.BOTTLENECK_PREVENTION,
        description="Keep going",
        cause="killed",
        created_at=START,
        deadline=START + timedelta(days=9),
        **numbers,
    )
    opening = Transition(goal_id="goal", state=GoalState.ACTIVE, at=START, reason="begun", progress=0.0)
    store.goals.append([goal], [opening], "cycle")
    steps = [
        Action(
            action_id=f"step-{name}",
            name=name,
            target=name,
            goal_id="goal",
            goal_type=goal.goal_type,
            plan_id="plan",
            decision_id="decision",
            level=Autonomy.AUTO,
            created_at=START,
            due_at=START,
            expires_at=START + timedelta(days=1),
            series=SERIES,
            sequence_id=SEQUENCE,
            position=position,
            steps=NAMES,
        )
        for position, name in enumerate(NAMES)
    ]
    store.actions.append(steps, "cycle")


def troubles_of(folder: Path, scenario: Scenario, end: Mapping[str, Any]) -> list[str]:
    """Return what does not hold at the end: everything is restored or told, nothing was done twice."""
    marks, how, why = marks_in(folder), end["how"], end["why"]
    there = in_place(marks)
    found = {
        f"something was done twice: {marks}": len(marks) != len(set(marks)),
        f"it never ended: {marks}": not how,
        f"it ended as done with {there} in place": how == "done" and there != list(NAMES),
        f"it ended as {how} with {there} in place": how in {"undone", "stopped"} and bool(there),
        f"{there} are in place and {why!r} does not say so": how == "left" and not all(name in why for name in there),
        f"undone in another order: {marks}": _undone(marks) != sorted(_undone(marks), key=NAMES.index, reverse=True),
    }
    with open_store(folder / "loop.duckdb", clock=lambda: START + TURNS * PAUSE) as store:
        views = store.actions.latest(100)
        found |= {
            f"steps are left over: {[view.action.title for view in store.actions.pending()]}": bool(
                store.actions.pending()
            ),
            "the audit trail is broken": store.audit.first_broken_line() is not None,
        }
        for view in views:
            was_done = (f"undo {view.action.name}" if view.action.undo_of else f"do {view.action.name}") in marks
            found[f"{view.action.action_id} has the wrong receipt"] = _is_untrue(view.receipt, was_done)
    return [said for said, is_so in found.items() if is_so]


def _is_untrue(receipt: Receipt | None, was_done: bool) -> bool:
    """Tell whether a receipt says other than what was so; one that says it does not know is true."""
    if receipt is None or receipt.status in (ReceiptStatus.UNKNOWN, ReceiptStatus.TIMED_OUT):
        return receipt is None
    # A refused undo is tried again under another id, and what the next one did is not its doing.
    return receipt.status is ReceiptStatus.SUCCEEDED and not was_done


def _undone(marks: list[str]) -> list[str]:
    return [line.partition(" ")[2] for line in marks if line.startswith("undo")]


def in_a_child(body: Callable[[], Any]) -> Any:
    """Run a function in a fork; return what it returned, None where it was killed."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(read)
        try:
            os.write(write, json.dumps(body()).encode())
        except BaseException as trouble:
            sys.stderr.write(f"{type(trouble).__name__}: {trouble}\n")
            os._exit(1)
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        told = pipe.read()
    _, status = os.waitpid(pid, 0)
    if not told and not os.WIFSIGNALED(status):
        raise RuntimeError("a life ended with an error; see above")
    return json.loads(told) if told else None


def play(folder: Path, scenario: Scenario, kills: list[int]) -> Told:
    """Play a sequence to its end, the first lives each killed at one of its moments."""
    folder.mkdir(parents=True)
    told, left = Told(scenario.name, []), list(kills)
    end: dict[str, Any] = {"how": "", "why": ""}
    for number in range(TURNS):
        dies_at = left.pop(0) if left else None
        after = in_a_child(lambda number=number, dies_at=dies_at: turn(folder, scenario, number, dies_at))  # type: ignore[misc]
        if after is None:
            told.killed_at.append(-1 if dies_at is None else dies_at)
        else:
            end = after
        if end["how"] and not left:
            break
    told.how, told.marks = end["how"], marks_in(folder)
    told.troubles = troubles_of(folder, scenario, end)
    shutil.rmtree(folder)
    return told


def rounds(folder: Path, count: int, seed: int) -> Iterator[Told]:
    """Play until so many lives were killed: every moment of every scenario in turn, then with a second kill as well."""
    rng = random.Random(seed)
    places = [(scenario, moment) for scenario in SCENARIOS for moment in range(_moments(folder, scenario))]
    rng.shuffle(places)
    killed = number = 0
    while killed < count:
        scenario, moment = places[number % len(places)]
        again = [rng.randrange(20)] if number >= len(places) else []
        told = play(folder / str(number), scenario, [moment, *again])
        killed, number = killed + len(told.killed_at), number + 1
        yield told


def _moments(folder: Path, scenario: Scenario) -> int:
    place = folder / f"whole {scenario.name}"
    place.mkdir(parents=True)
    told = in_a_child(lambda: turn(place, scenario, 0, None))
    shutil.rmtree(place)
    return int(told["moments"])


def main(folder: Path, count: int, seed: int) -> None:
    """Print one JSON object a round. To be run as a process of its own, which forks and so may have no threads."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    # What is imported only when it is needed is to be here before the first fork.
    warm = folder / "warm"
    warm.mkdir(parents=True)
    turn(warm, SCENARIOS[0], 0, None)
    duckdb.default_connection().close()
    gc.freeze()
    for told in rounds(folder, count, seed):
        print(json.dumps(vars(told)), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
