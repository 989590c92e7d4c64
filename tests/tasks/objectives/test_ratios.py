"""A ratio exists where both of its parts do, whatever their steps, and where one is only there when it happens."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.records import Objective, ObjectiveKind, Sample, series_key
from tasks.goals.statistics.burn import burns_of
from tasks.goals.task import evidence
from tasks.monitor.task import derive_ratios
from tasks.objectives.ratios import is_only_there_when_it_happens, ratio_pairs, with_zeros
from tests.tasks.forecast.loop import START, Loop

SHARE = Objective(name="share", metric="errors", denominator="requests", bound=0.05)


class Ratios:
    """A loop that records two metrics and derives their ratio."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.objective = SHARE.model_copy(update=changes)
        self.loop = Loop(folder, (self.objective,), step_seconds=0)
        self.store = self.loop.store

    def record(self, metric: str, values: Mapping[float, float], labels: Mapping[str, str] | None = None) -> None:
        """Record values by seconds since the start."""
        self.store.samples.append(
            [
                Sample(metric=metric, value=float(value), ts=START + timedelta(seconds=at_s), labels=dict(labels or {}))
                for at_s, value in values.items()
            ]
        )

    def derive(self, at_s: float) -> dict[float, float]:
        derive_ratios(self.loop.context(START + timedelta(seconds=at_s)))
        return self.of("errors/requests")

    def of(self, series: str) -> dict[float, float]:
        found = self.store.samples.columns(START - timedelta(days=1), START + timedelta(days=400), [series])
        since_s = START.timestamp()
        return {
            float(ts.astype("datetime64[s]").astype(float)) - since_s: float(value)
            for ts, value in zip(found["ts"], found["value"], strict=True)
        }


def every(step_s: int, until_s: int, value: float, since_s: int = 0) -> dict[float, float]:
    return {float(at_s): value for at_s in range(since_s + step_s, until_s + 1, step_s)}


@pytest.mark.parametrize(("above_s", "below_s", "step_s"), [(60, 60, 60), (120, 60, 120), (60, 300, 300), (15, 10, 15)])
def test_parts_of_unlike_steps_are_laid_on_the_coarser_one(
    tmp_path: Path, above_s: int, below_s: int, step_s: int
) -> None:
    ratios = Ratios(tmp_path)
    ratios.record("errors", every(above_s, 7_200, 5.0))
    ratios.record("requests", every(below_s, 7_200, 100.0))
    derived = ratios.derive(7_200)
    assert derived.keys() == every(step_s, 7_200, 0).keys()
    assert set(derived.values()) == {0.05}


