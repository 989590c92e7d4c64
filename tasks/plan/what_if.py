"""What an action at a moment is believed to change: metrics with it and without, on the planner's own paths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from handlers.contract.action import AMOUNT
from storage.records import Candidate, FloatArray, Forecast, GoalView, Objective
from tasks.excess import excess_of
from tasks.forecast import STORED_LEVELS
from tasks.plan.problem import PlanProblem
from tasks.plan.valuation.amounts import amount_of
from tasks.plan.valuation.fan import fan_with
from tasks.plan.valuation.priors import declared_change, effect_of
from tasks.plan.valuation.risk import deviates_of, ramps_of
from tasks.plan.valuation.side_effects import believed_change, times
from tasks.plan.valuation.value import Valuer, futures_of, metric_paths, steps_in

CLEAR_SD = 1.645
"""A change that was measured and that nobody declared or aimed at counts from so many of its errors on."""

Change = tuple[float, float]
"""Mean and standard deviation of a change, in the metric's unit, positive upward."""


@dataclass(frozen=True)
class Fan:
    """A metric at each step, its quantiles (n_steps, n_levels) without the act and with it.

    `change` is None where the act sets an amount, of which the metric is a consequence. `times_s` (n_steps,) count from
    the tick.
    """

    series: str
    times_s: FloatArray
    levels: tuple[float, ...]
    without: FloatArray
    with_act: FloatArray
    change: Change | None = None


@dataclass(frozen=True)
class BreachWith:
    """How large a share of the futures breaks an objective on a series within its horizon, without the act and with."""

    objective: str
    series: str
    without: float
    with_act: float


@dataclass(frozen=True)
class GainSeen:
    """What the planner takes the act for to be worth to an open goal, its cost charged; `needed` to be preferred."""

    goal_id: str
    gain: float
    needed: float


@dataclass(frozen=True)
class WhatIf:
    """What an act at a moment is believed to change."""

    fans: tuple[Fan, ...]
    breaches: tuple[BreachWith, ...]
    gains: tuple[GainSeen, ...]


def what_if(
    problem: PlanProblem,
    forecasts: Mapping[str, Forecast],
    candidate: Candidate,
    start_s: float,
    *,
    widening: float = 1.0,
) -> WhatIf:
    """Return what a candidate would change, done so many seconds after the tick; empty where nothing is believed.

    `forecasts` by series are those of the tick; the fan of an act is `widening` times as wide as beliefs make it. Of
    metrics that follow an amount it is read off the paths of their driver, of all others it is the forecast, moved.
    """
    changes = changes_of(problem, candidate)
    set_by = [each for each in problem.objectives.values() if _is_set_by(problem, each, candidate)]
    driven = {each.measured: each for each in set_by}
    pairs = {(each.name, series): (each, series) for each, series in problem.limited}
    pairs |= {(each.name, each.measured): (each, each.measured) for each in set_by}
    fans = [
        _moved(problem, forecasts[name], change, candidate, start_s, widening)
        for name, change in changes.items()
        if name in forecasts
    ]
    fans += [fan for each in driven.values() if (fan := _driven_fan(problem, each, candidate, start_s)) is not None]
    breaches = [
        breach
        for objective, series in pairs.values()
        if (breach := _breach(problem, objective, series, candidate, changes.get(series), start_s)) is not None
    ]
    return WhatIf(tuple(fans), tuple(breaches), tuple(_gains(problem, candidate, start_s, set(changes) | set(driven))))


def amount_now(problem: PlanProblem, action: str) -> float | None:
    """Return the amount in force of what an action sets; None where it sets none, or nobody knows it."""
    sets = problem.traits_of(action).sets
    if sets is None:
        return None
    if sets in problem.capacities:
        return problem.capacities[sets]
    step = problem.steps.get(sets)
    return step.now if step is not None and np.isfinite(step.now) else None


def next_amount(problem: PlanProblem, offers: Sequence[Candidate]) -> Candidate:
    """Return of what an action offers that with the next higher amount than is in force; the highest where none is."""
    now = amount_now(problem, offers[0].action)
    if now is None:
        return offers[0]
    by_amount = sorted(offers, key=lambda each: float(each.params[AMOUNT]))
    return next((each for each in by_amount if each.params[AMOUNT] > now), by_amount[-1])


def changes_of(problem: PlanProblem, candidate: Candidate) -> dict[str, Change]:
    """Return by series what a candidate is believed to change: as declared, as measured, and as learned for goals.

    Of an amount what is declared counts for each unit that is added; what was measured of acts that added much or
    little tells nothing of this one.
    """
    if AMOUNT in candidate.params and problem.traits_of(candidate.action).sets is not None:
        return _changes_of_amount(problem, candidate)
    found: dict[str, Change] = {}
    for series in problem.paths:
        unit, measured = problem.series_sd.get(series), problem.changes.get((candidate.action, series))
        believed = believed_change(candidate, series, unit, measured)
        if believed is None or not unit:
            continue
        is_meant = declared_change(candidate, series, unit) is not None or _goal_on(problem, candidate, series)
        if is_meant or abs(believed[0]) > CLEAR_SD * believed[1]:
            found[series] = believed[0] * unit, believed[1] * unit
    for series in found:
        view = _goal_on(problem, candidate, series)
        if view is not None:
            toward, sd = effect_of(problem, candidate, view.goal)
            unit = problem.series_sd[series]
            found[series] = (-toward if view.goal.side == "below" else toward) * unit, sd * unit
    return found


