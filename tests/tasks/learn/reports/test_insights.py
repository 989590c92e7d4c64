"""Insights have their documented shapes, always, and numbers that hold the truth."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from storage.records import NOTHING, GoalState, GoalType, Outcome, ReceiptStatus, Strategy, Verdict
from tasks.learn import insights, observations, replay
from tasks.learn.outcome_rows import OutcomeRow
from tasks.learn.reports.monitoring import GoalTrace, monitoring_figures
from tests.tasks.learn.worlds import GOAL, row, rows_of

TRUTH = {"limit": 0.8, "renice": 0.0, "prune": 0.0}


def test_the_documented_loops_over_insights_run() -> None:
    found = insights([row(0), row(1, status=ReceiptStatus.FAILED, verdict=Verdict.UNKNOWN, error="no such process")])
    lines = [f"{action}: {data['rate']:.1%}" for action, data in found["action_success_rates"].items()]
    lines += [f"{failure['action']}: {failure['count']} times" for failure in found["common_failures"]]
    assert lines == ["limit: 50.0%", "limit: 1 times"]
    assert found["common_failures"][0]["reason"] == "no such process"


def test_without_outcomes_the_shapes_are_empty_and_say_what_to_do() -> None:
    empty, full = insights([]), insights(rows_of(TRUTH, 5), replay(observations(rows_of(TRUTH, 5))))
    assert set(empty) == set(full)
    assert {name: type(value) for name, value in empty.items()} == {name: type(value) for name, value in full.items()}
    assert "Let foreact act" in empty["note"]


def test_the_action_that_works_is_named_as_the_best() -> None:
    rows = rows_of(TRUTH, 30)
    found = insights(rows, replay(observations(rows)))
    rates = found["action_success_rates"]
    assert rates["limit"]["low"] > rates["renice"]["high"]
    (state,) = found["convergence"]
    assert state["best"] == "limit"
    assert state["is_settled"]


def test_effect_intervals_hold_the_truth_at_least_nine_times_in_ten() -> None:
    held = [
        entry["low"] <= TRUTH[entry["action"]] <= entry["high"]
        for seed in range(60)
        for entry in insights(rows_of(TRUTH, 12, seed))["effects"]
    ]
    assert 0.87 <= sum(held) / len(held) <= 0.99


def test_missing_data_is_never_success() -> None:
    rows = [row(i, verdict=Verdict.UNKNOWN, effect_sd_units=float("nan"), se_sd_units=float("nan")) for i in range(4)]
    rate = insights(rows)["action_success_rates"]["limit"]
    assert (rate["rate"], rate["count"], rate["undecided"]) == (0.0, 0, 4)
    assert (rate["low"], rate["high"]) == (0.0, 1.0)
    assert observations(rows) == []


@pytest.mark.parametrize("status", [ReceiptStatus.SKIPPED, ReceiptStatus.DRY_RUN])
def test_what_was_not_done_is_no_success_and_teaches_nothing(status: ReceiptStatus) -> None:
    rows = [row(0, status=status)]
    assert insights(rows)["action_success_rates"]["limit"]["count"] == 0
    assert observations(rows) == []


def test_a_disturbed_outcome_teaches_nothing() -> None:
    assert observations([row(0, verdict=Verdict.CONFOUNDED)]) == []


def test_a_failed_run_is_a_failure_even_if_the_metric_fell() -> None:
    rate = insights([row(0, status=ReceiptStatus.TIMED_OUT)])["action_success_rates"]["limit"]
    assert (rate["rate"], rate["count"], rate["failed"]) == (0.0, 1, 1)


def test_an_outcome_given_twice_counts_once() -> None:
    rows = rows_of(TRUTH, 4)
    assert insights([*rows, *rows]) == insights(rows)
    assert len(observations([*rows, *rows])) == len(rows)


def test_an_action_that_makes_things_worse_is_among_the_failures() -> None:
    (failure,) = insights([row(i, verdict=Verdict.WORSE, effect_sd_units=-1.0) for i in range(3)])["common_failures"]
    assert failure == {"action": "limit", "count": 3, "reason": "it made the metric worse"}


def test_doing_nothing_on_purpose_is_no_action() -> None:
    found = insights([row(0, NOTHING), row(1)])
    assert list(found["action_success_rates"]) == ["limit"]
    assert {entry["action"] for entry in found["effects"]} == {NOTHING, "limit"}


def test_the_trend_goes_day_by_day() -> None:
    days = insights([row(0), row(1), row(24, verdict=Verdict.NO_EFFECT, effect_sd_units=0.0)])["trend"]
    assert [day["outcomes"] for day in days] == [2, 1]
    assert [day["success_rate"] for day in days] == [1.0, 0.0]


def test_strategies_are_told_apart() -> None:
    rows = [row(i, strategy="SCHEDULED" if i % 2 else "IMMEDIATE", effect_sd_units=i % 2 * 1.0) for i in range(8)]
    found = insights(rows)["strategy_efficacy"]
    assert found["SCHEDULED"]["effect_sd_units"] > found["IMMEDIATE"]["effect_sd_units"]
    assert found["SCHEDULED"]["count"] == 4


def test_insights_are_plain_json() -> None:
    rows = [*rows_of(TRUTH, 5), row(99, verdict=Verdict.UNKNOWN, effect=float("nan"), effect_sd_units=float("nan"))]
    json.dumps(insights(rows, replay(observations(rows))), allow_nan=False)
    json.dumps(insights([]), allow_nan=False)


def _stored(**changes: object) -> Outcome:
    moment = datetime(2026, 3, 2, 6, 30, tzinfo=UTC)
    given: dict[str, object] = {
        "outcome_id": "outcome-1",
        "action_id": "action-1",
        "action": "limit",
        "goal_id": "goal-1",
        "goal_type": GoalType.BOTTLENECK_PREVENTION,
        "strategy": Strategy.IMMEDIATE,
        "series": "cpu",
        "measured_at": moment,
        "acted_at": moment,
        "horizon_s": 600,
        "estimate": -4.0,
        "low": -6.0,
        "high": -2.0,
        "effect_sd_units": 0.8,
        "standard_error_sd_units": 0.2,
        "verdict": Verdict.IMPROVED,
        "evidence": {"relative_ratio": -0.1},
    }
    return Outcome(**(given | changes))  # type: ignore[arg-type]


def test_a_stored_outcome_is_read_with_its_hour() -> None:
    (seen,) = observations([OutcomeRow.of(_stored())])
    assert seen.hour == 6.5
    assert seen.goal_type == GOAL


@pytest.mark.parametrize(("claimed", "contradicts"), [(-0.1, False), (-0.06, False), (-0.5, True), (0.1, True)])
def test_a_claim_that_contradicts_the_measurement_is_listed_and_decides_nothing(
    claimed: float, contradicts: bool
) -> None:
    rows = [OutcomeRow.of(_stored(claimed=claimed))]
    found = insights(rows)
    assert bool(found["contradicted_claims"]) is contradicts
    assert found["action_success_rates"]["limit"]["rate"] == 1.0
    if contradicts:
        assert found["contradicted_claims"][0]["mean_claimed_ratio"] == claimed


def test_a_stored_outcome_without_numbers_stays_without() -> None:
    bare = OutcomeRow.of(
        _stored(
            estimate=None,
            low=None,
            high=None,
            effect_sd_units=None,
            standard_error_sd_units=None,
            verdict=Verdict.UNKNOWN,
            claimed=-0.9,
            evidence={},
        )
    )
    assert not bare.is_measured
    assert not bare.contradicts


def test_monitoring_figures_count_only_the_window() -> None:
    now_s = 1_772_000_000.0 + 3 * 3_600
    goals = [
        GoalTrace(now_s - 600, GoalState.ACTIVE),
        GoalTrace(now_s - 1_200, GoalState.ACHIEVED, now_s - 60),
        GoalTrace(now_s - 90_000, GoalState.FAILED, now_s - 120),
        GoalTrace(now_s - 900, GoalState.CANCELLED, now_s - 30),
        GoalTrace(now_s - 200_000, GoalState.ACHIEVED, now_s - 190_000),
    ]
    rows = [row(i, duration_s=float(i)) for i in range(4)]
    convergence = insights(rows, replay(observations(rows)))["convergence"]
    figures = monitoring_figures(goals, [*rows, row(100)], now_s=now_s, window_s=36_000, convergence=convergence)
    assert figures["goals_per_hour"] == pytest.approx(0.3)
    assert figures["goal_achievement_rate"]["rate"] == 0.5
    assert figures["action_success_rate"]["count"] == 4
    assert figures["mean_execution_time_s"] == 1.5
    assert figures["measured_impact"]["low"] < 0.8 < figures["measured_impact"]["high"]
    assert figures["learning_convergence"]["goal_types"] == 1


def test_figures_of_nothing_are_none_and_not_zero_success() -> None:
    figures = monitoring_figures([], [], now_s=0.0)
    assert figures["goals_per_hour"] == 0
    assert figures["goal_achievement_rate"] is figures["action_success_rate"] is figures["measured_impact"] is None
    json.dumps(figures, allow_nan=False)
