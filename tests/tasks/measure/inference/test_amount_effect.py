"""An act that sets an amount is held against the amount before it, under the driver that came."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

import numpy as np
import pytest

from storage.records import FloatArray, Verdict
from tasks.drivers.responses import RatioResponse, fit_response
from tasks.measure.inference.amount_effect import DrivenHistory, held_ledger, measure_amount, undisturbed
from tasks.measure.inference.effect import Effect

END = datetime(2026, 3, 9, tzinfo=UTC)
STEPS, SETTLING, WORK = 20, 3, 0.05
When = Literal["at random", "just gone high"]


def world(seed: int, does_something: bool, when: When = "at random", n: int = 1_400) -> tuple[DrivenHistory, float]:
    """Return load per server under a daily rhythm, with the capacity set by hand now and then, and the old amount.

    The load's own errors last for a while, so that neighbouring windows resemble each other. One server is added at a
    random moment, or just as the load has risen above the 90 % quantile of its past.
    """
    rng = np.random.default_rng(seed)
    time = np.arange(n + 600)
    driver = 50 + 25 * np.sin(2 * np.pi * time / 288) + np.cumsum(rng.normal(0, 0.15, len(time)))
    driver = np.maximum(driver + rng.normal(0, 1, len(time)), 5)
    capacity = np.full(len(time), 4.0)
    for change in np.sort(rng.choice(np.arange(50, n - 60), 12, replace=False)):
        capacity[change:] = rng.integers(3, 7)
    errors = np.zeros(len(time))
    for step, shock in enumerate(rng.normal(0, 0.03, len(time))):
        errors[step] = 0.7 * errors[step - 1] + shock
    load = WORK * driver / capacity + errors
    act = n
    if when == "just gone high":
        above = load > np.quantile(load[:n], 0.9)
        act = n + int(np.argmax(above[n : n + 500] & ~above[n - 1 : n + 499]))
    held = capacity[act - 1]
    capacity[act:] = held + 1
    works = capacity.copy()
    for rise in np.flatnonzero(np.diff(capacity) > 0) + 1:
        works[rise : rise + SETTLING] = capacity[rise - 1]
    if not does_something:
        works[act:] = held
    load = WORK * driver / works + errors
    first = act + SETTLING
    end = slice(first + STEPS)
    return DrivenHistory(load[end], driver[end], capacity[end], first, act, SETTLING, 300.0, END), float(held)


def measured(past: DrivenHistory, held: float) -> Effect:
    response = fit_response(past.metric[: past.known], past.driver[: past.known], past.capacity[: past.known])
    assert response is not None
    return measure_amount(past, response, held, held + 1, better="lower", window_steps=STEPS)


@pytest.mark.slow
@pytest.mark.parametrize(("when", "most"), [("at random", 0.08), ("just gone high", 0.12)])
def test_an_act_that_does_nothing_is_seldom_praised_or_blamed(when: When, most: float) -> None:
    effects = [measured(*world(seed, does_something=False, when=when)) for seed in range(200)]
    wrong = np.mean([each.p_value < 0.05 for each in effects])
    held = np.mean([each.low <= 0 <= each.high for each in effects])
    assert wrong <= most
    assert held >= 0.85


def test_what_a_server_takes_off_the_load_is_found_and_is_about_what_it_is() -> None:
    found = [(measured(*world(seed, does_something=True)), world(seed, does_something=True)) for seed in range(12)]
    assert sum(effect.verdict is Verdict.IMPROVED for effect, _ in found) >= 8
    assert not any(effect.verdict is Verdict.WORSE for effect, _ in found)
    for effect, (past, held) in found:
        true = (WORK * past.driver[past.first :] * (1 / (held + 1) - 1 / held)).mean()
        assert effect.estimate == pytest.approx(true, abs=4 * effect.standard_error)


def test_a_rising_driver_is_not_taken_for_harm() -> None:
    past, held = world(3, does_something=True)
    driver = past.driver.copy()
    driver[past.first :] *= 2
    metric = past.metric.copy()
    metric[past.first :] += WORK * driver[past.first :] / 2 / (held + 1)
    assert metric[past.first :].mean() > metric[past.known - STEPS : past.known].mean()
    assert measured(replace(past, driver=driver, metric=metric), held).verdict is Verdict.IMPROVED


def test_few_past_windows_are_inconclusive() -> None:
    past, held = world(4, does_something=True)
    cut = past.known - 100
    short = replace(
        past,
        metric=past.metric[cut:],
        driver=past.driver[cut:],
        capacity=past.capacity[cut:],
        first=past.first - cut,
        known=past.known - cut,
    )
    assert measured(short, held).verdict is Verdict.INCONCLUSIVE


def test_without_the_metric_or_its_driver_nothing_is_known() -> None:
    past, held = world(5, does_something=True)
    for name in ("metric", "driver"):
        gone = getattr(past, name).copy()
        gone[past.first :] = np.nan
        assert measured(replace(past, **{name: gone}), held).verdict is Verdict.UNKNOWN


def test_what_changed_the_amount_again_soon_confounds_and_late_only_shortens() -> None:
    past, held = world(6, does_something=True)
    for after, verdict in ((4, Verdict.CONFOUNDED), (15, Verdict.IMPROVED)):
        capacity = past.capacity.copy()
        capacity[past.first + after :] = held + 2
        effect = measured(replace(past, capacity=capacity), held)
        assert effect.verdict is verdict
        assert effect.observed_steps == after


def test_an_amount_on_its_way_or_taken_back_is_told_from_the_new_one() -> None:
    past, held = world(7, does_something=True)
    capacity = np.full(len(past.capacity), held + 1)
    capacity[past.first] = held + 0.4
    assert undisturbed(replace(past, capacity=capacity), held, held + 1) == STEPS
    capacity[past.first + 9 :] = held
    assert undisturbed(replace(past, capacity=capacity), held, held + 1) == 9


def test_past_windows_in_which_the_amount_changed_are_left_out() -> None:
    past, _ = world(8, does_something=True)
    steady = replace(past, capacity=np.full(len(past.capacity), 4.0))
    errors = held_ledger(steady, RatioResponse(WORK)).errors
    assert len(held_ledger(past, RatioResponse(WORK)).errors) < len(errors)
    changed = np.flatnonzero(np.diff(past.capacity[: past.known])) + 1
    for origin in held_ledger(past, RatioResponse(WORK)).origins:  # type: ignore[union-attr]
        assert not ((changed > origin - SETTLING) & (changed <= origin + STEPS)).any()


def backlog(overloads: int) -> tuple[DrivenHistory, Overload]:
    """Return a queue that is empty but for some past overloads of half an hour, an act in one more, and a response
    that takes the servers for slower than they are, so that it foresees a queue where none comes."""
    rng = np.random.default_rng(9)
    n = 1_440
    driver = 20 + rng.normal(0, 1, n + STEPS)
    for begin in [*np.linspace(60, n - 120, overloads).astype(int), n]:
        driver[begin : begin + STEPS] = 39
    capacity = np.full(n + STEPS, 4.0)
    capacity[n:] = 6.0
    past = DrivenHistory(np.zeros(n + STEPS), driver, capacity, n, n, 0, 300.0, END)
    return past, Overload(9.0)


@dataclass(frozen=True)
class Overload:
    """metric = what arrives and cannot be done."""

    rate: float

    def metric(self, driver: FloatArray, capacity: FloatArray) -> FloatArray:
        return np.maximum(driver - self.rate * capacity, 0.0)


@pytest.mark.parametrize("overloads", [0, 3, 12])
def test_what_a_response_says_of_an_overload_counts_as_sure_only_as_far_as_it_was_right_in_others(
    overloads: int,
) -> None:
    effect = measure_amount(*backlog(overloads), 4.0, 6.0, better="lower", window_steps=STEPS)
    assert effect.estimate < 0
    assert effect.low <= 0 <= effect.high
    assert effect.verdict is Verdict.INCONCLUSIVE
