"""Each rule fires on the evidence it needs, and not on what only looks like it."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from storage.records import GoalType, Objective, ObjectiveKind, Pattern
from tasks.goals.discovery import discover_rules
from tasks.goals.evidence import Evidence, Proposal, WindowCount
from tasks.goals.statistics.burn import burn_windows
from tests.tasks.goals.worlds import TICK, evidence_of, forecast_of, frame_of

DAY_S = 86_400.0
RULES = {rule.name: rule for rule in discover_rules()}


def proposals(goal_type: GoalType, evidence: Evidence) -> list[Proposal]:
    return list(RULES[goal_type.lower()].propose(evidence))


class TestBottleneckPrevention:
    objective = Objective(name="cpu", metric="cpu_usage", bound=90, horizon_s=3_600)

    def fire(self, last: float, probability: float | None) -> list[Proposal]:
        values = {"cpu_usage": np.full(100, last)}
        return proposals(GoalType.BOTTLENECK_PREVENTION, evidence_of(self.objective, values, probability=probability))

    def test_a_likely_breach_raises_it_with_the_predicted_moment_as_deadline(self) -> None:
        (found,) = self.fire(60.0, 0.8)
        assert found.probability == 0.8
        assert found.deadline == TICK + timedelta(seconds=1_800)
        assert "80 %" in found.because["sentence"]

    def test_its_sentences_say_values_in_their_unit(self) -> None:
        objective = Objective(name="room", metric="memory_available_bytes", side="above", bound=2e9)
        values = {"memory_available_bytes": np.full(100, 1.25e9), "latency": np.full(100, 480.0)}
        (found,) = proposals(GoalType.BOTTLENECK_PREVENTION, evidence_of(objective, values, probability=0.8))
        assert found.description == "Keep memory_available_bytes at least 2 GB"
        assert found.because["sentence"] == "memory_available_bytes is 1.25 GB and should be at least 2 GB."
        slow = Objective(name="slow", metric="latency", bound=300)
        frame = frame_of(values).model_copy(update={"units": {"latency": "ms"}})
        evidence = Evidence(tick=TICK, objectives=(slow,), frames=(frame,))
        (found,) = proposals(GoalType.BOTTLENECK_PREVENTION, evidence)
        assert found.because["sentence"] == "latency is 480 ms and should be at most 300 ms."

    def test_an_unlikely_breach_raises_nothing(self) -> None:
        assert self.fire(60.0, 0.4) == []

    def test_a_bound_broken_now_raises_it_whatever_the_forecast_says(self) -> None:
        (found,) = self.fire(95.0, 0.1)
        assert (found.probability, found.deadline) == (1.0, TICK)

    def test_a_bound_broken_now_raises_it_without_any_forecast(self) -> None:
        assert len(self.fire(95.0, None)) == 1

    @pytest.mark.parametrize(("side", "edge"), [("above", 1.0), ("below", 20.0), ("above", -5.0), ("below", 0.0)])
    def test_what_rests_on_the_edge_that_is_allowed_raises_nothing(self, side: str, edge: float) -> None:
        resting = self.objective.model_copy(update={"side": side, "bound": edge})
        values = {self.objective.metric: np.full(180, edge)}
        known = evidence_of(resting, values, probability=0.5)
        assert proposals(GoalType.BOTTLENECK_PREVENTION, known) == []

    @pytest.mark.parametrize(
        "values",
        [
            np.concatenate([np.full(170, 20.0), np.arange(10.0) + 11]),
            np.repeat(np.arange(15.0, 21.0), 60),
            np.concatenate([np.full(60, 20.0), [21.0], np.full(180, 20.0)]),
        ],
        ids=["left it", "climbed to it", "was beyond it"],
    )
    def test_what_moves_or_was_beyond_the_edge_before_is_foretold(self, values: np.ndarray) -> None:
        moving = self.objective.model_copy(update={"bound": 20.0})
        known = evidence_of(moving, {self.objective.metric: values}, probability=0.6)
        assert len(proposals(GoalType.BOTTLENECK_PREVENTION, known)) == 1

    def test_a_silent_series_raises_nothing(self) -> None:
        values = {"cpu_usage": np.concatenate([np.full(100, 95.0), np.full(30, np.nan)])}
        assert proposals(GoalType.BOTTLENECK_PREVENTION, evidence_of(self.objective, values, probability=0.9)) == []


class TestPerformanceTarget:
    objective = Objective(
        name="p95", metric="latency", kind=ObjectiveKind.PERCENTILE, bound=200, target_ratio=0.95, window_s=DAY_S
    )

    def fire(self, values: np.ndarray) -> list[Proposal]:
        return proposals(GoalType.PERFORMANCE_TARGET, evidence_of(self.objective, {"latency": values}))

    def test_it_fires_where_more_of_the_window_is_slow_than_may_be(self) -> None:
        values = np.random.default_rng(0).normal(100, 10, 1_440)
        values[::8] = 400
        (found,) = self.fire(values)
        assert found.probability > 0.9
        assert found.because["inputs"]["percentile"] == pytest.approx(400)

    def test_rare_slow_values_are_within_the_target(self) -> None:
        values = np.random.default_rng(0).normal(100, 10, 1_440)
        values[::50] = 400
        assert self.fire(values) == []

    def test_an_old_incident_that_is_over_raises_nothing(self) -> None:
        values = np.random.default_rng(0).normal(100, 10, 1_440)
        values[300:600] = 400
        assert self.fire(values) == []

    def test_twenty_values_are_too_few(self) -> None:
        assert self.fire(np.full(20, 400.0)) == []


class TestResourceOptimization:
    def fire(self, side: str, bound: float, values: np.ndarray) -> list[Proposal]:
        objective = Objective(
            name="headroom", metric="use", kind=ObjectiveKind.HEADROOM, side=side, bound=bound, window_s=DAY_S
        )
        return proposals(GoalType.RESOURCE_OPTIMIZATION, evidence_of(objective, {"use": values}))

    def test_a_peak_use_above_the_bound_leaves_too_little_headroom(self) -> None:
        assert len(self.fire("below", 0.7, np.random.default_rng(1).uniform(0.6, 0.9, 1_440))) == 1

    def test_a_slow_wave_that_never_reached_the_bound_is_no_reason_however_few_its_independent_values(self) -> None:
        wave = 0.45 + 0.06 * np.sin(np.arange(70) / 40)
        assert self.fire("below", 0.75, wave) == []

    def test_a_resource_that_is_never_busy_is_idle(self) -> None:
        (found,) = self.fire("above", 0.3, np.random.default_rng(1).uniform(0.02, 0.1, 1_440))
        assert "idle" in found.because["sentence"]

    def test_a_resource_with_busy_hours_is_not_idle(self) -> None:
        values = np.full(1_440, 0.05)
        values[::10] = 0.6
        assert self.fire("above", 0.3, values) == []


class TestCapacityPlanning:
    def fire(self, values: np.ndarray, *, horizon_s: float, step_s: float = 3_600.0) -> list[Proposal]:
        objective = Objective(name="disk", metric="disk", kind=ObjectiveKind.CAPACITY, bound=0.9, horizon_s=horizon_s)
        evidence = evidence_of(objective, {"disk": values[-24:]}, step_s=step_s)
        hourly = frame_of({"disk": values}, 3_600.0) if step_s == 3_600.0 else None
        frames = (frame_of({"disk": values}, step_s),)
        more = Evidence(tick=TICK, objectives=evidence.objectives, frames=frames, hourly=hourly)
        return proposals(GoalType.CAPACITY_PLANNING, more)

    def test_a_disk_that_fills_over_weeks_is_seen_with_an_interval_around_the_true_date(self) -> None:
        rng = np.random.default_rng(2)
        hours = np.arange(30 * 24)
        truth = 0.5 + 0.01 * hours / 24
        values = truth + 0.005 * np.sin(hours * 2 * np.pi / 24) + rng.normal(0, 0.002, len(hours))
        (found,) = self.fire(values, horizon_s=14 * DAY_S)
        forecast = found.because["forecast"]
        true_at = TICK + timedelta(days=float((0.9 - truth[-1]) / 0.01))
        assert abs((found.deadline - true_at).total_seconds()) < 1.5 * DAY_S
        assert forecast["earliest_at"] <= forecast["expected_at"] <= forecast["latest_at"]
        assert "closer by 0.01 a day" in found.because["sentence"]

    def test_the_same_disk_with_a_horizon_of_two_days_is_left_alone(self) -> None:
        values = 0.5 + 0.01 * np.arange(30 * 24) / 24
        assert self.fire(values, horizon_s=2 * DAY_S) == []

    def test_the_rise_of_a_morning_is_no_trend_that_fills_a_disk_while_the_day_is_not_known(self) -> None:
        hours = np.arange(12 * 12) / 12
        values = 0.4 + 0.08 * np.sin(2 * np.pi * (hours - 6) / 24)
        assert self.fire(values, horizon_s=14 * DAY_S, step_s=300.0) == []

    def test_a_few_hours_of_steady_growth_fire_if_the_horizon_says_so(self) -> None:
        minutes = np.arange(4 * 60)
        values = 0.5 + 0.05 * minutes / 60 + np.random.default_rng(3).normal(0, 0.002, len(minutes))
        (found,) = self.fire(values, horizon_s=8 * 3_600.0, step_s=60.0)
        assert found.deadline - TICK == pytest.approx(timedelta(hours=4), abs=timedelta(minutes=20))

    @pytest.mark.parametrize("period_h", [3, 24, 60, 168])
    def test_a_sawtooth_never_fires(self, period_h: int) -> None:
        hours = np.arange(40 * 24)
        values = 0.4 + 0.45 * (hours % period_h) / period_h
        values = values + np.random.default_rng(4).normal(0, 0.003, len(hours))
        for end in range(30 * 24, 40 * 24, 17):
            assert self.fire(values[:end], horizon_s=14 * DAY_S) == []

    def test_a_sawtooth_whose_peaks_climb_fires(self) -> None:
        hours = np.arange(40 * 24)
        values = 0.3 + 0.2 * (hours % 72) / 72 + 0.008 * hours / 24
        assert len(self.fire(values, horizon_s=14 * DAY_S)) == 1

    def test_a_flat_daily_wave_never_fires(self) -> None:
        hours = np.arange(40 * 24)
        values = 0.6 + 0.25 * np.sin(hours * 2 * np.pi / 24) + np.random.default_rng(5).normal(0, 0.01, len(hours))
        for end in range(30 * 24, 40 * 24, 7):
            assert self.fire(values[:end], horizon_s=14 * DAY_S) == []

    def test_a_full_disk_is_a_goal_at_once(self) -> None:
        (found,) = self.fire(np.full(48, 0.95), horizon_s=14 * DAY_S)
        assert found.probability == 1.0


class TestCostReduction:
    def fire(self, metric: str, values: np.ndarray, budget: float) -> list[Proposal]:
        objective = Objective(name="budget", metric=metric, kind=ObjectiveKind.BUDGET, bound=budget)
        frames = (frame_of({metric: values[-48:]}, 3_600.0),)
        evidence = Evidence(
            tick=TICK, objectives=(objective,), frames=frames, hourly=frame_of({metric: values}, 3_600.0)
        )
        return proposals(GoalType.COST_REDUCTION, evidence)

    def test_a_rate_that_ends_the_month_above_the_budget_fires_and_says_that_it_is_a_rate(self) -> None:
        values = np.random.default_rng(6).normal(2.0, 0.1, 20 * 24)
        (found,) = self.fire("cost_per_hour", values, 1_000)
        assert found.because["inputs"]["metric_is"] == "a spend rate"
        assert found.because["forecast"]["projected_spend"] == pytest.approx(2.0 * 31 * 24, rel=0.02)
        assert found.bound == pytest.approx((1_000 - 2.0 * 9.5 * 24) / (21.5 * 24), rel=0.05)

    def test_a_rate_within_the_budget_raises_nothing(self) -> None:
        assert self.fire("cost_per_hour", np.full(20 * 24, 1.0), 1_000) == []

    def test_a_cumulative_spend_is_projected_from_what_it_adds(self) -> None:
        (found,) = self.fire("spend_usd", 100 + 2.0 * np.arange(20 * 24), 1_000)
        assert found.because["inputs"]["metric_is"] == "a cumulative spend"
        assert found.because["inputs"]["spent"] == pytest.approx(2.0 * 9.5 * 24, rel=0.02)

    def test_a_cumulative_spend_with_a_monthly_reset_counts_from_zero(self) -> None:
        gone = round(9.5 * 24)
        values = np.concatenate([500 + np.arange(240.0), 2.0 * np.arange(gone)])
        (found,) = self.fire("spend_usd", values, 1_000)
        assert found.because["inputs"]["spent"] == pytest.approx(2.0 * gone, rel=0.02)


class TestSlaMaintenance:
    objective = Objective(
        name="availability", metric="http", kind=ObjectiveKind.SLO, bound=0.5, target_ratio=0.999, window_s=30 * DAY_S
    )

    def fire(self, error_ratios: dict[float, float], total: float = 10_000) -> list[Proposal]:
        counts = tuple(WindowCount(w, total * (1 - share), total) for w, share in error_ratios.items())
        evidence = Evidence(tick=TICK, objectives=(self.objective,), slo_windows={"availability": counts})
        return proposals(GoalType.SLA_MAINTENANCE, evidence)

    def test_the_window_pairs_of_a_thirty_day_slo_are_those_of_the_workbook(self) -> None:
        pairs = [(pair.long_s, pair.short_s, pair.factor) for pair in burn_windows(self.objective)]
        assert pairs == [(3_600, 300, 14.4), (21_600, 1_800, 6.0), (259_200, 21_600, 1.0)]

    def test_a_fast_burn_in_both_windows_fires(self) -> None:
        (found,) = self.fire({3_600: 0.02, 300: 0.03})
        assert found.because["inputs"]["long_burn_rate"] == pytest.approx(20)

    def test_a_burn_that_has_stopped_raises_nothing(self) -> None:
        assert self.fire({3_600: 0.02, 300: 0.0}) == []

    def test_a_slow_burn_fires_through_the_long_windows(self) -> None:
        (found,) = self.fire({3_600: 0.002, 300: 0.002, 259_200: 0.0015, 21_600: 0.002})
        assert found.because["inputs"]["long_window_s"] == 259_200

    def test_one_failure_among_few_requests_raises_nothing(self) -> None:
        assert self.fire({3_600: 0.1, 300: 0.1}, total=10) == []

    def test_without_counts_every_recorded_value_is_an_event(self) -> None:
        slo = Objective(name="slo", metric="latency", kind=ObjectiveKind.SLO, bound=300, window_s=7 * DAY_S)
        values = np.where(np.arange(1_440) % 4 == 0, 500.0, 100.0)
        assert len(proposals(GoalType.SLA_MAINTENANCE, evidence_of(slo, {"latency": values}))) == 1


class TestPatternAdaptation:
    def recurrence(self, in_s: float) -> Pattern:
        return Pattern(
            pattern_id="p1",
            kind="recurrence",
            subject="backup",
            statement="'backup' happens every day.",
            strength=0.9,
            next_at=TICK + timedelta(seconds=in_s),
            period_s=DAY_S,
        )

    def test_a_recurrence_that_is_near_fires_before_it_happens(self) -> None:
        (found,) = proposals(GoalType.PATTERN_ADAPTATION, Evidence(tick=TICK, patterns=(self.recurrence(3_600),)))
        assert found.deadline == TICK + timedelta(seconds=3_600)

    @pytest.mark.parametrize(("event_type", "is_told"), [("prefect_run_started", False), ("prefect_run_failed", True)])
    def test_what_somebody_scheduled_is_no_news_but_that_it_fails_is(self, event_type: str, is_told: bool) -> None:
        pattern = self.recurrence(3_600).model_copy(update={"subject": event_type})
        found = proposals(GoalType.PATTERN_ADAPTATION, Evidence(tick=TICK, patterns=(pattern,)))
        assert bool(found) is is_told

    def test_a_recurrence_that_is_far_raises_nothing(self) -> None:
        assert proposals(GoalType.PATTERN_ADAPTATION, Evidence(tick=TICK, patterns=(self.recurrence(43_200),))) == []

    def test_an_effect_on_an_objectives_metric_gives_the_goal_its_series_and_severity(self) -> None:
        objective = Objective(name="cpu", metric="cpu_usage", bound=90, severity=0.8)
        effect = Pattern(
            pattern_id="p2",
            kind="effect",
            subject="backup → cpu_usage",
            statement="cpu_usage rises.",
            strength=0.7,
            evidence={"event_type": "backup", "metric": "cpu_usage", "effect": 20.0},
        )
        evidence = evidence_of(objective, {"cpu_usage": np.full(100, 50.0)}, patterns=(self.recurrence(3_600), effect))
        (found,) = proposals(GoalType.PATTERN_ADAPTATION, evidence)
        assert (found.series, found.severity, found.bound) == ("cpu_usage", 0.8, 90)

    def shift(self, after: float = 60.0) -> Pattern:
        return Pattern(
            pattern_id="p3",
            kind="change_point",
            subject="cpu_usage",
            statement="cpu_usage moved.",
            strength=0.9,
            evidence={"at_s": TICK.timestamp() - 7_200, "before": 30.0, "after": after},
        )

    def test_a_new_level_toward_the_bound_fires_while_it_is_news(self) -> None:
        objective = Objective(name="cpu", metric="cpu_usage", bound=90)
        evidence = evidence_of(objective, {"cpu_usage": np.full(50, 60.0)}, patterns=(self.shift(),))
        (found,) = proposals(GoalType.PATTERN_ADAPTATION, evidence)
        assert (found.bound, found.side, found.baseline) == (30.0, "below", 60.0)

    @pytest.mark.parametrize(("after", "count"), [(30.05, 0), (35.9, 0), (36.1, 1)])
    def test_a_new_level_is_a_goal_only_where_it_took_a_tenth_of_the_room(self, after: float, count: int) -> None:
        objective = Objective(name="cpu", metric="cpu_usage", bound=90)
        evidence = evidence_of(objective, {"cpu_usage": np.full(50, after)}, patterns=(self.shift(after),))
        assert len(proposals(GoalType.PATTERN_ADAPTATION, evidence)) == count

    @pytest.mark.parametrize("missing", ["lasts", "is_new"])
    def test_a_level_that_did_not_stay_or_was_there_before_is_no_goal(self, missing: str) -> None:
        objective = Objective(name="cpu", metric="cpu_usage", bound=90)
        shift = self.shift()
        shift = shift.model_copy(update={"evidence": shift.evidence | {missing: False}})
        evidence = evidence_of(objective, {"cpu_usage": np.full(50, 60.0)}, patterns=(shift,))
        assert proposals(GoalType.PATTERN_ADAPTATION, evidence) == []

    def test_a_new_level_that_no_objective_minds_is_no_goal(self) -> None:
        frames = (frame_of({"cpu_usage": np.full(50, 60.0)}),)
        evidence = Evidence(tick=TICK, frames=frames, patterns=(self.shift(),))
        assert proposals(GoalType.PATTERN_ADAPTATION, evidence) == []


def test_the_way_to_the_bound_begins_at_the_worst_that_is_expected() -> None:
    objective = Objective(name="cpu", metric="cpu_usage", bound=90)
    evidence = evidence_of(
        objective,
        {"cpu_usage": np.full(100, 60.0)},
        probability=0.9,
        forecasts={"cpu_usage": forecast_of("cpu_usage", np.linspace(60, 99, 60))},
    )
    (found,) = proposals(GoalType.BOTTLENECK_PREVENTION, evidence)
    assert found.baseline == pytest.approx(99)
