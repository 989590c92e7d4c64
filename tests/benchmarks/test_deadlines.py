"""The benchmark of deadlines judges what was foretold by what came, and knows no more than there was to know."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.deadlines import (
    CONFIRM,
    LEAST,
    MOST,
    START_S,
    JudgedRun,
    judged,
    known_at,
    missed,
    pool_of,
    simulate,
    summary,
)
from tasks.objectives.lateness import DAY_S


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
    known = known_at(runs, 2, tick_s).runs
    assert all(each.end_s is None or each.end_s <= tick_s for each in known)
    assert all(each.start_s is None or each.start_s <= tick_s for each in known)
    assert {each.state for each in known} > {"completed"}


def judged_run(foretold: float, is_late: bool, **more: object) -> JudgedRun:
    one = JudgedRun(
        "d", np.zeros(2), np.full(2, foretold), np.full(2, 0.0), is_late, 100.0, 50.0, None, np.ones(2), 0.5
    )
    return replace(one, **more)  # type: ignore[arg-type]


def test_the_figures_are_what_they_say() -> None:
    late = judged_run(0.8, True, warned_at_s=75.0)
    in_time = judged_run(0.4, False, warned_at_s=10.0, rule=np.ones(2), stands_for=6.0)
    figures = summary([late, in_time])
    assert figures["brier"] == pytest.approx((0.2**2 + 0.4**2) / 2)
    assert figures["brier under the rule"] == pytest.approx(0.9)
    assert figures["lead of run time"] == 0.5
    assert figures["false warnings a week"] == 2.0
    assert missed(figures) == [*MOST]


def test_a_noisy_deployment_is_not_hidden_by_quiet_ones() -> None:
    quiet = [judged_run(0.0, False, deployment=f"quiet {number}") for number in range(9)]
    late = judged_run(0.8, True, deployment="late", warned_at_s=75.0, rule=np.zeros(2))
    figures = summary([*quiet, late, judged_run(0.4, False, deployment="noisy", warned_at_s=10.0, stands_for=6.0)])
    assert figures["false warnings a week"] == pytest.approx(2 / 11)
    assert figures["false warnings a week of the worst deployment"] == 2.0
    assert figures["deployments with more than one a week"] == pytest.approx(1 / 11)
    assert missed(figures) == ["false warnings a week of the worst deployment"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_runs_that_will_be_late_are_foreseen_where_no_number_was_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    # Six runs a deployment say how well and how early; each false warning would stand for dozens of runs.
    monkeypatch.setattr("benchmarks.deadlines.MOST_JUDGED", 6)
    assert not set(missed(summary(judged(CONFIRM[1])))) & LEAST.keys()
