"""Choose an amount on the paths of what drives a metric: servers for a load, workers for an inflow.

A metric that actions hold down says little about what comes; what drives it does. The driver is forecast, the metric
follows for each amount, and the amounts over time are planned with the latency of every increase charged.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from storage.records import BoolArray, FloatArray
from tasks.drivers.responses import Response
from tasks.excess import Side, excess_of

_TAIL = 0.1
_MEAN_SHARE = 0.8


@dataclass(frozen=True)
class AmountRules:
    """What an amount costs and how it may change.

    `latency_steps` is how long an increase takes (0 where it is immediate, as a decrease always is), `most_up` the
    largest increase at a time, during which nothing else changes. `unit_cost` is the running cost of one unit per step,
    `change_cost` that of any change, both on the scale of the losses.
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
    return risk_over_paths(losses_of_metric(metric, bound, side, sd))


def losses_of_metric(metric: FloatArray, bound: float, side: Side, sd: float) -> FloatArray:
    """Return the loss of each value: 0 within the bound, a half just beyond, 1 from two `sd` on."""
    excess = excess_of(np.nan_to_num(metric, nan=bound, posinf=1e300), bound, side, sd)
    return np.where(excess > 0, np.minimum(1.0, 0.5 + 0.25 * excess), 0.0)


def risk_over_paths(losses: FloatArray) -> FloatArray:
    """Return .8 mean + .2 CVaR₉₀ of losses (n_paths, ...) over their first axis."""
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

    def without(self, forbidden: BoolArray) -> AmountPlan:
        """Return the plan with these amounts (n_amounts,) out of reach; the present one stays what it is."""
        shut = forbidden.copy()
        shut[self.now] = False
        return replace(self, to_go=np.where(shut, np.nan, self.to_go))

    def gain(self, step: int, amount: float) -> float:
        """Return what going to an amount in a step saves over holding; -inf where it is out of reach."""
        return float(self.gains(amount)[step]) if step < len(self.to_go) else -np.inf

    def gains(self, amount: float) -> FloatArray:
        """Return the same for every step, (n_steps,)."""
        distance = np.abs(self.amounts - amount)
        column = int(distance.argmin())
        if distance[column] > 1e-8 + 1e-5 * abs(amount):
            return np.full(len(self.to_go), -np.inf)
        return np.asarray(np.nan_to_num(self.hold - self.to_go[:, column], nan=-np.inf))


def plan_amounts(losses: FloatArray, amounts: FloatArray, now: float, rules: AmountRules) -> AmountPlan:
    """Return the cost of every first move, by dynamic programming over time and amount.

    `losses` (n_steps, n_amounts) as `stage_losses` gives them, summed over objectives with their severities; `amounts`
    ascending, the present one `now` among them. An increase is paid for from the start and works after its latency, so
    what cannot be there in time is charged for being late (Bellman 1957, Dynamic Programming; open loop on the paths,
    and planned anew every round). Raises ValueError where `now` is not among the amounts.
    """
    here = int(np.argmin(np.abs(amounts - now)))
    if not np.isclose(amounts[here], now):
        raise ValueError(f"the present amount {now} is not one of {amounts.tolist()}")
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
    cost = np.where((rise > 0) & (rules.latency_steps > 0), up, at_once) + np.where(rise != 0, rules.change_cost, 0.0)
    return np.where(rise > rules.most_up + 1e-9, np.nan, cost)
