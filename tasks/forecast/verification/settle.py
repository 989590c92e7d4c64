"""What became of forecasts: errors, breaches and states that matured are compared with what was observed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

import numpy as np

from storage import Store
from storage.forecasts import BreachResult, ForecastError, ForecastSteps
from storage.records import Breach, FloatArray, Forecast, Objective
from storage.state_predictions import UNKNOWN, ForetoldState, StateResult
from tasks.context import Context
from tasks.forecast.risk.crossings import first_beyond, steps_within
from tasks.forecast.risk.state import Hit, state_of
from tasks.interventions.act_window import works_until
from tasks.objectives.in_force import objectives_in_force

LEAST_PER_TURN = 500
STATES_PER_TURN = 50

Acts = Sequence[tuple[str | None, datetime, datetime]]
"""The series that acts touched, from when to when."""

LONGEST_WORK = timedelta(days=1)
Matured = tuple[str, Forecast]


@dataclass(frozen=True)
class Seen:
    """A matured forecast beside what was observed at its steps, NaN where nothing was."""

    cycle_id: str
    forecast: Forecast
    observed: FloatArray

    @property
    def ends_at(self) -> datetime:
        """Return the end of the last step."""
        return self.forecast.at_step(len(self.forecast.point) - 1)


@dataclass(frozen=True)
class StateLook:
    """A matured state prediction with what it was made of: the breaches foretold and the grid of each series."""

    state: ForetoldState
    breaches: tuple[Breach, ...]
    grids: Mapping[str, ForecastSteps]

    @property
    def begun(self) -> datetime:
        """Return when it was issued."""
        return min(grid.issued_at for grid in self.grids.values())


@dataclass(frozen=True)
class Settled:
    """What became of forecasts, to be written."""

    errors: Sequence[ForecastError] = ()
    breaches: Sequence[BreachResult] = ()
    states: Sequence[StateResult] = ()

    def record(self, store: Store) -> None:
        """Write it, all or nothing."""

        def write() -> None:
            store.forecasts.append_errors(self.errors)
            store.forecasts.append_breach_results(self.breaches)
            store.forecasts.states.append_results(self.states)

        if self.errors or self.states:
            store.together(write)


def settle(context: Context) -> None:
    """Record what became of the forecasts that matured."""
    settled(context).record(context.store)


def settled(context: Context, issued: int = 0) -> Settled:
    """Compare forecasts whose whole horizon has passed with what was observed, and states whose moment has come.

    The breaches of a series are settled with its forecast: horizons of series differ, as their steps do. At least as
    many are settled in a turn as are `issued` in it, so that a large fleet never falls behind.
    """
    store = context.store.forecasts
    matured = store.unresolved(context.tick, max(LEAST_PER_TURN, 2 * issued))
    looks = _looks(context, store.states.unresolved(context.tick, STATES_PER_TURN))
    if not matured and not looks:
        return Settled()
    begun = [forecast.issued_at for _, forecast in matured] + [look.begun for look in looks if look.grids]
    acts = _acts(context, min(begun, default=context.tick))
    seen = _observed(context, matured)
    return Settled(
        [_error(each, acts) for each in seen],
        _breach_results(context, seen, acts),
        [_state_result(context, look, acts) for look in looks],
    )


def _acts(context: Context, since: datetime) -> Acts:
    """Return the series of all that touched something after a moment, from when to when; undos are over at once."""
    durations_s = {name: handler.duration_s for name, handler in context.actions.items()}
    return [
        (action.series, receipt.finished_at, works_until(action, receipt, durations_s.get(action.name)))
        for view in context.store.actions.finished(since - LONGEST_WORK)
        if (receipt := view.touched) and (action := view.action)
    ]


def _is_touched(acts: Acts, series: str, since: datetime, until: datetime) -> bool:
    return any(touched == series and begun <= until and since < over for touched, begun, over in acts)


def _observed(context: Context, matured: Sequence[Matured]) -> list[Seen]:
    """Read what was observed, once for all forecasts that were issued together."""

    def window(each: Matured) -> tuple[datetime, float, int]:
        return each[1].issued_at, each[1].step_s, len(each[1].point)

    observed = []
    for (issued_at, step_s, steps), group in groupby(sorted(matured, key=window), key=window):
        members = list(group)
        names = sorted({forecast.series for _, forecast in members})
        end = issued_at + timedelta(seconds=step_s * steps)
        frame = context.store.samples.frame(names, end, step_s, steps)
        observed += [Seen(cycle_id, forecast, frame.row(forecast.series)) for cycle_id, forecast in members]
    return observed


def _error(seen: Seen, acts: Acts) -> ForecastError:
    forecast, observed = seen.forecast, seen.observed
    is_recorded = np.isfinite(observed)
    inside = (observed >= forecast.quantiles[:, 0]) & (observed <= forecast.quantiles[:, -1])
    return ForecastError(
        cycle_id=seen.cycle_id,
        series=forecast.series,
        issued_at=forecast.issued_at,
        step_s=forecast.step_s,
        errors=observed - forecast.point,
        covered_ratio=float(inside[is_recorded].mean()) if is_recorded.any() else float("nan"),
        overlapped=_is_touched(acts, forecast.series, forecast.issued_at, seen.ends_at),
    )


def _breach_results(context: Context, seen: Sequence[Seen], acts: Acts) -> list[BreachResult]:
    objectives = {objective.name: objective for objective in objectives_in_force(context.settings, context.store)}
    foretold = _foretold(context, {each.cycle_id for each in seen})
    return [
        result
        for each in seen
        for breach in foretold.get((each.cycle_id, each.forecast.series), ())
        if breach.objective in objectives and (result := _result(breach, each, objectives[breach.objective], acts))
    ]


def _foretold(context: Context, cycle_ids: set[str]) -> Mapping[tuple[str, str], list[Breach]]:
    """Return the breaches that cycles foretold, by cycle and series; those that stood already are no forecasts."""
    breaches_by_pair: dict[tuple[str, str], list[Breach]] = defaultdict(list)
    for cycle_id in cycle_ids:
        for breach in context.store.forecasts.breaches.select("WHERE cycle_id = $cycle_id", {"cycle_id": cycle_id}):
            if not breach.is_breached_now:
                breaches_by_pair[cycle_id, breach.series].append(breach)
    return breaches_by_pair


def _result(breach: Breach, seen: Seen, objective: Objective, acts: Acts) -> BreachResult | None:
    """Return whether a foretold breach happened.

    None where nothing was observed, which is no good news, and where something was done about it: a breach that was
    prevented says nothing against the forecast.
    """
    forecast = seen.forecast
    steps = steps_within(objective, forecast.step_s, len(forecast.point))
    happened = _is_broken(seen.observed[:steps], objective)
    if happened is None or _is_touched(acts, forecast.series, forecast.issued_at, forecast.at_step(steps - 1)):
        return None
    return BreachResult(
        cycle_id=seen.cycle_id,
        objective=breach.objective,
        series=breach.series,
        probability=breach.probability,
        raw_probability=breach.raw_probability if breach.raw_probability is not None else breach.probability,
        happened=happened,
    )


def _is_broken(observed: FloatArray, objective: Objective) -> bool | None:
    """Tell whether an objective broke; None where nothing was observed."""
    recorded = observed[np.isfinite(observed)]
    return bool(np.isfinite(first_beyond(recorded, objective))) if len(recorded) else None


def _looks(context: Context, states: Sequence[ForetoldState]) -> list[StateLook]:
    return [
        StateLook(
            state,
            tuple(context.store.forecasts.breaches.select("WHERE cycle_id = $cycle_id", {"cycle_id": state.cycle_id})),
            context.store.forecasts.grids(state.cycle_id),
        )
        for state in states
    ]


def _state_result(context: Context, look: StateLook, acts: Acts) -> StateResult:
    """Return the overall state that came after one was foretold, by the rule that is configured.

    It is unknown where a series was silent that could have made it worse, where something was done, and where the
    objectives are others by now: a state that was prevented says nothing against the forecast.
    """
    objectives = {objective.name: objective for objective in objectives_in_force(context.settings, context.store)}
    judged = [(objectives[each.objective], each.series) for each in look.breaches if each.objective in objectives]
    judged = [(objective, series) for objective, series in judged if series in look.grids]
    observed = _windows(context, look, {series for _, series in judged})
    hits: list[Hit] = []
    for objective, series in judged:
        grid = look.grids[series]
        steps = steps_within(objective, grid.step_s, grid.steps)
        happened = _is_broken(observed[series][:steps], objective)
        end = grid.issued_at + timedelta(seconds=steps * grid.step_s)
        if happened is None or _is_touched(acts, series, grid.issued_at, end):
            return StateResult(look.state, UNKNOWN)
        hits.append(Hit(objective.name, objective.severity, np.array([happened])))
    if len(judged) < len(look.breaches) or not hits:
        return StateResult(look.state, UNKNOWN)
    return StateResult(look.state, state_of(hits, context.settings.forecasting.state_needs))


def _windows(context: Context, look: StateLook, series: set[str]) -> Mapping[str, FloatArray]:
    """Read what was observed after a cycle, once for all series of a grid."""
    windows: dict[str, FloatArray] = {}
    for grid in {look.grids[name] for name in series}:
        names = sorted(name for name in series if look.grids[name] == grid)
        frame = context.store.samples.frame(names, grid.end, grid.step_s, grid.steps)
        windows |= {name: frame.row(name) for name in names}
    return windows
