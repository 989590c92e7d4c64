"""Recurring events: what is found, what is not mistaken for one, and when the next is due."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from benchmarks import patterns_worlds as worlds
from tasks.patterns import PatternInput, SearchSettings
from tasks.patterns.finding import Finding
from tasks.patterns.inputs import DAY_S, HOUR_S, WEEK_S, Floats
from tasks.patterns.recurrence import find_recurrences, recurrence_of
from tests import sized

SETTINGS = SearchSettings()


def _found(times_s: Floats, chosen: SearchSettings = SETTINGS, tick_s: float = worlds.END_S) -> list[Finding]:
    frame = PatternInput([], np.empty((0, 0)), worlds.END_S, 300.0, ["job"] * len(times_s), times_s)
    return find_recurrences(frame, chosen, tick_s)


def _share_found(period_s: float, jobs: list[Floats]) -> float:
    return float(np.mean([any(finding.period_s == period_s for finding in _found(times)) for times in jobs]))


@pytest.mark.parametrize("days", [14, 28])
def test_a_nightly_job_with_jitter_and_missing_nights_is_found(days: int) -> None:
    jobs = [worlds.nightly_job(np.random.default_rng(run), days) for run in range(150)]
    assert _share_found(DAY_S, jobs) >= 0.97


def test_a_nightly_job_is_found_between_stray_runs() -> None:
    jobs = [worlds.nightly_job(np.random.default_rng(run), 28, stray_per_day=0.1) for run in range(100)]
    assert _share_found(DAY_S, jobs) >= 0.95


def test_a_weekly_job_is_found_although_the_window_is_one_week() -> None:
    jobs = [worlds.weekly_job(np.random.default_rng(run), 4) for run in range(50)]
    assert _share_found(WEEK_S, jobs) >= 0.95


@pytest.mark.parametrize("hours", [0.5, 1, 6, 12])
def test_shorter_clock_periods_are_told_from_their_multiples(hours: float) -> None:
    rng = np.random.default_rng(0)
    times = worlds.END_S - hours * HOUR_S * np.arange(60) - 60.0 * rng.random(60)
    (finding,) = _found(times, SearchSettings(burst_s=600.0))
    assert finding.period_s == hours * HOUR_S


@pytest.mark.parametrize("expected", [4, 20, 100, 1000])
def test_irregular_events_are_seldom_called_recurrent(expected: int) -> None:
    alarms = [bool(_found(worlds.irregular(np.random.default_rng(run), expected))) for run in range(200)]
    assert np.mean(alarms) <= 0.01


def test_the_next_occurrence_follows_the_wall_clock_across_the_end_of_summer_time() -> None:
    zone = ZoneInfo("Europe/Berlin")
    nights = [datetime(2025, 10, day, 2, 30, tzinfo=zone).timestamp() for day in range(5, 26)]
    tick_s = datetime(2025, 10, 25, 12, 0, tzinfo=UTC).timestamp()
    (finding,) = _found(np.array(nights), SearchSettings(timezone="Europe/Berlin"), tick_s)
    assert finding.next_at_s is not None
    # 02:30 comes twice that night; either is right.
    due = datetime.fromtimestamp(finding.next_at_s, zone)
    assert (due.day, due.hour, due.minute) == (26, 2, 30)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "UTC"])
def test_a_job_keeps_one_narrow_arc_through_dst_on_its_own_clock(zone: str) -> None:
    days = [(10, day) for day in range(18, 32)] + [(11, day) for day in range(1, 9)]
    times = np.array([datetime(2025, m, d, 4, 0, tzinfo=ZoneInfo(zone)).timestamp() for m, d in days])
    tick_s = float(times[-1]) + HOUR_S
    (finding,) = _found(times, SearchSettings(timezone="Europe/Berlin"), tick_s)
    assert finding.evidence["timezone"] == zone
    assert finding.next_at_s == pytest.approx(times[-1] + DAY_S, abs=1.0)
    assert float(str(finding.evidence["arc_s"])) < 60.0


def test_an_occurrence_already_seen_is_not_predicted_again() -> None:
    times = worlds.END_S - DAY_S * np.arange(20) - 60.0 * np.arange(20)[::-1]
    (finding,) = _found(times)
    assert finding.next_at_s is not None
    assert finding.next_at_s > worlds.END_S + 0.9 * DAY_S


def test_a_job_that_stopped_has_no_next_occurrence() -> None:
    times = worlds.END_S - DAY_S * np.arange(8, 28)
    (finding,) = _found(times)
    assert finding.next_at_s is None
    assert "stopped" in finding.statement


def test_a_job_of_working_days_is_not_expected_on_a_weekend() -> None:
    friday = datetime(2025, 6, 27, 20, 0, tzinfo=UTC).timestamp()
    times = np.array([friday - 12 * HOUR_S - DAY_S * day for day in range(28) if (4 - day) % 7 < 5])
    (finding,) = _found(times, tick_s=friday)
    assert finding.evidence["skipped_weekdays"] == ["Saturday", "Sunday"]
    assert finding.next_at_s == pytest.approx(friday + 2.5 * DAY_S, abs=60.0)


def test_events_after_the_tick_are_invisible() -> None:
    times = worlds.END_S - DAY_S * np.arange(20) - 60.0
    tick_s = worlds.END_S - 5 * DAY_S
    assert _found(times, tick_s=tick_s) == _found(times[times <= tick_s], tick_s=tick_s)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_too_few_events_say_nothing(n: int) -> None:
    assert _found(worlds.END_S - DAY_S * np.arange(n)) == []


@given(
    times=arrays.arrays(float, st.integers(0, 40), elements=st.floats(-28 * DAY_S, 0.0)),
    weeks=st.integers(-200, 200),
)
@settings(max_examples=sized(30, 60), deadline=None)
def test_shifting_all_times_by_whole_weeks_shifts_the_prediction_only(times: Floats, weeks: int) -> None:
    # Whole seconds keep the shifted times exact.
    base = np.unique(np.round(worlds.END_S + times))
    shift_s = weeks * WEEK_S
    here, there = (
        recurrence_of(base, SETTINGS, worlds.END_S),
        recurrence_of(base + shift_s, SETTINGS, worlds.END_S + shift_s),
    )
    assert (here is None) == (there is None)
    if here is not None and there is not None:
        assert here.period_s == there.period_s
        assert 0.0 <= here.p_value <= 1.0
        assert here.p_value == pytest.approx(there.p_value, rel=1e-3)
        assert here.width == pytest.approx(there.width, abs=1e-6)
