"""What the store holds around an act: the forecast issued before it, what came after, and how wrong forecasts were."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property

import numpy as np

from storage.records import Action, BoolArray, Estimand, FloatArray, Forecast, Frame, IntArray, Receipt
from tasks.context import Context
from tasks.interventions.act_window import steps_within
from tasks.interventions.effect_over_time import ActEffects, PassingAct, fit_effects
from tasks.interventions.jumps import jump_in
from tasks.interventions.overlaps import Act, acted_in, acts_of, followed_at, overlapping
from tasks.interventions.recent import effects_in, passing_acts
from tasks.interventions.removed_from_history import without_effects
from tasks.measure.grid import MetricGrid
from tasks.measure.inference.controls import Control
from tasks.measure.inference.departures import is_further_than_ever
from tasks.measure.inference.effect import Better
from tasks.measure.inference.estimand import WEEK_S, triggered
from tasks.measure.inference.jumped_level import unsettled_error
from tasks.measure.inference.many_metrics import MetricWindow, Role
from tasks.measure.inference.other_acts import OtherActs, other_acts
from tasks.measure.inference.past_errors import WINDOWS_WANTED, ErrorLedger, build_ledger
from tasks.measure.inference.placebo_windows import LEAST_KNOWN_RATIO
from tasks.measure.rerun import FEWEST_HISTORY_STEPS, forecast_from, past_origins

HISTORY_STEPS = 2_016
MOST_ORIGINS = 160
RERUN_SIDE_EFFECTS = 4
ACTS_DAYS = 14
DAYS_WANTED = 5


@dataclass
class DataAroundAct:
    """Reads what lies around acts; what several acts of one turn share is read once."""

    context: Context
    _forecasts: dict[str, dict[str, Forecast | None]] = field(default_factory=dict)
    _fitted: dict[tuple[str, datetime, str], ActEffects | None] = field(default_factory=dict)

    @cached_property
    def acts(self) -> tuple[Act, ...]:
        """Return the acts of the last two weeks."""
        since = self.context.tick - timedelta(days=ACTS_DAYS)
        durations_s = {name: handler.duration_s for name, handler in self.context.actions.items()}
        views = self.context.store.actions.finished(since)
        ended_at = followed_at(views) | self.context.store.actions.undone_at() if views else {}
        return acts_of(views, durations_s, ended_at)

    def begun_at(self, action: Action, moment: datetime) -> datetime:
        """Return when what an action completes began: at the moment given, or with the first step of its sequence."""
        steps = self.context.store.actions.of_sequence(action.sequence_id) if action.sequence_id else []
        return min([moment, *(view.receipt.started_at for view in steps if view.receipt is not None)])

    @cached_property
    def looked_at(self) -> datetime | None:
        """Return the tick at which acts were last looked at before this turn."""
        return self.context.store.cycles.measured_before(self.context.tick)

    def forecasts(self, cycle_id: str, names: Sequence[str]) -> dict[str, Forecast | None]:
        """Return the forecasts that a cycle issued of some series; None where there is none, or it was refused."""
        read = self._forecasts.setdefault(cycle_id, {})
        missing = [name for name in names if name not in read]
        read |= dict.fromkeys(missing) | self.context.store.outcomes.issued.of(cycle_id, missing)
        return read

    def grids(
        self, estimand: Estimand, receipt: Receipt, names: Iterable[str], until: datetime, latency_s: float = 0.0
    ) -> list[MetricGrid]:
        """Return metrics around an act up to a moment, grouped by step; those whose forecast ends too early are out.

        They begin with the act, or as many whole steps later as lie within `latency_s`, where some are left then.
        """
        names = list(names)
        issued = self.forecasts(estimand.forecast_cycle_id, names)
        groups: dict[tuple[float, datetime], dict[str, Forecast]] = {}
        for name in names:
            forecast = issued.get(name) or self._older(name, estimand)
            if forecast is not None:
                groups.setdefault((forecast.step_s, forecast.issued_at), {})[name] = forecast
        grids = (self._grid(group, receipt, until, latency_s) for group in groups.values())
        return [grid for grid in grids if grid is not None]

    def _older(self, series: str, estimand: Estimand) -> Forecast | None:
        """Return the newest forecast of a guard that the cycle of the target's forecast could not forecast."""
        if series not in estimand.guards:
            return None
        issued = self.context.store.forecasts.before(series, estimand.fixed_at)
        return issued[1] if issued else None

    def _grid(
        self, forecasts: dict[str, Forecast], receipt: Receipt, until: datetime, latency_s: float
    ) -> MetricGrid | None:
        one = next(iter(forecasts.values()))
        first_step, steps = steps_within(one.issued_at, one.step_s, receipt.finished_at, until)
        idle = int(latency_s // one.step_s)
        first_step, steps = (first_step + idle, steps - idle) if idle < steps else (first_step, steps)
        steps = min(steps, min(len(each.point) for each in forecasts.values()) - first_step)
        if steps < 1:
            return None
        end = one.at_step(first_step + steps - 1)
        observed = self.context.store.samples.frame(list(forecasts), end, one.step_s, steps).values
        grid = MetricGrid(forecasts, first_step, steps, observed)
        return replace(grid, others=self._others(grid, receipt))

    def history(self, series: Sequence[str], forecast: Forecast) -> Frame:
        """Return what some metrics did up to the moment at which a forecast was issued."""
        frame = self.context.store.samples.frame(list(series), forecast.issued_at, forecast.step_s, HISTORY_STEPS)
        return frame.in_seasons(self.context.settings.forecasting.forecaster.seasons_seconds)

    @cached_property
    def passing(self) -> tuple[PassingAct, ...]:
        """Return the acts of the last two weeks whose effect passes."""
        return passing_acts(self.context)

    @cached_property
    def passing_on(self) -> Mapping[str, Sequence[PassingAct]]:
        """Return these acts by the series that they change."""
        by_series: dict[str, list[PassingAct]] = {}
        for each in self.passing:
            by_series.setdefault(each.series, []).append(each)
        return by_series

    @cached_property
    def undos(self) -> Mapping[str, str]:
        """Return the undos of the last two weeks, each with the act that it took back."""
        since = self.context.tick - timedelta(days=ACTS_DAYS)
        views = (view.action for view in self.context.store.actions.finished(since))
        return {action.action_id: action.undo_of for action in views if action.undo_of}

    def effects_now(self, series: str, step_s: float) -> ActEffects | None:
        """Return what is believed now of the acts on a series that is seen in steps of a length."""
        key = series, self.context.tick, ""
        if key not in self._fitted:
            acts = self.passing_on.get(series, ())
            frame = self.context.store.samples.frame([series], self.context.tick, step_s, HISTORY_STEPS)
            self._fitted[key] = fit_effects(frame.row(series), frame.end, step_s, acts) if acts else None
        return self._fitted[key]

    def _others(self, grid: MetricGrid, receipt: Receipt) -> dict[str, OtherActs]:
        """Return what other acts do in a window, by series; as it was known when the forecast was issued."""
        found: dict[str, OtherActs] = {}
        for name, forecast in grid.forecasts.items():
            acts = [each for each in self.passing_on.get(name, ()) if each.action_id != receipt.action_id]
            if not any(each.start < grid.ends_at and each.reaches(forecast.issued_at) for each in acts):
                continue
            effects = self._effects(name, forecast, acts, receipt.action_id)
            if effects is not None:
                found[name] = other_acts(effects, acts, grid.first_step, grid.steps)
        return found

    def _effects(self, series: str, forecast: Forecast, acts: Sequence[PassingAct], judged: str) -> ActEffects | None:
        key = series, forecast.issued_at, judged
        if key not in self._fitted:
            frame = self.history([series], forecast)
            self._fitted[key] = fit_effects(frame.row(series), frame.end, frame.step_s, acts)
        return self._fitted[key]

    def windows(
        self,
        grid: MetricGrid,
        action: Action,
        receipt: Receipt,
        until: datetime,
        roles: Mapping[str, Role],
        better: Mapping[str, Better],
        estimand: Estimand,
        *,
        window_s: float | None = None,
    ) -> list[MetricWindow]:
        """Return what is needed to judge the metrics of a grid that have a role.

        The others of the grid are controls of the target. `window_s` is the length that was fixed beforehand.
        """
        past = PastForecasts.read(self, grid, action.name, estimand)
        aside = [name for name in estimand.side_effects if name in grid.series][RERUN_SIDE_EFFECTS:]
        steps = None if window_s is None else max(1, min(grid.steps, round(window_s / past.history.step_s)))
        ledgers = {name: past.ledger(name, may_rerun=name not in aside) for name in grid.series if name in roles}
        return [
            MetricWindow(
                name,
                grid.seen(name),
                past.expected(name),
                ledger,
                role=roles[name],
                better=better[name],
                metric_sd=_spread(past.history.row(name)),
                overlapping=self._overlapping(grid, name, action, receipt, until, roles[name]),
                # What it is for is often far out when it is acted on: there past windows like it are compared.
                had_moved=roles[name] != "target" and past.had_moved(name, ledger),
                controls=past.controls(name, estimand.controls) if roles[name] == "target" else (),
                window_steps=steps,
            )
            for name, ledger in ledgers.items()
        ]

    def _overlapping(
        self, grid: MetricGrid, series: str, action: Action, receipt: Receipt, until: datetime, role: Role
    ) -> list[str]:
        """Return the acts that disturb a window and whose part in it is not known.

        What an act does beside its aim is not known: for side effects only those count that are measured themselves.
        """
        beside = role == "side_effect"
        acts = self._begun if beside else self.acts
        found = overlapping(acts, action.action_id, receipt.started_at, until, series, any_metric=beside)
        return [each for each in found if each not in self._known(grid, series)] if found else []

    def _known(self, grid: MetricGrid, series: str) -> set[str]:
        """Return the acts whose part in a series is known, and the undos that ended it."""
        if series not in grid.others:
            return set()
        known = {act.action_id for act in self.passing_on.get(series, ())}
        return known | {undo for undo, act in self.undos.items() if act in known}

    @cached_property
    def _begun(self) -> tuple[Act, ...]:
        """Return the acts of the last two weeks, each within the horizon over which it is measured."""
        since = self.context.tick - timedelta(days=ACTS_DAYS)
        return acts_of(self.context.store.actions.finished(since), {}, {})


@dataclass
class PastForecasts:
    """Past forecasts of the metrics of a grid, over the same steps ahead as the window after the act."""

    around: DataAroundAct
    grid: MetricGrid
    history: Frame
    judged: str
    origins: IntArray
    points: FloatArray
    alike: BoolArray
    trigger_of: tuple[str, str]
    window_steps: int
    _rerun: dict[str, tuple[IntArray, FloatArray]] = field(default_factory=dict)

    @staticmethod
    def read(around: DataAroundAct, grid: MetricGrid, judged: str, estimand: Estimand) -> PastForecasts:
        """Read history and the forecasts issued along it."""
        history = around.history(grid.series, grid.any_forecast)
        origins, points = _issued(around.context, grid, history)
        alike = _alike(history, origins, estimand)
        trigger_of = estimand.series, estimand.trigger
        return PastForecasts(around, grid, history, judged, origins, points, alike, trigger_of, estimand.window_steps)

    def expected(self, series: str) -> FloatArray:
        """Return what was to come in the window without the act, (steps,): after a jump the mean of both levels."""
        return self.grid.mean(series) if self._has_jumped(series) else self.grid.point(series)

    def _has_jumped(self, series: str) -> bool:
        return jump_in(self.history.row(series)) is not None

    @cached_property
    def calm(self) -> Frame:
        """Return the history without what acts changed for a time: what the forecaster was shown as well."""
        return without_effects(self.history, effects_in(self.history, self.around.passing))

    def ledger(self, series: str, *, may_rerun: bool = True) -> ErrorLedger:
        """Return the errors of past forecasts of a metric from windows without an action.

        Those that were really issued are taken where they hold enough windows, also from this time of day; otherwise,
        where that is worth its time, the forecaster is run again at past origins, each of which sees only what lay
        before it.
        """
        origins, points = self.origins, self.points[self.grid.series.index(series)]
        issued = self._ledger(series, origins, points, self.alike)
        is_enough = self._window_count(issued) >= WINDOWS_WANTED and issued.days_at_this_hour >= self._days_wanted(
            series
        )
        if is_enough or not may_rerun:
            return issued
        again = self._again(series)
        rerun = self._ledger(series, *again, _alike_at(self.history, again[0], *self.trigger_of))
        has_more = self._window_count(rerun) > self._window_count(issued)
        if rerun.days_at_this_hour <= issued.days_at_this_hour and not has_more:
            return issued
        self._rerun[series] = again
        return rerun

    def had_moved(self, series: str, ledger: ErrorLedger) -> bool:
        """Tell whether a metric stood further off its forecast before the act than ever: a move was under way."""
        if ledger.origins is None or ledger.observed is None:
            return False
        foretold, issued = (ledger.observed - ledger.errors).mean(axis=1), ledger.origins - self.grid.first_step
        return is_further_than_ever(self.calm.row(series), issued, foretold, float(self.grid.foretold(series).mean()))

    def _days_wanted(self, series: str) -> int:
        """Return from how many days forecasts made at this hour are wanted: as many as there can be, few suffice."""
        recorded = np.flatnonzero(np.isfinite(self.history.row(series)))
        steps = len(self.history.row(series)) - recorded[0] if len(recorded) else 0
        return min(DAYS_WANTED, int((steps - FEWEST_HISTORY_STEPS) * self.history.step_s / 86_400))

    def controls(self, target: str, names: Sequence[str]) -> tuple[Control, ...]:
        """Return the metrics that may explain a target, over the same past windows as its own ledger."""
        controls = []
        for name in names:
            if name not in self.grid.series or name == target:
                continue
            place = self.grid.series.index(name)
            origins, points = self.origins, self.points[place]
            if target in self._rerun:
                origins, points = self._again(name, self._rerun[target][0])
            ledger = self._ledger(name, origins, points, None, acted_on=target)
            controls.append(Control(name, self.grid.seen(name), self.grid.point(name), ledger))
        return tuple(controls)

    def _window_count(self, ledger: ErrorLedger) -> float:
        """Return how many windows, as long as is judged, lie side by side in a ledger."""
        errors = ledger.errors[:, : self.window_steps]
        whole_windows = int((np.isfinite(errors).mean(axis=1) >= LEAST_KNOWN_RATIO).sum()) if len(errors) else 0
        return float(min(ledger.n_past / max(1, errors.shape[1]), whole_windows))

    def _ledger(
        self,
        series: str,
        origins: IntArray,
        points: FloatArray,
        alike: BoolArray | None,
        acted_on: str | None = None,
    ) -> ErrorLedger:
        if not len(origins):
            return ErrorLedger.empty(self.grid.steps)
        ledger = build_ledger(
            self.history.row(series),
            points,
            origins + self.grid.first_step,
            steps_per_day=86_400 / self.history.step_s,
            acted=acted_in(self.history, self.around.acts, acted_on or series, self.judged),
            same_trigger=alike if alike is not None and alike.any() else None,
        )
        foretold = self.grid.mean(series) if self._has_jumped(series) else self.grid.foretold(series)
        unsettled = unsettled_error(self.history.row(series), foretold)
        return replace(ledger, foretold_error=self.grid.foretold_error(series), unsettled_error=unsettled)

    def _again(self, series: str, origins: IntArray | None = None) -> tuple[IntArray, FloatArray]:
        """Forecast a metric anew from past origins: their steps, and the point forecasts (n_origins, steps)."""
        values, ahead = self.calm.row(series), self.grid.first_step + self.grid.steps
        chosen = past_origins(values, ahead) if origins is None else origins
        points = forecast_from(self.history, values, chosen, ahead, self.around.context.cycle.seed)
        return chosen, points[:, self.grid.first_step :]


def _issued(context: Context, grid: MetricGrid, history: Frame) -> tuple[IntArray, FloatArray]:
    """Return the steps of the history at which forecasts were issued, and these, (n_series, n_origins, steps)."""
    one, n_steps = grid.any_forecast, history.values.shape[1]
    since = one.issued_at - timedelta(seconds=history.step_s * n_steps)
    moments = context.store.outcomes.issued.origins(one.series, one.step_s, since, one.issued_at)
    behind = np.array([(one.issued_at - moment).total_seconds() for moment in moments])
    places = n_steps - 1 - np.rint(behind / history.step_s).astype(np.int64)
    chosen = _spread_out(places)
    taken = [moments[place] for place in chosen]
    paths = context.store.outcomes.issued.paths(grid.series, one.step_s, taken, grid.first_step, grid.steps)
    return places[chosen], paths.points


def _spread_out(places: IntArray) -> IntArray:
    """Return which of ascending steps (n,) to take: each once, evenly spread where there are very many."""
    _, first = np.unique(places, return_index=True)
    first = first[places[first] >= 0]
    count = min(len(first), MOST_ORIGINS)
    return first[np.unique(np.linspace(0, len(first) - 1, count).round().astype(np.int64))] if count else first


def _alike(history: Frame, origins: IntArray, estimand: Estimand) -> BoolArray:
    return _alike_at(history, origins, estimand.series, estimand.trigger)


def _alike_at(history: Frame, origins: IntArray, series: str, trigger: str) -> BoolArray:
    """Mark the origins at which the target stood as it did before the act; none where it is on another grid."""
    if series not in history.series or trigger not in ("high", "low"):
        return np.zeros(len(origins), dtype=np.bool_)
    weekly = max(1, round(WEEK_S / history.step_s))
    return triggered(history.row(series), origins, "high" if trigger == "high" else "low", weekly)


def _spread(values: FloatArray) -> float | None:
    return float(np.nanstd(values)) if np.isfinite(values).any() else None
