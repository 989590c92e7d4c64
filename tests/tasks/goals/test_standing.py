"""How goals of each type stand is measured, and silence is never good news."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta

import numpy as np
import pytest

from storage.records import GoalState, GoalView, Objective, ObjectiveKind, Pattern
from tasks.goals.evidence import Evidence, WindowCount
from tasks.goals.setting import set_goals
from tests.tasks.goals.worlds import TICK, evidence_of, frame_of, open_after

DAY_S = 86_400.0


def raise_goal(evidence: Evidence) -> GoalView:
    (view,) = open_after(set_goals(evidence, [], [], max_active_goals=5, cycle_id="first"))
    return view


def review(view: GoalView, evidence: Evidence) -> GoalView:
    changes = set_goals(evidence, [view], [], max_active_goals=5, cycle_id="second")
    return next(each for each in changes.views([view]) if each.goal.goal_id == view.goal.goal_id)


def shift_of(before: float, after: float, ago_s: float) -> Pattern:
    return Pattern(
        pattern_id="p3",
        kind="change_point",
        subject="cpu_usage",
        statement="cpu_usage moved.",
        strength=0.9,
        evidence={"at_s": TICK.timestamp() - ago_s, "before": before, "after": after},
    )


class TestPercentile:
    objective = Objective(
        name="p95", metric="latency", kind=ObjectiveKind.PERCENTILE, bound=200, target_ratio=0.95, window_s=DAY_S
    )

    def evidence(self, lately: float, minutes: int, silent: int = 0) -> Evidence:
        slow = np.where(np.arange(1_440) % 5 == 0, 400.0, 100.0)
        values = np.concatenate([slow, np.full(minutes, lately), np.full(silent, np.nan)])[-1_440:]
        tick = TICK + timedelta(minutes=minutes + silent)
        return evidence_of(self.objective, {"latency": values}, tick=tick)

    def test_a_day_that_was_slow_is_no_longer_a_goal_once_two_hours_were_fast(self) -> None:
        view = raise_goal(self.evidence(400, 10))
        assert review(view, self.evidence(100, 30)).state is GoalState.ACTIVE
        assert review(view, self.evidence(100, 150)).state is GoalState.ACHIEVED

    def test_silence_blocks_it(self) -> None:
        view = raise_goal(self.evidence(400, 10))
        assert review(view, self.evidence(100, 150, silent=40)).state is GoalState.BLOCKED


class TestHeadroom:
    def test_an_idle_resource_that_is_used_again_is_achieved(self) -> None:
        idle = Objective(
            name="idle", metric="use", kind=ObjectiveKind.HEADROOM, side="above", bound=0.3, window_s=DAY_S
        )
        values = np.random.default_rng(0).uniform(0.02, 0.1, 1_440)
        view = raise_goal(evidence_of(idle, {"use": values}))
        busy = np.concatenate([values[150:], np.random.default_rng(1).uniform(0.2, 0.6, 150)])
        later = evidence_of(idle, {"use": busy}, tick=TICK + timedelta(minutes=150))
        assert review(view, later).state is GoalState.ACHIEVED


class TestCapacity:
    objective = Objective(name="disk", metric="disk", kind=ObjectiveKind.CAPACITY, bound=0.9, horizon_s=14 * DAY_S)

    def evidence(self, values: np.ndarray, days: float = 0.0) -> Evidence:
        tick = TICK + timedelta(days=days)
        hourly = frame_of({"disk": values}, 3_600.0, tick)
        frames = (frame_of({"disk": values[-48:]}, 3_600.0, tick),)
        return Evidence(tick=tick, objectives=(self.objective,), frames=frames, hourly=hourly)

    def test_a_disk_that_was_cleaned_and_grows_no_more_is_achieved(self) -> None:
        growing = 0.5 + 0.012 * np.arange(25 * 24) / 24
        view = raise_goal(self.evidence(growing))
        cleaned = np.concatenate([growing, np.full(9 * 24, 0.4)])
        after = review(view, self.evidence(cleaned, days=9))
        assert (after.state, after.progress) == (GoalState.ACHIEVED, 1.0)

    def test_slower_growth_is_progress(self) -> None:
        growing = 0.5 + 0.012 * np.arange(25 * 24) / 24
        view = raise_goal(self.evidence(growing))
        slower = np.concatenate([growing, growing[-1] + 0.001 * np.arange(24 * 24) / 24])[-20 * 24 :]
        after = review(view, self.evidence(slower, days=1))
        assert after.progress > 0.3


class TestBudget:
    objective = Objective(name="budget", metric="cost_per_hour", kind=ObjectiveKind.BUDGET, bound=1_000)

    def evidence(self, values: np.ndarray, days: float = 0.0) -> Evidence:
        tick = TICK + timedelta(days=days)
        return evidence_of(self.objective, {"cost_per_hour": values}, step_s=3_600.0, tick=tick)

    def test_a_rate_that_was_cut_enough_is_achieved(self) -> None:
        view = raise_goal(self.evidence(np.full(300, 2.0)))
        cut = np.concatenate([np.full(252, 2.0), np.full(14 * 24, 0.5)])
        assert review(view, self.evidence(cut, days=14)).state is GoalState.ACHIEVED

    def test_a_cut_that_is_not_enough_shows_as_progress(self) -> None:
        view = raise_goal(self.evidence(np.full(300, 2.0)))
        cut = np.concatenate([np.full(260, 2.0), np.full(7 * 24, 1.4)])
        after = review(view, self.evidence(cut, days=7))
        assert after.state is GoalState.ACTIVE
        assert 0 < after.progress < 1

    def test_the_goal_of_last_month_is_over(self) -> None:
        view = raise_goal(self.evidence(np.full(300, 2.0)))
        after = review(view, self.evidence(np.full(900, 2.0), days=25))
        assert not after.is_open


class TestSlo:
    objective = Objective(
        name="slo", metric="http", kind=ObjectiveKind.SLO, bound=0.5, target_ratio=0.999, window_s=30 * DAY_S
    )

    def evidence(self, long: float, short: float, minutes: float = 0.0, silent: bool = False) -> Evidence:
        tick = TICK + timedelta(minutes=minutes)
        counts = tuple(
            WindowCount(window_s, 10_000 * (1 - ratio), 10_000) for window_s, ratio in ((3_600, long), (300, short))
        )
        values = np.concatenate([np.zeros(60), np.full(30 if silent else 0, np.nan), np.zeros(0 if silent else 30)])
        frames = (frame_of({"http": values}, 60.0, tick),)
        return Evidence(tick=tick, objectives=(self.objective,), frames=frames, slo_windows={"slo": counts})

    def test_a_burn_that_stopped_is_achieved_though_the_long_window_remembers_it(self) -> None:
        view = raise_goal(self.evidence(0.02, 0.03))
        assert review(view, self.evidence(0.02, 0.0, minutes=10)).state is GoalState.ACHIEVED

    def test_a_burn_that_slows_down_is_progress(self) -> None:
        view = raise_goal(self.evidence(0.02, 0.03))
        after = review(view, self.evidence(0.02, 0.01, minutes=10))
        assert after.state is GoalState.ACTIVE
        assert after.progress == pytest.approx(0.8 * (1 - 9 / 29), abs=0.01)

    def test_counts_of_a_service_that_fell_silent_are_no_news(self) -> None:
        view = raise_goal(self.evidence(0.02, 0.03))
        assert review(view, self.evidence(0.02, 0.0, minutes=10, silent=True)).state is GoalState.BLOCKED


class TestPattern:
    objective = Objective(name="cpu", metric="cpu_usage", bound=90, severity=0.8)

    def evidence(self, values: np.ndarray, minutes: float, *patterns: Pattern) -> Evidence:
        tick = TICK + timedelta(minutes=minutes)
        # The bound's own goals are another rule's business: here only the pattern's are wanted.
        quiet = self.objective.model_copy(update={"kind": ObjectiveKind.CAPACITY})
        return evidence_of(quiet, {"cpu_usage": values}, tick=tick, patterns=patterns)

    def nightly(self) -> tuple[Pattern, Pattern]:
        recurrence = Pattern(
            pattern_id="p1",
            kind="recurrence",
            subject="backup",
            statement="'backup' happens every day.",
            strength=0.9,
            next_at=TICK + timedelta(minutes=60),
            period_s=DAY_S,
        )
        evidence = {"event_type": "backup", "metric": "cpu_usage", "effect": 20.0}
        effect = Pattern(
            pattern_id="p2", kind="effect", subject="b → c", statement="It rises.", strength=0.7, evidence=evidence
        )
        return recurrence, effect

    def raised(self) -> GoalView:
        return raise_goal(self.evidence(np.full(100, 50.0), 0, *self.nightly()))

    def test_an_event_that_the_metric_bore_is_achieved(self) -> None:
        after = review(self.raised(), self.evidence(np.full(200, 60.0), 60 + 95))
        assert after.state is GoalState.ACHIEVED

    def test_an_event_that_broke_the_bound_is_not(self) -> None:
        values = np.concatenate([np.full(160, 60.0), np.full(40, 99.0)])
        after = review(self.raised(), self.evidence(values, 60 + 95))
        assert after.state in {GoalState.EXPIRED, GoalState.FAILED}

    def test_one_occurrence_has_one_goal_and_the_next_day_has_its_own(self) -> None:
        first = self.raised()
        done = GoalView(goal=first.goal, state=GoalState.ACHIEVED, progress=1, reason="", since=TICK)
        again = self.evidence(np.full(100, 50.0), 10, *self.nightly())
        assert set_goals(again, [], [done], max_active_goals=5, cycle_id="x").new == ()
        recurrence, effect = self.nightly()
        tomorrow = recurrence.model_copy(update={"next_at": TICK + timedelta(days=1, minutes=60)})
        next_day = self.evidence(np.full(100, 50.0), 24 * 60, tomorrow, effect)
        assert len(set_goals(next_day, [], [done], max_active_goals=5, cycle_id="y").new) == 1

    def test_an_event_without_a_metric_expires_since_nothing_can_be_measured(self) -> None:
        recurrence, _ = self.nightly()
        view = raise_goal(Evidence(tick=TICK, patterns=(recurrence,)))
        after = review(view, Evidence(tick=TICK + timedelta(minutes=120)))
        assert after.state is GoalState.EXPIRED
        assert "nothing to measure" in after.reason

    def test_an_effect_away_from_the_bound_troubles_nobody(self) -> None:
        recurrence, effect = self.nightly()
        falling = effect.model_copy(update={"evidence": effect.evidence | {"effect": -20.0}})
        view = raise_goal(self.evidence(np.full(100, 50.0), 0, recurrence, falling))
        assert view.goal.objective is None
        assert view.goal.severity == 0.3

    def test_an_event_that_follows_another_is_foreseen_as_well(self) -> None:
        follows = Pattern(
            pattern_id="p4",
            kind="sequence",
            subject="deploy → restart",
            statement="'restart' follows 'deploy'.",
            strength=0.8,
            next_at=TICK + timedelta(minutes=5),
            evidence={"first": "deploy", "then": "restart"},
        )
        view = raise_goal(Evidence(tick=TICK, patterns=(follows,)))
        assert view.goal.description.startswith("Be ready for restart")

    def test_a_metric_that_came_back_from_its_new_level_is_achieved(self) -> None:
        shift = shift_of(30.0, 60.0, ago_s=7_200)
        view = raise_goal(self.evidence(np.full(100, 60.0), 0, shift))
        assert review(view, self.evidence(np.full(100, 45.0), 30)).progress == pytest.approx(0.4)
        assert review(view, self.evidence(np.full(100, 30.0), 60)).state is GoalState.ACHIEVED

    def shifted_days(self, hour: float, lift: float) -> np.ndarray:
        """Return four days of five minutes that end at an hour: a day's wave, lifted for the last day."""
        hours = np.arange(4 * 288) / 12 + hour
        return 40.0 + 15.0 * np.sin(2 * np.pi * (hours - 12) / 24) + np.where(np.arange(4 * 288) >= 3 * 288, lift, 0.0)

    def test_the_night_after_a_shift_is_no_way_back_from_it(self) -> None:
        def seen(hour: float, lift: float, minutes: float, *patterns: Pattern) -> Evidence:
            values = {"cpu_usage": self.shifted_days(hour, lift)}
            quiet = self.objective.model_copy(update={"kind": ObjectiveKind.CAPACITY})
            tick = TICK + timedelta(minutes=minutes)
            return evidence_of(quiet, values, step_s=300.0, tick=tick, patterns=patterns)

        shift = shift_of(40.0, 60.0, ago_s=82_800)
        view = raise_goal(seen(0, 20.0, 0, shift))
        at_night = review(view, seen(6, 20.0, 30))
        assert at_night.state is GoalState.ACTIVE
        assert at_night.progress == pytest.approx(0.0, abs=0.05)
        assert review(view, seen(6, 0.0, 30)).state is GoalState.ACHIEVED

    def test_a_shift_that_stays_is_taken_for_usual_and_fails_nothing(self) -> None:
        shift = shift_of(30.0, 60.0, ago_s=7_200)
        view = raise_goal(self.evidence(np.full(100, 60.0), 0, shift))
        assert view.goal.informs
        assert review(view, self.evidence(np.full(100, 60.0), 23 * 60)).state is GoalState.EXPIRED


def test_no_goal_is_achieved_while_what_drives_its_metric_is_silent() -> None:
    driven = Objective(name="busy", metric="busy", bound=0.8, driver="arrivals", capacity="workers")
    spoke = np.where(np.arange(100) < 60, 10.0, np.nan)
    broken = evidence_of(driven, {"busy": np.full(100, 0.9), "arrivals": np.full(100, 10.0)}, probability=1.0)
    calm, later = {"busy": np.full(100, 0.5), "arrivals": spoke}, TICK + timedelta(minutes=60)
    view = raise_goal(broken)
    after = review(view, evidence_of(driven, calm, tick=later))
    assert after.state is GoalState.BLOCKED
    assert "arrivals, which drives busy, has not been recorded for 40 minutes" in after.reason
    heard = evidence_of(driven, calm | {"arrivals": np.full(100, 10.0)}, tick=later)
    assert review(view, heard).state is GoalState.ACHIEVED


def test_the_rules_cost_no_cycle_the_second_that_scipys_distributions_take_to_import() -> None:
    code = "from tasks.goals.discovery import *; import sys; discover_rules(); print('scipy.stats' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"
