"""A process that dies at any moment leaves nothing done twice and nothing unaccounted for."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests import PROJECT, sized

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="orphans are adopted by prctl, which is Linux's")

RANDOM_POINTS = sized(40, 200)
UNDO_SHARE = 0.3

Trial = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    """Yield a function that has one process killed and another clear up, and tells what came of it."""
    folder = tmp_path_factory.mktemp("crashes")
    command = [sys.executable, "-W", "ignore", "-m", "tests.tasks.execute.crash_lab", str(folder)]
    # The lab forks, so it may have no threads: not those of linear algebra either.
    alone = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd=PROJECT, env=alone, text=True, **pipes) as lab:
        assert lab.stdin is not None
        assert lab.stdout is not None

        def ask(**order: Any) -> dict[str, Any]:
            print(json.dumps(order), file=lab.stdin, flush=True)
            answer: dict[str, Any] = json.loads(lab.stdout.readline())  # type: ignore[union-attr]
            return answer

        yield ask
        lab.stdin.close()


def assert_accounted_for(told: dict[str, Any]) -> None:
    """Hold what is on record against what was really done."""
    after = told["after"]
    marks = after["marks"]
    assert len(marks) == len(set(marks)), "something was done twice"
    for action_id, status in after["receipts"].items():
        undone = after["undo_of"][action_id]
        was_done = (f"undo {undone}" if undone else f"act {action_id}") in marks
        expected = "succeeded" if was_done else ("failed" if undone else "skipped")
        assert status == expected, (action_id, after)
    assert after["receipts"]
    assert after["audited"] == sorted(after["receipts"])
    assert after["broken_line"] is None


def was_interrupted(told: dict[str, Any]) -> bool:
    return None in told["died"]["receipts"].values()


@pytest.mark.parametrize("undoing", [False, True], ids=["act", "undo"])
def test_without_a_crash_everything_is_done_once(trial: Trial, undoing: bool) -> None:
    told = trial(undoing=undoing)
    assert told["died"] == told["after"]
    assert_accounted_for(told)
    assert len(told["after"]["marks"]) == len(told["after"]["receipts"])


STEPS = ("the intent", "the audit line", "the receipt")
POINTS = [f"{when} {step}" for step in STEPS for when in ("before", "after")]


@pytest.mark.parametrize("point", [*POINTS, "before the effect of act", "after the effect of act"])
def test_a_crash_between_two_steps_of_an_act_is_cleared_up_by_looking(trial: Trial, point: str) -> None:
    told = trial(point=point)
    assert was_interrupted(told)
    assert_accounted_for(told)


@pytest.mark.parametrize("point", [*POINTS, "before the effect of undo", "after the effect of undo"])
def test_a_crash_between_two_steps_of_an_undo_is_cleared_up_by_looking(trial: Trial, point: str) -> None:
    told = trial(point=point, undoing=True)
    assert was_interrupted(told)
    assert_accounted_for(told)


@pytest.mark.slow
@pytest.mark.timeout(600)  # the lab itself notices a process that hangs, after a minute
def test_crashes_at_random_moments_are_cleared_up_by_looking(trial: Trial) -> None:
    draw = random.Random(7)
    whole_s = {undoing: min(trial(undoing=undoing, actions=1)["took_s"] for _ in range(3)) for undoing in (False, True)}
    interrupted = begun = 0
    for _ in range(RANDOM_POINTS):
        undoing = draw.random() < UNDO_SHARE
        told = trial(undoing=undoing, actions=1, kill_after_s=draw.uniform(0, whole_s[undoing]))
        assert_accounted_for(told)
        interrupted += was_interrupted(told)
        begun += set(told["died"]["intents"]) > {i for i, status in told["died"]["receipts"].items() if status}
    print(f"{RANDOM_POINTS} random moments, {interrupted} of them before the end, {begun} between intent and receipt")
    assert interrupted >= RANDOM_POINTS / 4
    assert begun >= RANDOM_POINTS / 20
