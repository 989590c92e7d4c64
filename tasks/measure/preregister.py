"""Fix what an act will be judged by: forecast, horizon, window, guards, side effects and controls, before it begins."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from functools import partial
from math import isfinite

import numpy as np

from storage.records import (
    NOTHING,
    Action,
    Candidate,
    Estimand,
    Objective,
    Receipt,
    ReceiptStatus,
    SeriesIndex,
    metric_of,
)
from tasks.context import Context
from tasks.interventions.act_window import measured_for_s
from tasks.interventions.overlaps import acted_in
from tasks.learn import PairBeliefs, beliefs_of_pairs, planner_beliefs
from tasks.measure.amount_history import amount_estimand
from tasks.measure.data_around_act import DataAroundAct
from tasks.measure.inference.counters import is_counter
from tasks.measure.inference.detectable import detectability
from tasks.measure.inference.effect import Better
from tasks.measure.inference.estimand import WEEK_S, fix_estimand, trigger_of
from tasks.measure.inference.placebo_figures import fan_widening
from tasks.measure.rerun import FEWEST_HISTORY_STEPS
from tasks.objectives.in_force import objectives_in_force
from tasks.plan import PlanProblem, effect_of
from tasks.special import at_least_visible
from tasks.stage import explanation

MOST_SIDE_EFFECTS = 100
MOST_OF_PAST = 1 / 6


def fix_before_act(context: Context, action: Action) -> Estimand | None:
    """Write down what an act will be judged by; to be called before it. None where no metric is aimed at or forecast.

    An undo and a dry run are not judged, and of a sequence only the last step, for all of them.
    """
    if action.undo_of or action.dry_run or action.is_middle_step:
        return None
    if action.series is None:
        estimand = amount_estimand(context, action, context.store.clock())
    else:
        estimand = foreseen(DataAroundAct(context), action, context.store.clock())
    if estimand is not None:
        context.store.outcomes.fix(estimand, context.cycle_id)
    return estimand


def derive(around: DataAroundAct, action: Action, moment: datetime) -> Estimand | None:
    """Return what an act at a moment is to be judged by, from what was known then."""
    context, series = around.context, action.series
    issued = context.store.forecasts.before(series, around.begun_at(action, moment)) if series else None
    if series is None or issued is None:
        return None
    cycle_id, forecast = issued
    frame = around.history([series], forecast)
    values = frame.row(series)
    acted = acted_in(frame, around.acts, series, action.name)
    quiet = np.isfinite(values) & ~acted
    begun = np.flatnonzero(np.isfinite(values))
    n_past = int(quiet[begun[0] + FEWEST_HISTORY_STEPS :].sum()) if len(begun) else 0
    also_forecast = [name for name in context.store.outcomes.issued.series_of(cycle_id) if name != series]
    objectives = objectives_in_force(context.settings, context.store)
    guards = named(action.guards, [name for name in recorded(context, action) if name != series])
    controls = _controls(context, action, objectives, [name for name in also_forecast if name not in guards])
    others = [name for name in also_forecast if name not in guards and name not in controls]
    believed, doubt = _predicted(context, action) or (None, None)
    return fix_estimand(
        action.action_id,
        series,
        better=better_of(objectives, series, action),
        fixed_at=moment,
        forecast_cycle_id=cycle_id,
        issued_at=forecast.issued_at,
        step_s=forecast.step_s,
        horizon_s=_supported_s(action, n_past * forecast.step_s),
        n_past=n_past,
        trigger=trigger_of(values, max(1, round(WEEK_S / forecast.step_s))),
        guards=guards,
        controls=controls,
        side_effects=() if action.name == NOTHING else _side_effects(objectives, others),
        predicted_sd_units=believed,
        predicted_doubt_sd_units=doubt,
        fan_widening=fan_widening(context.store.outcomes.what_ifs()) if believed is not None else 1.0,
    )


def _supported_s(action: Action, past_s: float) -> float:
    """Return for how long an act is measured: where nobody says how long it works, a share of the past at most.

    Longer windows could not be compared with any of a young metric.
    """
    if action.least_horizon_s is None:
        return action.horizon_s
    return max(action.least_horizon_s, min(action.horizon_s, past_s * MOST_OF_PAST))


def foreseen(around: DataAroundAct, action: Action, moment: datetime) -> Estimand | None:
    """Return what an act is to be judged by, with how small an effect could be told."""
    estimand = derive(around, action, moment)
    if estimand is None:
        return None
    return explanation("how small an effect could be told", partial(_with_power, around, action, estimand), estimand)


def _with_power(around: DataAroundAct, action: Action, estimand: Estimand) -> Estimand:
    fixed_at, series = estimand.fixed_at, estimand.series
    done = Receipt(
        action_id=action.action_id, status=ReceiptStatus.SUCCEEDED, started_at=fixed_at, finished_at=fixed_at
    )
    until = fixed_at + timedelta(seconds=measured_for_s(action, estimand))
    grids = around.grids(estimand, done, [series], until, around.context.actions[action.name].latency_s)
    if not grids:
        return estimand
    (window,) = around.windows(grids[0], action, done, until, {series: "target"}, {series: estimand.better}, estimand)
    if is_counter(series, window.ledger):
        return estimand
    sd = at_least_visible(window.metric_sd or 0.0, float(np.nanmax(np.abs(window.forecast))))
    believed = estimand.predicted_sd_units
    steps = min(estimand.window_steps, len(window.forecast))
    told = detectability(window.forecast, window.ledger, steps, alpha=estimand.alpha)
    if told is None:
        return estimand
    smallest = told.smallest()
    is_told = isfinite(smallest)
    return estimand.model_copy(
        update={
            "power_ratio": told.power(believed * sd) if believed is not None else None,
            "detectable": smallest if is_told else None,
            "detectable_sd_units": smallest / sd if is_told and sd > 0 else None,
        }
    )


def better_of(objectives: Sequence[Objective], series: str, action: Action) -> Better:
    """Return which way a metric is to move: the target as its goal wants, others as their weightiest objective does."""
    meant = [each for each in objectives if each.matches(series)]
    weightiest = max(meant, key=lambda each: each.severity, default=None)
    side = action.side if series == action.series else weightiest.side if weightiest else "below"
    return "lower" if side == "below" else "higher"


def graver(objectives: Sequence[Objective], series: str, others: Iterable[str]) -> tuple[str, ...]:
    """Return those of other metrics that an objective weighs at least as much as one does this metric."""

    def severity(name: str) -> float:
        return max((each.severity for each in objectives if each.matches(name)), default=0.0)

    own = severity(series)
    return tuple(name for name in others if name != series and severity(name) >= max(own, 1e-9))


def named(patterns: Iterable[str], series: Sequence[str]) -> tuple[str, ...]:
    """Return the series that are meant: by series, by metric, or by a glob pattern of metrics."""
    patterns = tuple(patterns)
    return tuple(
        name for name in series if any(name == each or fnmatchcase(metric_of(name), each) for each in patterns)
    )


def recorded(context: Context, action: Action) -> list[str]:
    """Return the series among which an action's guards are: all that were ever recorded; none where it has none."""
    return [info.series for info in context.store.samples.known()] if action.guards else []


