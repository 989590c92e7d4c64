"""The benchmark of deadlines judges what was foretold by what came, and knows no more than there was to know."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.deadlines import (
    CONFIRM,
    MOST,
    START_S,
    Judge,
    JudgedRun,
    RunsToJudge,
    deadline_kept_by,
    deadlines_for,
    judged,
    known_at,
    missed,
    pool_of,
    recorded,
    simulate,
    simulated,
    summary,
)
from benchmarks.deadlines_recording import from_file, keep
from tasks.objectives.lateness import DAY_S
from tasks.objectives.run_history import DeploymentRun, RunHistory


def test_the_same_seed_gives_the_same_runs_and_another_one_others() -> None:
    assert simulate(1) == simulate(1) != simulate(2)


def test_no_more_run_at_once_than_there_are_slots_and_the_load_waits_for_the_extract() -> None:
    runs, (_, slots, _) = simulate(3), pool_of(3)
    for at_s in np.arange(START_S, START_S + 60 * DAY_S, 7_003.0).tolist():
        busy = sum(float(run.start_s or 0) <= at_s < float(run.end_s or 0) - 60 for run in runs)
        assert busy <= slots
    extracts = [run for run in runs if run.deployment == "extract/nightly"]
    loads = [run for run in runs if run.deployment == "load/nightly"]
    ended = {run.name.rsplit("-", 1)[1]: run.end_s for run in extracts}
    assert all(float(run.end_s or 0) > float(ended[run.name.rsplit("-", 1)[1]] or 0) for run in loads)


def test_what_is_known_at_a_moment_holds_nothing_of_what_comes() -> None:
    runs, tick_s = simulate(1), START_S + 40 * DAY_S + 3_000
    known = known_at(runs, {"pool": 2.0}, tick_s).runs
    assert all(each.end_s is None or each.end_s <= tick_s for each in known)
    assert all(each.start_s is None or each.start_s <= tick_s for each in known)
    assert {each.state for each in known} > {"completed"}


def judged_run(foretold: float, is_late: bool, **more: object) -> JudgedRun:
    one = JudgedRun("d", np.zeros(2), np.full(2, foretold), np.full(2, 0.0), is_late, 100.0, 50.0, None, np.ones(2))
    return replace(one, **more)  # type: ignore[arg-type]


def test_the_figures_are_what_they_say() -> None:
    late = judged_run(0.8, True, warned_at_s=75.0)
    in_time = judged_run(0.4, False, warned_at_s=10.0, rule=np.ones(2), weeks=0.5)
    figures = summary([late, in_time])
    assert figures["brier"] == pytest.approx((0.2**2 + 0.4**2) / 2)
    assert figures["brier under the rule"] == pytest.approx(0.9)
    assert figures["lead of run time"] == 0.5
    assert figures["false warnings a week"] == 2.0
    assert missed(figures) == [*MOST]


def test_a_noisy_deployment_is_not_hidden_by_quiet_ones() -> None:
    quiet = [judged_run(0.0, False, deployment=f"quiet {number}") for number in range(9)]
    late = judged_run(0.8, True, deployment="late", warned_at_s=75.0, rule=np.zeros(2))
    figures = summary([*quiet, late, judged_run(0.4, False, deployment="noisy", warned_at_s=10.0, weeks=0.5)])
    assert figures["false warnings a week"] == pytest.approx(2 / 11)
    assert figures["false warnings a week of the worst deployment"] == 2.0
    assert figures["deployments with more than one a week"] == pytest.approx(1 / 11)
    assert missed(figures) == ["false warnings a week of the worst deployment"]


def test_silence_misses_the_bars() -> None:
    late = [judged_run(0.9, True, rule=np.zeros(2)) for _ in range(9)]
    figures = summary([*late, judged_run(0.1, False)])
    assert (figures["missed"], figures["warned of"]) == (9, 0.0)
    assert {"warned of", "lead of run time"} <= set(missed(figures))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_runs_that_will_be_late_are_foreseen_where_no_number_was_chosen() -> None:
    seed = CONFIRM[4]
    assert not missed(summary(judged(simulated(seed), deadlines_for(seed).values())))


def hourly(count: int, length_s: float) -> tuple[DeploymentRun, ...]:
    return tuple(
        DeploymentRun(str(place), str(place), "a/b", "completed", due_s, due_s + 3, due_s + 3 + length_s, "pool")
        for place, due_s in enumerate((START_S + 3_600.0 * np.arange(count)).tolist())
    )


def test_runs_that_are_all_late_are_warned_of_and_those_that_never_are_not() -> None:
    runs = hourly(40, 1_200.0)
    history = RunsToJudge("h", runs, {}, runs[30].due_s)
    for bound, is_late in ((900.0, True), (2_400.0, False)):
        objective = deadline_kept_by(0.9, runs).model_copy(update={"bound": bound})
        results = Judge(history, objective).judged()
        assert len(results) == 10
        assert all(each.is_late is is_late and (each.warned_at_s is not None) is is_late for each in results)


def test_a_recording_is_read_as_it_was_kept_and_in_fast_motion(tmp_path: Path) -> None:
    runs = (*hourly(20, 600.0), replace(hourly(1, 5.0)[0], run_id="never", state="cancelled", start_s=None))
    path = tmp_path / "kept.csv"
    assert keep(RunHistory(runs, {"pool": 2.0}), path) == 21
    known = from_file(path)
    assert known.slots == {"pool": 2.0}
    assert [(run.state, run.due_s, run.start_s, run.end_s) for run in known.runs] == [
        (run.state, run.due_s, run.start_s, run.end_s) for run in sorted(runs, key=lambda run: (run.due_s, run.run_id))
    ]
    fast = recorded(str(path), 10.0)
    assert fast.runs[-1].due_s - fast.runs[0].due_s == 10 * 19 * 3_600
    assert fast.weeks == 1.0
    assert sum(run.due_s >= fast.from_s for run in fast.runs) == 8
