"""Choose an amount on the paths of what drives a metric: servers for a load, workers for an inflow.

A metric that actions hold down says little about what comes; what drives it does. The driver is forecast, the metric
follows for each amount, and the amounts over time are planned with the latency of every increase charged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import theilslopes

from storage.errors import ForeactError
from storage.records import FloatArray
from tasks.plan.problem import Response
from tasks.plan.risk import Side, excess_of

_TAIL = 0.1
_MEAN_SHARE = 0.8
_FULLEST = 0.95
_MIN_VALUES = 10
_MOST_VALUES = 400
_BETTER_RATIO = 0.8


@dataclass(frozen=True)
class RatioResponse:
    """metric = base + work × driver / capacity: utilisation, load per server, queue length per worker."""

    work: float
    base: float = 0.0

    def metric(self, driver: FloatArray, capacity: FloatArray) -> FloatArray:
        """Return the metric for driver and capacity that broadcast against each other."""
        return self.base + self.work * driver / np.maximum(capacity, 1e-9)


@dataclass(frozen=True)
class QueueResponse:
    """metric = service / (1 − ρ) with ρ = work × driver / capacity: the response time of a shared queue.

    The mean of an M/G/1 processor-sharing queue (Kleinrock 1976, Queueing Systems 2, section 4.4). From ρ = .95 on it
    continues as a straight line, since a real queue that is overloaded for a while does not grow without end.
    """

    service: float
    work: float

    def metric(self, driver: FloatArray, capacity: FloatArray) -> FloatArray:
        """Return the metric for driver and capacity that broadcast against each other."""
        load = self.work * driver / np.maximum(capacity, 1e-9)
        steepness = 1.0 / (1.0 - _FULLEST)
        beyond = np.maximum(load - _FULLEST, 0.0) * steepness**2
        return self.service * (1.0 / (1.0 - np.minimum(load, _FULLEST)) + beyond)


@dataclass(frozen=True)
class ProductResponse:
    """metric = driver × (base + work × capacity): what grows with the amount, as work does with the content served."""

    work: float
    base: float = 0.0

    def metric(self, driver: FloatArray, capacity: FloatArray) -> FloatArray:
        """Return the metric for driver and capacity that broadcast against each other."""
        return driver * (self.base + self.work * capacity)


@dataclass(frozen=True)
class CapacityResponse:
    """The metric is the capacity itself: an objective on how much there should be."""

    def metric(self, driver: FloatArray, capacity: FloatArray) -> FloatArray:
        """Return the capacity, in the shape of both."""
        return np.broadcast_to(capacity, np.broadcast_shapes(np.shape(driver), np.shape(capacity))).astype(float)


def declared_response(spec: Mapping[str, Any]) -> Response:
    """Return a response from its description: a `form` of ratio, queue, product or capacity, and its numbers.

    Raises ForeactError `plan.bad_response` for an unknown form or numbers that it does not take.
    """
    numbers = {name: value for name, value in spec.items() if name != "form"}
    forms: dict[str, Callable[..., Response]] = {
        "ratio": RatioResponse,
        "queue": QueueResponse,
        "product": ProductResponse,
        "capacity": CapacityResponse,
    }
    try:
        return forms[str(spec.get("form"))](**{name: float(value) for name, value in numbers.items()})
    except (KeyError, TypeError, ValueError):
        raise ForeactError(
            "plan.bad_response",
            f"{dict(spec)} describes no response.",
            "Give form = ratio (work, base), queue (service, work), product (work, base) or capacity.",
        ) from None


@dataclass(frozen=True)
class FunctionResponse:
    """A declared function of (driver, capacity), for where neither form fits."""

    function: Callable[[FloatArray, FloatArray], FloatArray]

    def metric(self, driver: FloatArray, capacity: FloatArray) -> FloatArray:
        """Return the metric for driver and capacity that broadcast against each other."""
        return np.asarray(self.function(driver, capacity), dtype=float)


def fit_response(metric: FloatArray, driver: FloatArray, capacity: FloatArray) -> Response | None:
    """Return how a metric follows from driver and capacity, all (n_steps,) on one grid, NaN where missing.

    Every form is fitted robustly (Theil-Sen; the queue in 1/metric and the product in metric/driver, where they are
    lines) and the one with the least median error is kept. None with under ten complete steps, or where no form fits
    a fifth better than the metric's own median does. While the capacity never varied it is taken to share the load.
    """
    complete = np.isfinite(metric) & np.isfinite(driver) & np.isfinite(capacity) & (capacity > 0) & (driver > 0)
    if complete.sum() < _MIN_VALUES:
        return None
    kept = np.flatnonzero(complete)
    kept = kept[np.linspace(0, len(kept) - 1, min(len(kept), _MOST_VALUES)).round().astype(int)]
    seen, drive, amount = metric[kept], driver[kept], capacity[kept]
    forms = _FORMS if np.ptp(amount) > 0 else _FORMS_OF_LOAD
    fits = [fit for form in forms if (fit := form(seen, drive, amount)) is not None]
    errors = [float(np.median(np.abs(fit.metric(drive, amount) - seen))) for fit in fits]
    spread = float(np.median(np.abs(seen - np.median(seen))))
    best = int(np.argmin(errors)) if errors else None
    return fits[best] if best is not None and errors[best] <= _BETTER_RATIO * spread else None


def _line(across: FloatArray, up: FloatArray) -> tuple[float, float] | None:
    """Return slope and level of a robust line, None where nothing varies."""
    if len(across) < _MIN_VALUES or np.ptp(across) <= 1e-9 * max(1.0, float(np.abs(across).max())):
        return None
    slope, level, *_ = theilslopes(up, across)
    return float(slope), float(level)


def _fit_ratio(seen: FloatArray, driver: FloatArray, capacity: FloatArray) -> Response | None:
    line = _line(driver / capacity, seen)
    return RatioResponse(*line) if line is not None and line[0] > 0 else None


def _fit_queue(seen: FloatArray, driver: FloatArray, capacity: FloatArray) -> Response | None:
    positive = seen > 0
    line = _line((driver / capacity)[positive], 1.0 / seen[positive])
    if line is None or not line[0] < 0 < line[1]:
        return None
    return QueueResponse(1.0 / line[1], -line[0] / line[1])


def _fit_product(seen: FloatArray, driver: FloatArray, capacity: FloatArray) -> Response | None:
    line = _line(capacity, seen / driver)
    return ProductResponse(*line) if line is not None and line[0] > 0 else None


_FORMS_OF_LOAD = (_fit_ratio, _fit_queue)
_FORMS = (*_FORMS_OF_LOAD, _fit_product)


@dataclass(frozen=True)
class AmountRules:
    """What an amount costs and how it may change.

    `latency_steps` is how long an increase takes (a decrease is immediate), `most_up` the largest increase at a time,
    during which nothing else changes. `unit_cost` is the running cost of one unit per step, `change_cost` that of any
    change, both on the scale of the losses.
    """

    latency_steps: int
    unit_cost: float = 0.0
    change_cost: float = 0.0
    most_up: float = np.inf


def stage_losses(
    driver: FloatArray, amounts: FloatArray, response: Response, bound: float, side: Side, sd: float
) -> FloatArray:
    """Return the risk (n_steps, n_amounts) of each amount in each step: .8 mean + .2 CVaR₉₀ of the loss over paths.

    `driver` is (n_paths, n_steps), `amounts` (n_amounts,); the loss of a path is 0 within the bound, a half just
    beyond, 1 from two `sd` on. The tail is taken step by step, so that losses add up over time.
    """
    metric = response.metric(driver[:, :, None], amounts[None, None, :])
    excess = excess_of(np.nan_to_num(metric, nan=bound, posinf=1e300), bound, side, sd)
    losses = np.where(excess > 0, np.minimum(1.0, 0.5 + 0.25 * excess), 0.0)
    count = max(1, round(_TAIL * len(losses)))
    worst = np.partition(losses, len(losses) - count, axis=0)[-count:]
    return np.asarray(_MEAN_SHARE * losses.mean(axis=0) + (1 - _MEAN_SHARE) * worst.mean(axis=0))


@dataclass(frozen=True)
class AmountPlan:
    """What each amount costs from now on, when everything after is planned as well as can be.

    `hold` is the mean loss a step of staying with `amounts[now]` to the end, `to_go` (n_steps, n_amounts) that of
    staying until a step, then going to an amount, then the best; NaN for an amount out of reach. Running costs are in.
    """

    amounts: FloatArray
    now: int
    hold: float
    to_go: FloatArray

    @property
    def best(self) -> float:
        """Return the amount to go to in the first step; the present one where nothing is better."""
        return float(self.amounts[int(np.nanargmin(self.to_go[0]))])

    def gain(self, step: int, amount: float) -> float:
        """Return what going to an amount in a step saves over holding; -inf where it is out of reach."""
        column = int(np.argmin(np.abs(self.amounts - amount)))
        if not np.isclose(self.amounts[column], amount) or step >= len(self.to_go):
            return -np.inf
        cost = float(self.to_go[step, column])
        return -np.inf if np.isnan(cost) else self.hold - cost


def plan_amounts(losses: FloatArray, amounts: FloatArray, now: float, rules: AmountRules) -> AmountPlan:
    """Return the cost of every first move, by dynamic programming over time and amount.

    `losses` (n_steps, n_amounts) as `stage_losses` gives them, summed over objectives with their severities; `amounts`
    ascending, the present one `now` among them. An increase is paid for from the start and works after its latency, so
    what cannot be there in time is charged for being late (Bellman 1957, Dynamic Programming; open loop on the paths,
    and planned anew every round). Raises ValueError where `now` is not among the amounts.
    """
    here = int(np.argmin(np.abs(amounts - now)))
    if not np.isclose(amounts[here], now):
        raise ValueError(f"the present amount {now} is not among {amounts.tolist()}")
    steps, count = losses.shape
    summed = np.concatenate([np.zeros((1, count)), np.cumsum(losses, axis=0)])
    after = np.zeros((steps + 1, count))
    moves = np.empty((steps, count, count))
    for step in range(steps - 1, -1, -1):
        moves[step] = _moves(step, summed, after, amounts, rules)
        after[step] = np.nanmin(moves[step], axis=1)
    held = summed[:, here] + rules.unit_cost * amounts[here] * np.arange(steps + 1)
    to_go = (held[:steps, None] + moves[:, here, :]) / steps
    return AmountPlan(amounts, here, float(held[-1]) / steps, np.asarray(to_go))


def _moves(step: int, summed: FloatArray, after: FloatArray, amounts: FloatArray, rules: AmountRules) -> FloatArray:
    """Return the cost (n_amounts, n_amounts) from a step on of going from one amount to another, then the best."""
    steps = len(summed) - 1
    ready = min(steps, step + max(1, rules.latency_steps))
    rise = amounts[None, :] - amounts[:, None]
    waiting = (summed[ready] - summed[step])[:, None] + rules.unit_cost * amounts[None, :] * (ready - step)
    up = waiting + after[ready][None, :]
    at_once = (summed[step + 1] - summed[step])[None, :] + rules.unit_cost * amounts[None, :] + after[step + 1][None, :]
    cost = np.where(rise > 0, up, at_once) + np.where(rise != 0, rules.change_cost, 0.0)
    return np.where(rise > rules.most_up + 1e-9, np.nan, cost)
