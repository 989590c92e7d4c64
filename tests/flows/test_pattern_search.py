"""Long searches for patterns are made now and then; in between the newest steps are looked at, against all history."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from flows.simulate import TickClock
from flows.wiring import live_context
from settings import Settings, load_settings
from storage import Store, open_store
from storage.facts import SEARCHED, LongSearch
from storage.records import Event, Pattern, Sample
from tasks.context import Context
from tasks.forecast import earlier_residuals
from tasks.monitor.task import monitor
from tasks.patterns.in_force import patterns_in_force
from tasks.patterns.task import patterns
from tests.flows.worlds import START, ClimbingLoad

STEP = timedelta(minutes=5)
STEPS = 2_000


class SilentLoad(ClimbingLoad):
    """A world that reports nothing by itself."""

    def observe(self, tick):  # type: ignore[no-untyped-def,override]
        return iter(())


def ids(patterns: Iterable[Pattern]) -> set[str]:
    return {each.pattern_id for each in patterns}


class Watch:
    """A week of a daily metric, and the two stages that look at it."""

    def __init__(self, folder: Path) -> None:
        self.clock = TickClock(START)
        self.store: Store = open_store(clock=self.clock)
        self.settings: Settings = load_settings(folder, home=folder, use_default_objectives=False)
        self.step = 0
        rng = np.random.default_rng(4)
        self.daily = [10 * np.sin(2 * np.pi * n / 288) + rng.normal(0, 1) for n in range(STEPS + 50)]
        self.record([self.daily[n] for n in range(STEPS)])

    def record(self, values: list[float]) -> None:
        self.store.samples.append(
            [
                Sample(metric="load", value=float(value), ts=START + STEP * (self.step + n + 1))
                for n, value in enumerate(values)
            ]
        )
        self.step += len(values)

    def look(self) -> tuple[Context, tuple[Pattern, ...]]:
        tick = START + STEP * self.step
        self.clock.now = tick
        context = live_context(self.settings, self.store, tick, "simulation", actions={}, world=SilentLoad())
        self.store.cycles.begin(context.cycle)
        return context, patterns.fn(context, monitor.fn(context), earlier_residuals)

    def searched_by(self) -> str | None:
        searched = self.store.facts.get(SEARCHED)
        return searched.cycle_id if searched else None


@pytest.fixture
def watch(tmp_path: Path) -> Watch:
    return Watch(tmp_path)


def test_what_a_long_search_found_holds_until_the_next(watch: Watch) -> None:
    first, found = watch.look()
    seasons = [each for each in found if each.kind == "seasonality"]
    assert seasons
    watch.record(watch.daily[STEPS : STEPS + 1])
    second, again = watch.look()
    assert watch.searched_by() == first.cycle_id
    assert [each for each in again if each.kind == "seasonality"] == seasons
    assert not watch.store.patterns.of_cycle(second.cycle_id)
    assert ids(patterns_in_force(watch.store, second.cycle_id)) == ids(again)
    watch.record(watch.daily[STEPS + 1 : STEPS + 13])
    third, _ = watch.look()
    assert watch.searched_by() == third.cycle_id


def test_a_young_metric_is_searched_again_without_the_one_that_was_searched_a_moment_ago(watch: Watch) -> None:
    first, found = watch.look()
    for number in range(2):
        watch.record(watch.daily[STEPS + number : STEPS + number + 1])
        at = START + STEP * watch.step
        watch.store.samples.append(
            [
                Sample(metric="young", value=second % 7, ts=at - timedelta(seconds=second))
                for second in range(0, 300, 10)
            ]
        )
        context, again = watch.look()
        searched = watch.store.facts.get(SEARCHED)
        assert searched is not None
        assert searched.at_s == first.tick.timestamp()
        assert sorted(searched.frames.values()) == [first.tick.timestamp(), context.tick.timestamp()]
        assert ids(found) <= ids(again)
        assert ids(patterns_in_force(watch.store, context.cycle_id)) == ids(again)


def test_a_new_anomaly_is_found_at_once(watch: Watch) -> None:
    _, before = watch.look()
    watch.record([watch.daily[STEPS], 80.0])
    context, after = watch.look()
    (fresh,) = (each for each in after if each.pattern_id not in ids(before))
    assert (fresh.kind, fresh.evidence["value"]) == ("anomaly", 80.0)
    assert fresh in patterns_in_force(watch.store, context.cycle_id)


def test_the_newest_steps_are_judged_as_a_long_search_judges_them(watch: Watch) -> None:
    watch.look()
    watch.record([watch.daily[STEPS], 80.0])
    _, light = watch.look()
    watch.store.facts.set(SEARCHED, LongSearch("gone", 0.0, {}))
    _, long = watch.look()
    assert ids(each for each in light if each.kind == "anomaly") == ids(each for each in long if each.kind == "anomaly")


def test_another_series_asks_for_another_search(watch: Watch) -> None:
    watch.look()
    watch.store.samples.append(
        [Sample(metric="other", value=n % 7, ts=START + STEP * n) for n in range(STEPS - 300, STEPS + 1)]
    )
    watch.record(watch.daily[STEPS : STEPS + 1])
    context, _ = watch.look()
    assert watch.searched_by() == context.cycle_id


def test_what_recurs_in_events_is_looked_for_in_every_cycle(watch: Watch) -> None:
    watch.look()
    watch.store.events.append([Event(event_type="batch", ts=START + timedelta(hours=3 * n)) for n in range(50)])
    watch.record(watch.daily[STEPS : STEPS + 1])
    _, found = watch.look()
    assert any(each.kind == "recurrence" and each.subject == "batch" for each in found)
