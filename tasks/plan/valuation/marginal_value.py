"""What each further unit of an amount is worth to an agent: what it offers where a budget is shared with others.

Values are by the hour, 1 being an objective of severity 1 broken for that hour, less what a unit costs: on this scale
what several agents offer can be compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from handlers import ActionHandler
from storage.records import FloatArray, Objective
from tasks.drivers.amount_steps import Move
from tasks.drivers.fitting import row_of
from tasks.drivers.responses import on_grid
from tasks.drivers.settable_amounts import AmountsNow, AmountStep, unit_cost_of
from tasks.excess import excess_of
from tasks.plan.valuation.amount_backlog import few_of
from tasks.plan.valuation.amount_schedule import losses_of_metric, risk_over_paths

Steps = tuple[tuple[float, float], ...]
"""(amount, value) in turn: so much more is worth so much more an hour."""

_MOST_STEPS = 24
_KEPT_RATIO = 0.5
"""What a unit that is in use saves is not known where no response is: half of what is at stake."""
_HOPELESS_RATIO = 0.05
"""How much of an objective is told apart where all of it is lost."""


def marginal_steps(known: AmountsNow, sets: str, step: AmountStep | None) -> Steps:
    """Return what each further amount is worth from nothing on, up to the last that is worth more than it costs.

    With a response the paths of the driver say so: the risk over the horizon of each amount, held throughout, of every
    objective that it serves, by severity. Without one `step` does, the next one of the amount: what is held is worth
    half of what is at stake, what would relieve a breach its probability, and what is given back nothing. Empty where
    the amount serves no objective that says so.
    """
    actions = [each for each in known.actions.values() if each.sets == sets and each.amounts]
    amounts = np.unique([amount for each in actions for amount in each.amounts if amount > 0])
    if not len(amounts):
        return ()
    unit_cost = max(map(unit_cost_of, actions))
    served = [each for each in known.objectives if each.capacity == sets and each.measured != sets]
    planned = [each for each in served if each.name in known.driven.responses]
    rates = [rate for each in planned if len(rate := _saved(known, each, amounts))]
    if rates:
        return _steps_of(amounts, np.sum(rates, axis=0) - unit_cost * amounts)
    return _stepped(known, actions, amounts, step, unit_cost) if step is not None else ()


def wanted_acts(priorities: Sequence[float]) -> Steps:
    """Return what each further act is worth where acts are counted: one for each goal, weightiest first."""
    return tuple((1.0, priority) for priority in sorted(priorities, reverse=True) if priority > 0)


def _saved(known: AmountsNow, objective: Objective, amounts: FloatArray) -> FloatArray:
    """Return what each amount (n_amounts,) saves an hour of an objective's risk; empty where its driver is unknown."""
    paths = known.paths.get(str(objective.driver))
    step_s = {series: each.step_s for each in known.frames for series in each.series}.get(str(objective.driver))
    if paths is None or not paths.size or step_s is None:
        return np.empty(0)
    few = paths[few_of(paths), : max(1, round(objective.horizon_s / step_s))]
    size = -(-few.shape[1] // _MOST_STEPS)
    count = few.shape[1] // size
    means = few[:, : count * size].reshape(len(few), count, size).mean(axis=2)
    response = on_grid(known.driven.responses[objective.name], step_s * size)
    spread = objective.spread or _spread_of(known, objective.measured) or max(abs(objective.bound), 1.0) * 0.1
    metrics = (response.metric(means, np.array(amount)) for amount in amounts.tolist())
    losses = (_losses(objective, metric, spread) for metric in metrics)
    return objective.severity * (1.0 - np.array([float(risk_over_paths(each).mean()) for each in losses]))


def _losses(objective: Objective, metric: FloatArray, spread: float) -> FloatArray:
    """Return the losses of a metric, a little more the further it is beyond where the planner's end, at two sd.

    Were all equal there, who falls short by far would seem to have no use for the next unit.
    """
    excess = excess_of(
        np.nan_to_num(metric, nan=objective.bound, posinf=1e300), objective.bound, objective.side, spread
    )
    losses = losses_of_metric(metric, objective.bound, objective.side, spread)
    return np.asarray(losses - _HOPELESS_RATIO * 2.0 / np.maximum(excess, 2.0))


def _spread_of(known: AmountsNow, series: str) -> float:
    rows = (row for frame in known.frames if (row := row_of(frame, series)) is not None)
    seen = next((row[np.isfinite(row)] for row in rows), np.empty(0))
    return float(seen.std()) if len(seen) else 0.0


def _stepped(
    known: AmountsNow, actions: Sequence[ActionHandler], amounts: FloatArray, step: AmountStep, unit_cost: float
) -> Steps:
    """Return what amounts are worth by the next step alone: unit for unit, since no response tells more."""
    by_name = {each.name: each for each in known.objectives}
    severity = max((by_name[name].severity for name in step.objectives if name in by_name), default=0.0)
    likely = max((short.probability for short, _ in step.shortfalls.values()), default=0.0)
    if severity <= 0 or not np.isfinite([step.now, step.to]).all():
        return ()
    kept = step.to if step.move is Move.GIVE_BACK else step.now
    needed = max(likely, _KEPT_RATIO) if step.move is Move.RELIEVE else 0.0
    is_for_more = step.to > step.now
    worth = np.where(amounts <= kept + 1e-9, _KEPT_RATIO, needed if is_for_more else 0.0) * severity - unit_cost
    within = amounts <= max(kept, step.to) + 1e-9
    each = np.diff(amounts[within], prepend=0.0)
    return _steps_of(amounts[within], np.cumsum(each * worth[within]))


def _steps_of(amounts: FloatArray, values: FloatArray) -> Steps:
    """Return the increments of values by amount, as far as the best."""
    if not len(amounts):
        return ()
    most = int(np.argmax(values))
    points = [(0.0, 0.0), *zip(amounts[: most + 1].tolist(), values[: most + 1].tolist(), strict=True)]
    return tuple((after[0] - before[0], after[1] - before[1]) for before, after in pairwise(points))
