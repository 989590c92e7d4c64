"""Which window of which series is looked at, and where samples lie on its grid."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage import open_store
from storage.records import Sample
from storage.samples import SeriesInfo
from tasks.monitor import plan_windows
from tasks.monitor.windows import (
    LONGEST_STEP_S,
    MANY_GONE,
    MAX_JITTER_RATIO,
    STEPS_S,
    choose_step_s,
    sparse,
    worth_following,
)

TICK = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)

intervals_s = st.floats(0, 200_000)
spans_s = st.floats(0, 60 * 86_400)
window_lengths = st.integers(60, 5_000)


def info(series: str, age_s: float, interval_s: float = 60.0, last_age_s: float = 0.0) -> SeriesInfo:
    """Return a series that was sampled evenly from `age_s` to `last_age_s` before the tick."""
    count = max(1, round((age_s - last_age_s) / interval_s) + 1) if interval_s else 1
    first, last = (TICK - timedelta(seconds=each) for each in (age_s, last_age_s))
    return SeriesInfo(series, series, {}, "", first, last, count)


@st.composite
def series(draw: st.DrawFn, name: str) -> SeriesInfo:
    age_s = draw(st.floats(0, 30 * 86_400))
    last_age_s = draw(st.floats(0, 1)) * age_s
    return info(name, age_s, draw(st.floats(0.5, 7_200)), last_age_s)


fleets = st.integers(0, 12).flatmap(lambda n: st.tuples(*(series(f"s{i:02d}") for i in range(n))))


@given(interval_s=intervals_s, span_s=spans_s, window_steps=window_lengths)
def test_a_step_holds_a_sample_and_is_of_the_ladder(interval_s: float, span_s: float, window_steps: int) -> None:
    step_s = choose_step_s(interval_s, span_s, window_steps)
    assert step_s in STEPS_S
    assert step_s >= min(interval_s / MAX_JITTER_RATIO, STEPS_S[-1])


@given(interval_s=intervals_s, span_s=spans_s, window_steps=window_lengths)
def test_a_step_is_no_coarser_than_sampling_and_history_ask_for(
    interval_s: float, span_s: float, window_steps: int
) -> None:
    step_s = choose_step_s(interval_s, span_s, window_steps)
    finer = [each for each in STEPS_S if each < step_s]
    wanted_s = max(interval_s / MAX_JITTER_RATIO, min(span_s / window_steps, LONGEST_STEP_S))
    assert not finer or finer[-1] < wanted_s


@given(interval_s=intervals_s, span_s=spans_s, more_s=spans_s, window_steps=window_lengths)
def test_a_longer_history_never_makes_a_step_finer(
    interval_s: float, span_s: float, more_s: float, window_steps: int
) -> None:
    assert choose_step_s(interval_s, span_s + more_s, window_steps) >= choose_step_s(interval_s, span_s, window_steps)


@given(interval_s=st.floats(0, 3_600), span_s=spans_s, fixed_s=st.floats(1, 7_200))
def test_a_configured_step_is_the_finest(interval_s: float, span_s: float, fixed_s: float) -> None:
    assert choose_step_s(interval_s, span_s, 2_016, fixed_s) >= fixed_s


def test_ten_second_samples_of_a_day_and_of_a_week() -> None:
    assert choose_step_s(10, 3_600, 2_016) == 10
    assert choose_step_s(10, 86_400, 2_016) == 60
    assert choose_step_s(10, 7 * 86_400, 2_016) == 300
    assert choose_step_s(3_600, 60 * 86_400, 2_016) == 3_600


@given(fleet=fleets, window_steps=window_lengths)
def test_every_series_is_in_one_window_of_its_own_step(fleet: tuple[SeriesInfo, ...], window_steps: int) -> None:
    windows = plan_windows(fleet, TICK, window_steps)
    placed = [name for window in windows for name in window.series]
    assert sorted(placed) == sorted(each.series for each in fleet)
    steps = [window.step_s for window in windows]
    assert steps == sorted(set(steps))
    by_name = {each.series: each for each in fleet}
    for window in windows:
        assert 1 <= window.steps <= window_steps
        for name in window.series:
            one = by_name[name]
            assert one.first is not None
            age_s = (TICK - one.first).total_seconds()
            assert window.step_s == choose_step_s(one.interval_s, age_s, window_steps)
            assert window.steps == window_steps or window.steps * window.step_s >= age_s - window.step_s / 2


def test_only_samples_rarer_than_every_six_minutes_are_looked_at_for_weeks() -> None:
    week_s = 7 * 86_400
    fleet = [info("hourly", week_s, 3_600), info("minutely", week_s, 60), info("jittered", week_s, 330)]
    assert sparse(fleet) == ["hourly"]


@given(fleet=fleets, order=st.randoms())
def test_the_order_of_the_series_does_not_matter(fleet: tuple[SeriesInfo, ...], order: object) -> None:
    shuffled = list(fleet)
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    assert plan_windows(shuffled, TICK, 2_016) == plan_windows(fleet, TICK, 2_016)
    assert plan_windows(shuffled, TICK, 2_016, max_series=3) == plan_windows(fleet, TICK, 2_016, max_series=3)


def test_beyond_the_most_series_the_least_recently_seen_are_left_out() -> None:
    fleet = [info(f"s{n}", 7_200, 60, last_age_s=n) for n in range(5)]
    (window,) = plan_windows(fleet, TICK, 2_016, max_series=3)
    assert window.series == ("s0", "s1", "s2")


def test_a_series_without_samples_is_left_out() -> None:
    empty = [SeriesInfo(name, name, {}, "") for name in ("a", "b")]
    assert plan_windows(empty, TICK, 2_016) == ()


samples_at = st.lists(
    st.tuples(st.integers(-50, 700), st.floats(-1e6, 1e6)), max_size=30, unique_by=lambda sample: sample[0]
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(samples=samples_at, step_s=st.sampled_from([1, 7, 60]), steps=st.integers(1, 12))
def test_a_frame_holds_the_mean_of_what_lies_in_each_step(
    samples: list[tuple[int, float]], step_s: int, steps: int
) -> None:
    """A step is (start, start + step]; `samples` are (seconds before the tick, value)."""
    with open_store(clock=lambda: TICK) as store:
        store.samples.append(
            [Sample(metric="m", value=value, ts=TICK - timedelta(seconds=age)) for age, value in samples]
        )
        frame = store.samples.frame(["m", "never"], TICK, step_s, steps)
    expected = np.full(steps, np.nan)
    for place in range(steps):
        youngest_s = (steps - 1 - place) * step_s
        inside = [value for age, value in samples if youngest_s <= age < youngest_s + step_s]
        expected[place] = np.mean(inside) if inside else np.nan
    np.testing.assert_allclose(frame.values[0], expected, rtol=1e-9, atol=1e-6)
    assert np.isnan(frame.values[1]).all()
    assert frame.end == TICK


@settings(max_examples=25, deadline=None)
@given(values=st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=4))
def test_of_repeated_samples_the_last_recorded_counts_and_later_ones_are_invisible(values: list[float]) -> None:
    moments = [TICK + timedelta(seconds=n) for n in range(len(values))]
    now = [moments[0]]
    with open_store(clock=lambda: now[0]) as store:
        for moment, value in zip(moments, values, strict=True):
            now[0] = moment
            store.samples.append([Sample(metric="m", value=value, ts=TICK)])
        assert store.samples.frame(["m"], TICK, 60, 1).values[0, 0] == values[-1]
        for moment, value in zip(moments, values, strict=True):
            assert store.samples.frame(["m"], TICK, 60, 1, as_of=moment).values[0, 0] == value


def members(metric: str, count: int, age_s: float = 3_600.0, last_age_s: float = 0.0) -> list[SeriesInfo]:
    """Return many series of one metric, sampled every minute."""
    return [replace(info(f"{metric}{n:05d}", age_s, 60.0, last_age_s), metric=metric) for n in range(count)]


def test_a_metric_that_explodes_displaces_no_other_and_is_named() -> None:
    steady, bursting = [*members("cpu", 20, age_s=7_200, last_age_s=300), *members("disk", 5)], members("latency", 900)
    kept, (told,) = worth_following([*steady, *bursting], TICK, 100)
    assert {each.series for each in steady} <= {each.series for each in kept}
    assert len(kept) == 100
    assert told.startswith("latency ")


def test_series_that_spoke_once_and_are_silent_are_left_out_where_they_are_many() -> None:
    once = [replace(each, count=1, first=each.last) for each in members("latency", 4_000, 3_600, 3_600)]
    steady = [replace(each, series=f"steady-{each.series}") for each in members("latency", 3, age_s=7_200)]
    kept, told = worth_following([*once, *steady], TICK, 10_000)
    assert sorted(each.series for each in kept) == sorted(each.series for each in steady)
    assert len(told) == 1
    few = once[: MANY_GONE - 1]
    assert worth_following(few, TICK, 10_000) == (few, [])


@given(st.lists(st.integers(1, 60), min_size=1, max_size=12), st.integers(12, 200))
def test_no_more_than_the_limit_are_looked_at_and_a_small_metric_keeps_all_of_its_series(
    sizes: list[int], most: int
) -> None:
    known = [each for number, size in enumerate(sizes) for each in members(f"m{number}x", size)]
    kept, told = worth_following(known, TICK, most)
    assert len(kept) <= max(most, len(sizes))
    assert (told == []) == (len(known) <= most) == (len(kept) == len(known))
    share = most // len(sizes)
    for number, size in enumerate(sizes):
        assert sum(each.metric == f"m{number}x" for each in kept) >= min(size, share)