@pytest.mark.parametrize("newer", ["errors", "requests"])
def test_where_one_part_is_newer_the_ratio_is_there_as_long_as_both_are(tmp_path: Path, newer: str) -> None:
    ratios, older = Ratios(tmp_path), {"errors": "requests", "requests": "errors"}[newer]
    values = {"errors": 5.0, "requests": 100.0}
    ratios.record(older, every(60, 86_400, values[older]))
    ratios.record(newer, every(60, 86_400, values[newer], since_s=80_000 // 60 * 60))
    assert ratios.derive(86_400).keys() == every(60, 86_400, 0, since_s=80_000 // 60 * 60).keys()


@pytest.mark.parametrize("minutes", [[700, 703, 711, 712, 730], [650, 660, 670, 680, 690, 700], [400]])
def test_a_count_that_is_there_only_when_it_happens_is_zero_otherwise(tmp_path: Path, minutes: list[int]) -> None:
    ratios = Ratios(tmp_path)
    ratios.record("requests", every(60, 45_000, 100.0))
    ratios.record("errors", {60.0 * minute: 20.0 for minute in minutes})
    derived = ratios.derive(45_000)
    assert derived == every(60, 45_000, 0.0) | {60.0 * minute: 0.2 for minute in minutes}


def test_what_is_measured_regularly_and_ends_is_not_zero_but_unknown(tmp_path: Path) -> None:
    ratios = Ratios(tmp_path)
    ratios.record("requests", every(60, 45_000, 100.0))
    ratios.record("errors", every(60, 40_020, 3.0))
    assert max(ratios.derive(45_000)) == 40_020


def test_a_part_that_comes_late_corrects_the_ratio(tmp_path: Path) -> None:
    ratios = Ratios(tmp_path)
    ratios.record("requests", every(60, 36_000, 100.0))
    ratios.record("errors", {60.0 * minute: 20.0 for minute in (100, 103, 177, 391)})
    assert ratios.derive(36_000)[36_000 - 120] == 0.0
    ratios.record("errors", {36_000.0 - 120: 50.0})
    ratios.record("requests", {36_060.0: 100.0})
    derived = ratios.derive(36_060)
    assert derived[36_000 - 120] == 0.5
    assert derived[36_060] == 0.0


def test_turns_at_odd_moments_derive_the_same_steps(tmp_path: Path) -> None:
    ratios = Ratios(tmp_path)
    for name, value in (("errors", 5.0), ("requests", 100.0)):
        ratios.record(name, every(60, 7_200, value))
    for at_s in (3_600.5, 3_917.25, 4_222.0, 7_200.75):
        ratios.derive(at_s)
    assert ratios.of("errors/requests").keys() == every(60, 7_200, 0).keys()


def test_errors_by_code_go_with_the_requests_of_the_same_pod(tmp_path: Path) -> None:
    ratios = Ratios(tmp_path, metric='errors{code="500"}')
    for pod, count in (("a", 100.0), ("b", 200.0)):
        ratios.record("requests", every(60, 3_600, count), {"pod": pod})
        for code in ("404", "500"):
            ratios.record("errors", every(60, 3_600, 10.0), {"code": code, "pod": pod})
    ratios.derive(3_600)
    told = {pod: set(ratios.of(f'errors/requests{{code="500",pod="{pod}"}}').values()) for pod in ("a", "b")}
    assert told == {"a": {0.1}, "b": {0.05}}
    known = [info.series for info in ratios.store.samples.known()]
    assert [name for name in known if "/" in name and not ratios.objective.matches(name)] == []
    assert sum("/" in name for name in known) == 2


labels = st.dictionaries(st.sampled_from(["pod", "code", "zone"]), st.sampled_from(["a", "b"]))


@given(
    st.sets(labels.map(lambda each: series_key("errors", each))),
    st.sets(labels.map(lambda x: series_key("requests", x))),
)
def test_every_ratio_is_of_a_numerator_and_a_denominator_whose_labels_it_has(above: set[str], below: set[str]) -> None:
    pairs = ratio_pairs([SHARE], above | below)
    assert {pair.above for pair in pairs} <= above
    assert {pair.below for pair in pairs} <= below
    assert len({pair.series for pair in pairs}) == len(pairs)
    assert all(SHARE.matches(pair.series) for pair in pairs)


@given(st.integers(1, 6), st.integers(30, 200), st.integers(0, 5))
def test_what_comes_at_equal_steps_is_regular_however_coarse(step: int, count: int, phase: int) -> None:
    above, below = np.full(step * count, np.nan), np.ones(step * count)
    above[phase % step :: step] = 1.0
    assert not is_only_there_when_it_happens(above, below)


@given(st.data())
def test_what_was_ever_zero_is_measured_regularly(data: st.DataObject) -> None:
    values = data.draw(st.lists(st.sampled_from([np.nan, 1.0, 2.0]), min_size=5, max_size=50))
    assert not is_only_there_when_it_happens(np.array([*values, 0.0]), np.ones(len(values) + 1))


@pytest.mark.parametrize("count", [3, 8, 19, 20, 60])
def test_what_is_merely_measured_more_slowly_is_never_zero_between(tmp_path: Path, count: int) -> None:
    ratios = Ratios(tmp_path)
    ratios.record("requests", every(10, 60 * count, 100.0))
    ratios.record("errors", every(60, 60 * count, 20.0))
    assert set(ratios.derive(60 * count).values()) == {0.2}


@given(
    seed=st.integers(0, 10_000),
    count=st.sampled_from([2, 5, 12, 30, 200]),
    step=st.sampled_from([1, 3, 6]),
    lost_ratio=st.sampled_from([0.0, 0.15]),
    jitter=st.sampled_from([0, 1]),
)
def test_a_part_whose_exporter_died_is_unknown_from_there_on(
    seed: int, count: int, step: int, lost_ratio: float, jitter: int
) -> None:
    rng = np.random.default_rng(seed)
    alive = count * step + 1
    at = np.arange(count) * step + (rng.integers(-jitter, jitter + 1, count) if step > 1 else 0)
    above, below = np.full(alive + 350, np.nan), np.ones(alive + 350)
    at = at[rng.random(count) >= lost_ratio]
    above[np.clip(at, 0, alive - 1)] = 0.2
    filled = with_zeros(above, below)
    assert np.isnan(filled[alive:]).mean() > 0.9


@given(seed=st.integers(0, 10_000), share=st.sampled_from([0.02, 0.1, 0.3]))
def test_events_at_random_are_zero_between_and_unknown_once_silent_for_longer_than_ever(
    seed: int, share: float
) -> None:
    happened = np.random.default_rng(seed).random(2_000) < share
    above, below = np.where(happened, 3.0, np.nan), np.ones(2_000)
    seen = np.flatnonzero(happened)
    filled = with_zeros(above, below)
    np.testing.assert_array_equal(filled[seen[0] : seen[-1] + 1], np.where(happened, 3.0, 0.0)[seen[0] : seen[-1] + 1])
    longest = int(np.diff(seen).max())
    after = with_zeros(np.append(above, np.full(5_000, np.nan)), np.ones(7_000))[seen[-1] + 1 :]
    assert (after[:longest] == 0).all()
    assert np.isnan(after[2 * longest + 1 :]).all()


class TestBudgetOfRequests:
    """An error budget counts requests: an hour with ten times as many weighs ten times as much."""

    @staticmethod
    def counts(folder: Path, requests: Mapping[float, float], errors: Mapping[float, float]) -> dict[float, Any]:
        ratios = Ratios(folder, kind=ObjectiveKind.SLO, window_s=30 * 86_400.0)
        ratios.record("requests", requests)
        ratios.record("errors", errors)
        end = START + timedelta(seconds=21_600)
        known = evidence(ratios.loop.context(end), ratios.loop.cycle(end), ())
        return {each.window_s: each for each in known.slo_windows["share"]}

    def test_a_busy_hour_weighs_more_than_quiet_ones(self, tmp_path: Path) -> None:
        quiet, busy = every(60, 18_000, 10.0), every(60, 21_600, 1_000.0, since_s=18_000)
        errors = every(60, 18_000, 10.0) | every(60, 21_600, 0.0, since_s=18_000)
        found = self.counts(tmp_path, quiet | busy, errors)[21_600.0]
        assert found.requests == 300 * 10 + 60 * 1_000
        assert found.good / found.total == pytest.approx(60_000 / 63_000)

    @pytest.mark.parametrize(("a_minute", "is_judged"), [(0.0, False), (1.0, False), (100.0, True)])
    def test_too_little_traffic_is_judged_by_nobody(self, tmp_path: Path, a_minute: float, is_judged: bool) -> None:
        requests = every(60, 21_600, a_minute)
        errors = dict.fromkeys((at_s for at_s in requests if at_s > 19_000 and at_s % 180 == 0), a_minute)
        ratios = Ratios(tmp_path, kind=ObjectiveKind.SLO, window_s=30 * 86_400.0)
        ratios.record("requests", requests)
        ratios.record("errors", {at_s: errors.get(at_s, 0.0) for at_s in requests})
        end = START + timedelta(seconds=21_600)
        known = evidence(ratios.loop.context(end), ratios.loop.cycle(end), ())
        hour = [burn for burn in burns_of(known, ratios.objective, None) if burn.windows.long_s == 3_600]
        assert [burn.fires for burn in hour] == ([True] if is_judged else [])

    def test_shares_of_what_is_no_count_are_judged_by_any_amount(self, tmp_path: Path) -> None:
        amounts = every(60, 21_600, 0.25)
        assert self.counts(tmp_path, amounts, every(60, 21_600, 0.05))[21_600.0].requests is None


def counted(step_s: int, until_s: int, each: float, since_s: int = 0) -> dict[float, float]:
    """Return a counter that grows by so much in every step."""
    moments = range(since_s + step_s, until_s + 1, step_s)
    return {float(at_s): each * place for place, at_s in enumerate(moments, start=1)}


COUNTED = {"metric": "good_total", "denominator": "requests_total"}


def counters(folder: Path, bad_since_s: float = 3_600.0, **changes: Any) -> Ratios:
    """Return an hour of 100 requests a minute that are all good, then an hour in which one in ten fails."""
    ratios = Ratios(folder, **COUNTED, **changes)
    good = counted(60, 7_200, 100.0)
    ratios.record("requests_total", good)
    ratios.record("good_total", {at: value - 10 * max(0.0, (at - bad_since_s) / 60) for at, value in good.items()})
    return ratios


def test_of_counters_the_ratio_is_that_of_their_growth(tmp_path: Path) -> None:
    ratios = counters(tmp_path)
    ratios.derive(7_200)
    found = ratios.of("good_total/requests_total")
    assert {round(value, 6) for at, value in found.items() if at <= 3_600} == {1.0}
    assert {round(value, 6) for at, value in found.items() if at > 3_660} == {0.9}


def test_a_counter_that_begins_with_its_first_event_counted_none_before(tmp_path: Path) -> None:
    ratios = Ratios(tmp_path, metric="errors_total", denominator="requests_total")
    ratios.record("requests_total", counted(60, 7_200, 100.0))
    ratios.record("errors_total", dict.fromkeys(counted(60, 7200, 1.0, since_s=5400), 2.0))
    ratios.derive(7_200)
    found = ratios.of("errors_total/requests_total")
    assert (found[600.0], found[5_460.0], found[5_520.0]) == (0.0, 0.02, 0.0)


def test_a_counter_that_is_recorded_later_says_nothing_of_before(tmp_path: Path) -> None:
    ratios = Ratios(tmp_path, metric="errors_total", denominator="requests_total")
    ratios.record("requests_total", counted(60, 7_200, 100.0))
    late = counted(60, 7_200, 1.0, since_s=5_400)
    ratios.record("errors_total", {at: 80_000 + value for at, value in late.items()})
    ratios.derive(7_200)
    assert min(ratios.of("errors_total/requests_total")) == 5_520.0


EVENTS = {"kind": ObjectiveKind.SLO, "side": "above", "window_s": 30 * 86_400.0, "target_ratio": 0.99}


@pytest.mark.parametrize(("counts_events", "burns"), [(True, [10.0, 10.0]), (False, [0.0, 0.0])])
def test_an_slo_on_counters_counts_each_event_unless_a_bound_sorts_the_steps(
    tmp_path: Path, counts_events: bool, burns: list[float]
) -> None:
    ratios = counters(tmp_path, **EVENTS, bound=0.5, counts_events=counts_events)
    ratios.derive(7_200)
    end = START + timedelta(seconds=7_200)
    found = evidence(ratios.loop.context(end), ratios.loop.cycle(end), ())
    fast = burns_of(found, ratios.objective, None)[0]
    assert [fast.long_rate, fast.short_rate] == pytest.approx(burns, rel=0.05)
    if counts_events:
        assert fast.counts.total == pytest.approx(6_000)


def test_an_slo_without_a_bound_counts_events_and_its_target_is_the_bound() -> None:
    given: dict[str, Any] = {"name": "works", "metric": "m", "kind": "slo", "target_ratio": 0.999}
    above, below = (Objective.model_validate(given | {"side": side}) for side in ("above", "below"))
    assert (above.counts_events, above.bound, above.slice_bound) == (True, 0.999, None)
    assert below.bound == pytest.approx(0.001)
    assert (below.goodness(0.25), above.goodness(0.25), above.goodness(7.0)) == (0.75, 0.25, 1.0)
    assert Objective.model_validate(above.model_dump()) == above
    sorted_steps = Objective.model_validate(given | {"bound": 0.5})
    assert (sorted_steps.counts_events, sorted_steps.slice_bound) == (False, 0.5)
    for wrong in ({"kind": "bound"}, {"kind": "bound", "bound": 1, "counts_events": True}):
        with pytest.raises(ValueError, match=r"bound|counts_events"):
            Objective.model_validate({"name": "x", "metric": "m"} | wrong)
