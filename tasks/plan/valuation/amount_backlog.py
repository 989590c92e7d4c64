"""Choose an amount for a backlog: what it costs depends on what waits by then, which all amounts before it decided."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from storage.records import FloatArray, IntArray
from tasks.plan.valuation.amount_schedule import AmountPlan, AmountRules, risk_over_paths

_FUTURES = 10
_LEVELS = 20


@dataclass(frozen=True)
class BacklogFutures:
    """A few futures of what waits, of which each is as likely as another.

    `flow` (n_futures, n_steps) arrives in each step, `served` (n_amounts,) is what each amount can serve in one;
    `waiting` is there now. `levels` (n_levels,), ascending from 0, are those whose losses (n_futures, n_steps,
    n_levels) are known, on the scale of the other losses.
    """

    flow: FloatArray
    served: FloatArray
    waiting: float
    levels: FloatArray
    losses: FloatArray


def few_of(paths: FloatArray) -> IntArray:
    """Return the places of ten paths (n_paths, n_steps) that stand for all: from the least total to the greatest."""
    order = np.argsort(paths.sum(axis=1), kind="stable")
    count = min(_FUTURES, len(paths))
    return np.asarray(order[((np.arange(count) + 0.5) / count * len(paths)).astype(int)])


def levels_for(typical: float, most: float) -> FloatArray:
    """Return the levels of a backlog that are told apart: finest around a typical one, up to the most there can be."""
    first = max(typical / 8, 1e-9)
    return np.concatenate([[0.0], np.geomspace(first, max(most, 4 * first), _LEVELS - 1)])


def plan_backlog(
    futures: BacklogFutures, losses: FloatArray, amounts: FloatArray, now: float, rules: AmountRules
) -> AmountPlan:
    """Return the cost of every first move where what waits carries over, by dynamic programming in every future.

    As `plan_amounts`, with what waits as a second state beside the amount. `losses` (n_steps, n_amounts) are those of
    other objectives. After the first move every future is planned for by itself, as if it were known: that is too
    hopeful, and is made good by planning anew every round and by the risk over futures (.8 mean + .2 worst tenth).
    What waits at the end is charged as if it took one more step for every step's work of the present amount.
    """
    here = int(np.argmin(np.abs(amounts - now)))
    if not np.isclose(amounts[here], now):
        raise ValueError(f"the present amount {now} is not one of {amounts.tolist()}")
    steps, count = losses.shape
    held_cost, held_level = _held(futures, losses, here, rules.unit_cost * float(amounts[here]))
    after: list[FloatArray] = [np.empty(0)] * steps
    after.append(_left_over(futures, here, count))
    to_go = np.empty((steps, count))
    for step in range(steps - 1, -1, -1):
        moves = _moves(step, futures, losses, after, amounts, rules)
        after[step] = np.nanmin(moves, axis=2)
        first = _at_level(moves[:, here].transpose(0, 1, 2), held_level[step], futures.levels)
        to_go[step] = risk_over_paths(held_cost[step][:, None] + first)
    left = _at_level(after[-1][:, here][:, None, :], held_level[steps], futures.levels)[:, 0]
    hold = float(risk_over_paths((held_cost[steps] + left)[:, None])[0]) / steps
    return AmountPlan(amounts, here, hold, to_go / steps)


def _held(
    futures: BacklogFutures, losses: FloatArray, here: int, running: float
) -> tuple[list[FloatArray], list[FloatArray]]:
    """Return cost and level (n_futures,) before each step, and after the last, while the present amount is held."""
    level = np.full(len(futures.flow), futures.waiting)
    cost = np.zeros(len(futures.flow))
    costs, levels = [cost], [level]
    for step in range(len(losses)):
        level = np.clip(level + futures.flow[:, step] - futures.served[here], 0.0, futures.levels[-1])
        cost = (
            cost
            + losses[step, here]
            + running
            + _at_level(futures.losses[:, step][:, None], level, futures.levels)[:, 0]
        )
        costs.append(cost)
        levels.append(level)
    return costs, levels


def _left_over(futures: BacklogFutures, here: int, count: int) -> FloatArray:
    """Return the cost (n_futures, n_amounts, n_levels) of what still waits after the last step."""
    steps_left = futures.levels / np.maximum(futures.served[here], 1e-12)
    return np.repeat((futures.losses[:, -1] * steps_left)[:, None, :], count, axis=1)


def _moves(
    step: int,
    futures: BacklogFutures,
    losses: FloatArray,
    after: list[FloatArray],
    amounts: FloatArray,
    rules: AmountRules,
) -> FloatArray:
    """Return the cost (n_futures, n_amounts, n_amounts, n_levels) from a step on of going from an amount to another."""
    steps, running = len(losses), rules.unit_cost * amounts
    ready = min(steps, step + max(1, rules.latency_steps))
    shape = (len(futures.flow), len(amounts), len(futures.levels))
    level, waited = np.broadcast_to(futures.levels, shape), np.zeros(shape)
    at_once = np.zeros(shape)
    for moment in range(step, ready):
        level = np.clip(
            level + futures.flow[:, moment, None, None] - futures.served[None, :, None], 0.0, futures.levels[-1]
        )
        waited = waited + losses[moment][None, :, None] + _own_losses(futures, moment, level)
        if moment == step:
            at_once = waited + running[None, :, None] + _same_amount(after[step + 1], level, futures.levels)
    rise = amounts[None, :] - amounts[:, None]
    cost = np.repeat(at_once[:, None], len(amounts), axis=1)
    if rules.latency_steps > 0:
        place, share = _places(level, futures.levels)
        later = after[ready]
        up = waited[:, :, None] + running[None, None, :, None] * (ready - step)
        for future in range(shape[0]):
            values = later[future]
            low, high = values[:, place[future]], values[:, place[future] + 1]
            up[future] += (low + share[future] * (high - low)).transpose(1, 0, 2)
        cost = np.where((rise > 0)[None, :, :, None], up, cost)
    cost = cost + np.where(rise != 0, rules.change_cost, 0.0)[None, :, :, None]
    return np.where((rise > rules.most_up + 1e-9)[None, :, :, None], np.nan, cost)


def _own_losses(futures: BacklogFutures, step: int, level: FloatArray) -> FloatArray:
    """Return the backlog's losses at a level (n_futures, n_amounts, n_levels) after a step."""
    return _same_amount(np.broadcast_to(futures.losses[:, step][:, None], level.shape), level, futures.levels)


def _same_amount(values: FloatArray, level: FloatArray, levels: FloatArray) -> FloatArray:
    """Return values known at `levels`, both (n_futures, n_amounts, n_levels), at other levels of the same amount."""
    place, share = _places(level, levels)
    low = np.take_along_axis(values, place, axis=2)
    return np.asarray(low + share * (np.take_along_axis(values, place + 1, axis=2) - low))


def _at_level(values: FloatArray, level: FloatArray, levels: FloatArray) -> FloatArray:
    """Return values (n_futures, n, n_levels) at one level (n_futures,) a future, (n_futures, n)."""
    place, share = _places(level, levels)
    rows = np.arange(len(values))
    low, high = values[rows, :, place], values[rows, :, place + 1]
    return np.asarray(low + share[:, None] * (high - low))


def _places(level: FloatArray, levels: FloatArray) -> tuple[IntArray, FloatArray]:
    """Return the level below, by its place, and how far toward the next a value lies."""
    place = np.clip(np.searchsorted(levels, level, side="right") - 1, 0, len(levels) - 2)
    return place, (level - levels[place]) / (levels[place + 1] - levels[place])