def _controls(
    context: Context, action: Action, objectives: Sequence[Objective], series: Sequence[str]
) -> tuple[str, ...]:
    """Return the metrics that the act does not touch: those that its action names, and the objective's driver."""
    untouched = context.actions[action.name].controls
    drivers = [each.driver for each in objectives if each.driver and action.series and each.matches(action.series)]
    return named([*untouched, *drivers], series)


def _side_effects(objectives: Sequence[Objective], others: Sequence[str]) -> tuple[str, ...]:
    """Return the other metrics, those with an objective first where there are very many."""
    known = SeriesIndex(others)
    meant = known.meant_by_any(each.measured for each in objectives)
    ranked = sorted(others, key=lambda name: (known.places[name] not in meant, name))
    return tuple(ranked[:MOST_SIDE_EFFECTS])


def _predicted(context: Context, action: Action) -> tuple[float, float] | None:
    """Return the effect believed in as the act begins, and its doubt: what was learned, and declared."""
    goal = context.store.goals.get(action.goal_id)
    if goal is None or action.name == NOTHING:
        return None
    off = {goal.goal.goal_id: action.off_usual_sd} if action.off_usual_sd else {}
    problem = PlanProblem(
        tick=context.tick,
        cycle_id=context.cycle_id,
        seed=context.cycle.seed,
        goals=(goal,),
        objectives={},
        candidates={},
        beliefs=(beliefs := planner_beliefs(context, off)),
        off_usual_sd=off,
        pair_beliefs=beliefs_of_pairs(context, beliefs.learner) if action.steps else PairBeliefs(),
    )
    sequence = context.store.actions.of_sequence(action.sequence_id) if action.steps else []
    parts = [view.action for view in sequence] or [action]
    offers = [Candidate(action=part.name, target=part.target) for part in parts]
    steps = [context.actions[each.action].variants(each)[0] for each in offers]
    declared = Candidate(action=action.measured_as, steps=tuple(steps)) if sequence else steps[0]
    believed, doubt = effect_of(problem, declared, goal.goal)
    return (believed, doubt) if isfinite(believed) and isfinite(doubt) else None
