"""Acts that set an amount: what they are to be judged by, and what is recorded around them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from math import ceil

import numpy as np

from storage.records import Action, Estimand, HeldAmount, Objective, metric_of
from tasks.context import Context
from tasks.drivers.fitting import by_definition, fit_metric
from tasks.drivers.responses import Response, on_grid, response_of, started
from tasks.measure.data_around_act import HISTORY_STEPS
from tasks.measure.inference.amount_effect import DrivenHistory, carried_forward
from tasks.measure.inference.estimand import fix_estimand, trigger_of
from tasks.objectives.in_force import objectives_in_force


def amount_estimand(context: Context, action: Action, moment: datetime) -> Estimand | None:
    """Return what an act that sets an amount is to be judged by: the bound that the change of amount serves.

    None where its goal is not driven, the amount is there already, or the change serves no bound: to give back what is
    not needed saves its cost, and no metric gets better by it.
    """
    amount, goal = action.params.get("amount"), context.store.goals.get(action.goal_id)
    objectives = objectives_in_force(context.settings, context.store)
    own = next((each for each in objectives if goal and each.name == goal.goal.objective), None)
    if own is None or own.capacity is None or not isinstance(amount, int | float) or isinstance(amount, bool):
        return None
    if context.actions[action.name].sets != own.capacity:
        return None
    others = (each for each in objectives if each.capacity == own.capacity and each.name != own.name)
    estimands = (_estimand(context, action, each, float(amount), moment) for each in (own, *others))
    return next((each for each in estimands if each is not None), None)


def _estimand(
    context: Context, action: Action, objective: Objective, amount: float, moment: datetime
) -> Estimand | None:
    names = names_of(context, objective)
    issued = context.store.forecasts.before(names.driver, moment) if names else None
    if names is None or issued is None:
        return None
    cycle_id, forecast = issued
    latency_s = context.actions[action.name].latency_s
    past = history_of(context, objective, names, moment, forecast.step_s, settling_s=latency_s)
    response = response_to(objective, past)
    held, driver = carried_forward(past.capacity)[-1], carried_forward(past.driver)[-1]
    if response is None or not np.isfinite([held, driver]).all():
        return None
    # A backlog shows its gain only with time, so the driver is thought to stay as it is for as long as is measured.
    steps = np.full(max(1, round(action.horizon_s / forecast.step_s)), driver)
    now = started(response, carried_forward(past.metric)[-1], driver)
    before, after = (float(now.metric(steps, np.array(each)).mean()) for each in (held, amount))
    gain = before - after if objective.side == "below" else after - before
    if gain <= 0:
        return None
    quiet = np.isfinite(past.metric) & np.isfinite(past.driver) & ~past.restless
    return fix_estimand(
        action.action_id,
        names.metric,
        better="lower" if objective.side == "below" else "higher",
        fixed_at=moment,
        forecast_cycle_id=cycle_id,
        issued_at=forecast.issued_at,
        step_s=forecast.step_s,
        horizon_s=action.horizon_s,
        n_past=int(quiet.sum()),
        trigger=trigger_of(past.metric, past.steps_per_week),
        predicted_sd_units=gain / past.metric_sd if past.metric_sd > 0 else None,
        held=HeldAmount(
            objective=objective.name,
            capacity=names.capacity,
            amount=float(held),
            begins_after_s=latency_s if amount > held else 0.0,
        ),
    )


@dataclass(frozen=True)
class SeriesNames:
    """The series that an objective names, as they are recorded; `per` shares the driver out, where that is so."""

    metric: str
    driver: str
    capacity: str
    per: str | None


def names_of(context: Context, objective: Objective) -> SeriesNames | None:
    """Return the recorded series; None where one is not recorded, or is not one series only."""
    per_name = objective.response.per if objective.response else None
    recorded = [each.series for each in context.store.samples.known()]
    series = list[str]()
    for name in (objective.measured, str(objective.driver), str(objective.capacity), *([per_name] if per_name else [])):
        same = [name] if name in recorded else [each for each in recorded if metric_of(each) == name]
        if len(same) != 1:
            return None
        series += same
    metric, driver, capacity, *per = series
    return SeriesNames(metric, driver, capacity, per[0] if per else None)


def history_of(
    context: Context,
    objective: Objective,
    names: SeriesNames,
    end: datetime,
    step_s: float,
    *,
    settling_s: float,
    judged: int = 0,
    since_act: int = 0,
) -> DrivenHistory:
    """Read what was recorded up to a moment: `judged` steps at its end, the act `since_act` steps before it."""
    steps = HISTORY_STEPS + since_act
    series = list(dict.fromkeys([names.metric, names.driver, names.capacity, *([names.per] if names.per else [])]))
    frame = context.store.samples.frame(series, end, step_s, steps)
    driver = frame.row(names.driver)
    if names.per is not None:
        shares = carried_forward(frame.row(names.per))
        driver = driver / np.where(shares > 0, shares, np.nan)
    return DrivenHistory(
        frame.row(names.metric),
        driver,
        frame.row(names.capacity),
        first=steps - judged,
        known=steps - since_act,
        settling=ceil(settling_s / step_s),
        step_s=step_s,
        end=end,
    )


def response_to(objective: Objective, past: DrivenHistory) -> Response | None:
    """Return how the metric follows: as stated, by definition, or fitted to what was recorded before the act."""
    if objective.response is not None:
        return on_grid(response_of(objective.response), past.step_s)
    before = slice(past.known)
    stated = by_definition(objective)
    if stated is not None:
        return stated
    most = objective.bound if objective.side == "below" else np.inf
    rows = (past.metric[before], past.driver[before], past.capacity[before])
    fitted = fit_metric(*rows, past.step_s, most)
    return on_grid(fitted.response, past.step_s) if fitted is not None else None
