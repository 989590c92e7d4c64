"""What an amount changed: the metric that came, against what its driver would have made of it at the old amount.

An action that sets an amount does not change what drives the metric. The driver that was observed after the act
therefore tells what the metric would have been without it, by the response of metric to driver and capacity; how far
that is off is seen in past windows in which the amount stayed as it was.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from math import sqrt

import numpy as np

from storage.records import BoolArray, FloatArray, Verdict
from tasks.drivers.responses import Response, started
from tasks.measure.inference.effect import Better, Effect, measure_effect
from tasks.measure.inference.estimand import WEEK_S, Trigger, triggered
from tasks.measure.inference.other_acts import with_doubt
from tasks.measure.inference.past_errors import ErrorLedger, build_ledger
from tasks.measure.inference.placebo_windows import FEWEST_TRIGGERED, mean_errors, separate
from tasks.special import at_least_visible

MOST_ORIGINS = 160
SELDOM_SEEN = "what the old amount would have led to was seldom seen before, so it is uncertain"


@dataclass(frozen=True)
class DrivenHistory:
    """A metric, what drives it and what carries it, all (n_steps,) on one grid, NaN where nothing was recorded.

    The steps from `first` on are judged, the last of which ends at `end`; those before `known` lie before the act. What
    is added to the capacity works after `settling` steps.
    """

    metric: FloatArray
    driver: FloatArray
    capacity: FloatArray
    first: int
    known: int
    settling: int
    step_s: float
    end: datetime

    @property
    def steps_per_week(self) -> int:
        """Return how many steps a week has."""
        return max(1, round(WEEK_S / self.step_s))

    @property
    def restless(self) -> BoolArray:
        """Mark the steps (n_steps,) at which the capacity had just changed, or what changed does not work yet."""
        changed = np.flatnonzero(np.diff(carried_forward(self.capacity)) != 0) + 1
        marked = np.zeros(len(self.capacity), dtype=np.bool_)
        for step in changed:
            marked[step : step + self.settling + 1] = True
        return marked

    @property
    def metric_sd(self) -> float:
        """Return the usual spread of the metric before the act."""
        before = self.metric[: self.known]
        if not np.isfinite(before).any():
            return 0.0
        return at_least_visible(float(np.nanstd(before)), float(np.nanmean(before)))


def carried_forward(values: FloatArray) -> FloatArray:
    """Return values (n,) with gaps filled by what was seen last; NaN before the first."""
    last = np.maximum.accumulate(np.where(np.isfinite(values), np.arange(len(values)), 0))
    return np.asarray(values[last])


def at_old_amount(past: DrivenHistory, response: Response, held: float) -> FloatArray:
    """Return what the metric would have been after the act (n_judged,), had the amount stayed.

    What waited before the act is still there after it: so a backlog is followed from the act on.
    """
    begins = max(1, min(past.known, past.first))
    metric, driver = carried_forward(past.metric)[begins - 1], carried_forward(past.driver)[begins - 1]
    after = started(response, metric, driver).metric(past.driver[begins:], np.array(held))
    return after[max(0, past.first - begins) :]


def held_ledger(past: DrivenHistory, response: Response, trigger: Trigger = "") -> ErrorLedger:
    """Return how wrong that was in past windows: the capacity of their beginning held, the driver as it came.

    Windows in which the capacity changed, whoever changed it, or had just changed say nothing of it and are left out.
    """
    steps = len(past.metric) - past.first
    last = past.known - 1 - steps
    if last < 1:
        return ErrorLedger.empty(steps)
    origins = np.unique(np.linspace(0, last, min(MOST_ORIGINS, last + 1)).round().astype(np.int64))
    targets = origins[:, None] + 1 + np.arange(steps)
    metric, driver, held = (carried_forward(row)[origins] for row in (past.metric, past.driver, past.capacity))
    return build_ledger(
        past.metric[: past.known],
        started(response, metric, driver).metric(past.driver[targets], held[:, None]),
        origins,
        steps_per_day=86_400 / past.step_s,
        acted=past.restless[: past.known],
        same_trigger=triggered(past.metric, origins, trigger, past.steps_per_week) if trigger else None,
    )


def wrong_there(ledger: ErrorLedger, expected: FloatArray, used: BoolArray) -> float:
    """Return how wrong the response was, in the mean of the steps used, where it went as far from the usual as now.

    Most of the time a backlog is empty and the response right about that; what it says of overload is another matter.
    Where it seldom went half as far it may be wrong by all of it.
    """
    assert ledger.observed is not None
    said = mean_errors(ledger.observed - ledger.errors, used)
    usual = float(np.nanmedian(said))
    away = float(expected[used].mean()) - usual
    is_alike = np.sign(away) * (said - usual) >= abs(away) / 2
    wrong = mean_errors(ledger.errors[is_alike], used)
    if separate(ledger, is_alike, int(used.sum())) < FEWEST_TRIGGERED:
        return abs(away)
    return float(np.sqrt(np.mean(np.square(wrong))))


def undisturbed(past: DrivenHistory, held: float, amount: float) -> int:
    """Return how many of the judged steps passed before the capacity became anything but the old and new amount."""
    capacity = carried_forward(past.capacity)[past.first :]
    is_new = np.isclose(capacity, amount)
    # In the step in which it changes the capacity's mean lies between the two.
    is_on_the_way = (capacity >= min(held, amount)) & (capacity <= max(held, amount)) & ~np.maximum.accumulate(is_new)
    is_other = ~is_new & ~is_on_the_way
    return int(np.argmax(is_other)) if is_other.any() else len(capacity)


def measure_amount(
    past: DrivenHistory,
    response: Response,
    held: float,
    amount: float,
    *,
    better: Better,
    window_steps: int,
    trigger: Trigger = "",
    confidence: float = 0.90,
    alpha: float = 0.05,
) -> Effect:
    """Estimate what going from `held` to `amount` changed, with an interval that past windows vouch for.

    Where the capacity changed once more within the window only what came before counts; under half of the window that
    is confounded. Few past windows are inconclusive, a metric or driver that was not seen unknown, as for any action.
    """
    clear = min(undisturbed(past, held, amount), window_steps)
    observed = past.metric[past.first :].copy()
    observed[clear:] = np.nan
    expected = at_old_amount(past, response, held)
    ledger = held_ledger(past, response, trigger)
    effect = measure_effect(
        observed,
        np.where(np.isfinite(expected), expected, np.nan),
        ledger,
        better=better,
        confidence=confidence,
        alpha=alpha,
        metric_sd=past.metric_sd or None,
        window_steps=window_steps,
    )
    if effect.is_measured:
        used = np.isfinite(observed) & np.isfinite(expected)
        wrong = wrong_there(ledger, expected, used & (np.arange(len(used)) < effect.window_steps))
        doubt = sqrt(max(0.0, wrong**2 - effect.standard_error**2))
        effect = with_doubt(effect, doubt, alpha, past.metric_sd, SELDOM_SEEN)
    if 2 * clear >= window_steps:
        return effect
    again = f"the amount changed again after {clear} of {window_steps} steps"
    return replace(effect, verdict=Verdict.CONFOUNDED, reason=again)