def _changes_of_amount(problem: PlanProblem, candidate: Candidate) -> dict[str, Change]:
    now = amount_now(problem, candidate.action)
    if now is None:
        return {}
    scaled, found = times(candidate, float(candidate.params[AMOUNT]) - now), {}
    for series in problem.paths:
        unit = problem.series_sd.get(series)
        believed = believed_change(scaled, series, unit, None)
        if believed is not None and unit:
            found[series] = believed[0] * unit, believed[1] * unit
    return found


def _goal_on(problem: PlanProblem, candidate: Candidate, series: str) -> GoalView | None:
    """Return the weightiest open goal on a series that the action serves."""
    serves = problem.traits_of(candidate.action).serves
    views = (each for each in problem.goals if each.is_open and each.goal.series == series and serves(each.goal))
    return max(views, key=lambda each: each.goal.priority, default=None)


def _is_set_by(problem: PlanProblem, objective: Objective, candidate: Candidate) -> bool:
    return objective.name in problem.responses and amount_of(problem, objective, candidate) is not None


def _moved(
    problem: PlanProblem,
    forecast: Forecast,
    change: Change,
    candidate: Candidate,
    start_s: float,
    widening: float,
) -> Fan:
    times_s = forecast.step_s * np.arange(1, len(forecast.point) + 1, dtype=np.float64)
    duration_s = problem.works_for_s(candidate.action)
    since_s, without = times_s - start_s, np.asarray(forecast.quantiles, dtype=np.float64)
    moved = fan_with(
        without,
        forecast.levels,
        since_s,
        change,
        latency_s=candidate.latency_s,
        duration_s=duration_s,
        widening=widening,
    )
    return Fan(forecast.series, times_s, tuple(forecast.levels), without, moved, change)


def _driven_fan(problem: PlanProblem, objective: Objective, candidate: Candidate, start_s: float) -> Fan | None:
    step_s = problem.step_s.get(str(objective.driver))
    if step_s is None:
        return None
    steps = min(problem.paths[str(objective.driver)].shape[1], steps_in(objective.horizon_s, step_s))
    times_s = step_s * np.arange(1, steps + 1, dtype=np.float64)
    paths = _amount_paths(problem, objective, candidate, start_s, times_s)
    if paths is None:
        return None
    without, moved = (np.quantile(each, STORED_LEVELS, axis=0).T for each in paths)
    return Fan(objective.measured, times_s, STORED_LEVELS, without, moved)


def _amount_paths(
    problem: PlanProblem, objective: Objective, candidate: Candidate, start_s: float, times_s: FloatArray
) -> tuple[FloatArray, FloatArray] | None:
    """Return a driven metric's paths (n_paths, n_steps) at the amount in force and at that which a candidate sets."""
    now, amount = problem.capacities.get(objective.capacity or ""), amount_of(problem, objective, candidate)
    if now is None or amount is None:
        return None
    works_from_s = start_s + (candidate.latency_s if amount > now else 0.0)
    amounts = np.where(times_s > works_from_s, amount, now)[None, :]
    without, moved = (metric_paths(problem, objective, each, times_s) for each in (np.array(now), amounts))
    return None if without is None or moved is None else (without, moved)


def _breach(
    problem: PlanProblem,
    objective: Objective,
    series: str,
    candidate: Candidate,
    change: Change | None,
    start_s: float,
) -> BreachWith | None:
    futures = futures_of(problem, objective, series)
    if futures is None or futures.excess.size == 0:
        return None
    if _is_set_by(problem, objective, candidate):
        paths = _amount_paths(problem, objective, candidate, start_s, futures.times_s)
        if paths is None:
            return None
        without, moved = (excess_of(each, objective.bound, objective.side, futures.sd) for each in paths)
    elif change is not None:
        toward = (-change[0] if objective.side == "below" else change[0]) / futures.sd
        effects = toward + change[1] / futures.sd * deviates_of(problem.seed, len(futures.excess))
        duration_s = problem.works_for_s(candidate.action)
        ramp = ramps_of(futures.times_s, np.array([start_s]), candidate.latency_s, duration_s)[0]
        without, moved = futures.excess, futures.excess - effects[:, None] * ramp[None, :]
    else:
        return None
    shares = (float((each > 0).any(axis=1).mean()) for each in (without, moved))
    return BreachWith(objective.name, series, *shares)


def _gains(problem: PlanProblem, candidate: Candidate, start_s: float, touched: set[str]) -> list[GainSeen]:
    """Return what the planner sees in a candidate for each open goal on a series that it changes."""
    later = replace(
        problem,
        slot_s=max(start_s, 1.0),
        n_slots=2,
        candidates={view.goal.goal_id: (candidate,) for view in problem.goals},
    )
    slot = 1 if start_s > 0 else 0
    gains = []
    for view in problem.goals:
        if view.is_open and view.goal.series in touched and problem.traits_of(candidate.action).serves(view.goal):
            worth = Valuer(later, view).worth(candidate)
            gain = float(worth.gain[slot]) - candidate.cost
            gains += [GainSeen(view.goal.goal_id, gain, worth.needed)] if np.isfinite(gain) else []
    return gains
