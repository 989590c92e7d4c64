"""Learn from what was recorded how metrics follow from their drivers."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Collection, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np

from handlers import ActionHandler
from storage.records import BoolArray, FloatArray, Frame, Objective, ResponseSpec, metric_of
from tasks.drivers.backlog import BacklogResponse, effective, error_of, fit_backlog, least_rate, run
from tasks.drivers.responses import (
    CapacityResponse,
    ProductResponse,
    RatioResponse,
    Response,
    ScaledResponse,
    at_ceiling,
    fit_response,
    on_grid,
    present_factor,
    response_of,
    started,
)
from tasks.drivers.warm_up import WarmUp, fit_warm_up
from tasks.objectives.ratios import with_ratios

_FEWEST_STEPS = 8
_AT_REST_RATIO = 0.95
_CLEARLY_BETTER = 0.9
_MOST_LAG_S = 1_800.0
_LATELY_S = 900.0
_SILENT_STEPS, _SILENT_S = 5, 600.0
_NO_RELIEF = "The recorded data do not show that less of it relieves the metric, as its action declares."
_NEWEST_STEPS, _TRIED_STEPS, _SEEN_STEPS = 3, 10, 60
_FAR_LESS, _HARDLY_LESS = 0.25, 0.8
_WARM = 1.02


@dataclass(frozen=True)
class DrivenMetrics:
    """What the planner needs of driven objectives: `responses` by objective, `capacities` by capacity series.

    `unfitted` says by objective why there is no response, and what would help; such an objective is one like any other.
    Of these, `silent` have a driver that has fallen silent. `latency_s` is how long an increase of a capacity was seen
    to take until it works, where the data show it.
    """

    responses: Mapping[str, Response] = field(default_factory=dict)
    capacities: Mapping[str, float] = field(default_factory=dict)
    unfitted: Mapping[str, str] = field(default_factory=dict)
    latency_s: Mapping[str, float] = field(default_factory=dict)
    silent: frozenset[str] = frozenset()


@dataclass(frozen=True)
class FittedResponse:
    """A response, after how long an increase of the capacity was seen to work, and how much slower it was at first.

    Both are None where no change tells.
    """

    response: Response
    latency_s: float | None = None
    warm_up: WarmUp | None = None


def fit_driven(
    objectives: Iterable[Objective],
    frames: Iterable[Frame],
    declared: Mapping[str, Response] | None = None,
    strained_by_more: Collection[str] = (),
) -> DrivenMetrics:
    """Return the responses of all objectives that name a driver, and the capacities now.

    Each is fitted on the longest frame that holds metric, driver and capacity; `declared` ones (by objective) and those
    that the objective states are taken as they are, and so is what follows by definition: driver per capacity, and the
    capacity itself. A backlog starts from what waits now. Where nothing can be fitted, or the driver has stopped, the
    objective is among the `unfitted`, with the reason. Those named in `strained_by_more`, whose metric grows with the
    capacity, follow it in proportion where an objective keeps that up, else as fitted once it varied. Less of it makes
    the driver weigh less on other capacities for the same metric.
    """
    driven = [objective for objective in objectives if objective.driver is not None]
    kept = {each.measured for each in driven if each.side == "above"}
    strained = [each for each in driven if each.name in strained_by_more and each.side == "below"]
    longest_first = sorted(frames, key=lambda frame: -frame.values.shape[1]) if driven else []
    responses: dict[str, Response] = {}
    capacities: dict[str, float] = {}
    unfitted: dict[str, str] = {}
    latency_s: dict[str, float] = {}
    silent: set[str] = set()
    for objective in driven:
        capacity = str(objective.capacity)
        now = next((value for frame in longest_first if (value := _last(frame, capacity)) is not None), None)
        stopped = _stopped(objective, longest_first, is_capacity_known=now is not None)
        stated = (declared or {}).get(objective.name) or _known(objective, longest_first)
        if stated is not None:
            fitted: FittedResponse | None = FittedResponse(stated)
        elif stopped is not None:
            fitted = None
            silent.add(objective.name)
        elif objective in strained:
            follow = _in_proportion if capacity in kept else _fitted_to_grow
            fitted = follow(objective, longest_first)
        else:
            content = next((each.capacity for each in strained if _lightens(each, objective)), None)
            fitted = _fitted(objective, longest_first, content)
        if now is None or stopped is not None or fitted is None:
            is_strained = objective in strained
            unfitted[objective.name] = stopped or _misfit(objective, longest_first, is_strained, capacity in kept)
            continue
        responses[objective.name] = _as_it_stands(fitted, objective, longest_first)
        capacities[capacity] = now
        if fitted.latency_s is not None:
            latency_s[capacity] = max(fitted.latency_s, latency_s.get(capacity, 0.0))
    return DrivenMetrics(responses, capacities, unfitted, latency_s, frozenset(silent))


def _in_proportion(objective: Objective, frames: Sequence[Frame]) -> FittedResponse | None:
    """Return the response of a metric that grows with its capacity: in proportion, as it was lately.

    What else serves that work, and how warm it is, changes from hour to hour; so the factor is the worst of the last
    steps that went well. Where the metric broke its bound lately, it is taken to reach it half-way between the most
    that went well and the least that did not: what explodes is in no proportion. None where nothing was seen, or far
    less of the capacity did not relieve the metric.
    """
    rows = next((rows for frame in frames if (rows := _rows(objective, frame)) is not None), None)
    if rows is None or objective.bound <= 0 or _is_no_relief(*(row[-_SEEN_STEPS:] for row in rows)):
        return None
    metric, driver, capacity = rows
    # What was begun under a larger amount is still there in the first step of a smaller one.
    strain = driver * np.fmax(capacity, np.concatenate([capacity[:1], capacity[:-1]]))
    tried = np.flatnonzero(np.isfinite(metric) & (strain > 0))[-_TRIED_STEPS:]
    metric, strain = metric[tried], strain[tried]
    well = metric <= objective.bound
    factor = float((metric[well] / strain[well])[-_NEWEST_STEPS:].max(initial=0.0))
    # What broke the bound and since went well counts no more.
    went_well_since = np.maximum.accumulate(np.where(well, strain, 0.0)[::-1])[::-1]
    too_much = strain[~well & (strain > went_well_since)]
    if len(too_much):
        least = float(too_much.min())
        most = float(strain[well & (strain < least)].max(initial=0.0))
        factor = max(factor, objective.bound / ((most + least) / 2))
    return FittedResponse(ProductResponse(factor)) if factor > 0 else None


def _fitted_to_grow(objective: Objective, frames: Sequence[Frame]) -> FittedResponse | None:
    """Return the response that fits if the metric grows with the capacity: one that never varied seems to share it."""
    fitted = _fitted(objective, frames)
    return fitted if fitted is not None and isinstance(fitted.response, ProductResponse) else None


def _is_no_relief(metric: FloatArray, driver: FloatArray, capacity: FloatArray) -> bool:
    """Tell whether a metric was as high for its driver at a small part of a capacity as at the most of it."""
    is_known = np.isfinite(metric) & np.isfinite(capacity) & (driver > 0)
    per, amount = metric[is_known] / driver[is_known], capacity[is_known]
    most = amount.max(initial=0.0)
    few, many = per[amount <= most * _FAR_LESS], per[amount >= most / 2]
    return len(few) >= _FEWEST_STEPS and float(np.median(few)) > _HARDLY_LESS * float(np.median(many))


def with_own_amounts(objectives: Iterable[Objective], actions: Iterable[ActionHandler]) -> tuple[Objective, ...]:
    """Return the objectives, those on a series that an action sets with that series as driver and capacity.

    Such an objective needs no response to be learned: the metric becomes the amount that is set.
    """
    settable = {each.sets for each in actions if each.sets and each.enabled}
    return tuple(
        each.model_copy(update={"driver": each.metric, "capacity": each.metric})
        if each.driver is None and each.denominator is None and each.metric in settable
        else each
        for each in objectives
    )


def driver_paths(
    paths: Mapping[str, FloatArray], frames: Iterable[Frame], objectives: Iterable[Objective]
) -> Mapping[str, FloatArray]:
    """Return the paths (n_paths, n_steps) by series, those of a series that is its own driver staying where it is.

    Its forecast would be one of what actions make of it.
    """
    own = {each.metric: each.horizon_s for each in objectives if each.driver is not None and each.driver == each.metric}
    still: dict[str, FloatArray] = {}
    for frame in frames:
        for series in own.keys() & set(frame.series):
            if (value := _last(frame, series)) is not None:
                still[series] = np.full((1, max(1, round(own[series] / frame.step_s))), value)
    # Not a new dictionary of all: paths may be made only where they are asked for.
    return ChainMap(still, cast(MutableMapping[str, FloatArray], paths)) if still else paths


def fit_metric(
    metric: FloatArray, driver: FloatArray, capacity: FloatArray, step_s: float, most: float = np.inf
) -> FittedResponse | None:
    """Return how a metric follows from driver and capacity, all (n_steps,) on one grid of `step_s`, NaN where missing.

    The forms of a moment (`fit_response`) compete with a backlog, which carries its past, on how well each tells the
    whole metric from driver and capacity alone; of two that do so about alike the simpler is kept. A metric that rests
    at nothing is taken for the age of a backlog whose capacity serves at least what it was seen to serve: so no amount
    is thought enough that never was. One that is stuck above `most`, which it should not exceed, is taken for a load at
    its ceiling. None where no form fits.
    """
    rows = without_gaps(metric, driver, capacity)
    if rows is None:
        return None
    of_moment = fit_response(*rows)
    seen, drive, amount = rows
    backlog = fit_backlog(*rows, step_s) if seen.min() >= 0 else None
    error = error_of(seen, of_moment.metric(drive, amount)) if of_moment is not None else None
    usual = error_of(seen, np.full_like(seen, np.median(seen)))
    if backlog is not None:
        response, lag = backlog
        missed = error_of(seen, run(response, seen, drive, effective(amount, lag)))
        if missed <= _CLEARLY_BETTER * (error if error is not None else usual):
            return FittedResponse(response, lag * step_s if np.ptp(amount) > 0 else None)
    if of_moment is not None:
        lag_s = _lag_s(of_moment, seen, drive, amount, step_s)
        slow = fit_warm_up(of_moment, seen, drive, amount, round((lag_s or 0.0) / step_s), step_s)
        return (
            FittedResponse(of_moment, lag_s) if slow is None else FittedResponse(of_moment, slow[0] * step_s, slow[1])
        )
    stuck = at_ceiling(*rows) if np.median(seen) > most else None
    return FittedResponse(stuck) if stuck is not None else _at_rest(seen, drive, amount, step_s, backlog)


def _at_rest(
    seen: FloatArray,
    driver: FloatArray,
    capacity: FloatArray,
    step_s: float,
    backlog: tuple[BacklogResponse, int] | None,
) -> FittedResponse | None:
    is_clear: BoolArray = seen <= 0
    if seen.min() < 0 or is_clear.mean() < _AT_REST_RATIO:
        return None
    if backlog is not None:
        return FittedResponse(backlog[0])
    rate = least_rate(driver, capacity, is_clear)
    return FittedResponse(BacklogResponse(rate, True, 1.0, step_s)) if rate > 0 else None


def _lag_s(
    response: Response, seen: FloatArray, driver: FloatArray, capacity: FloatArray, step_s: float
) -> float | None:
    """Return after how long an increase works: the lag at which the metric just after increases is told best."""
    most = int(_MOST_LAG_S // step_s)
    rises = np.flatnonzero(np.diff(capacity) > 0) + 1
    near = np.unique((rises[:, None] + np.arange(2 * most + 1)).ravel())
    near = near[near < len(seen)]
    if most < 1 or len(rises) < 3 or len(near) < _FEWEST_STEPS:
        return None
    errors = np.array(
        [
            np.abs(response.metric(driver[near], effective(capacity, lag)[near]) - seen[near]).mean()
            for lag in range(most + 1)
        ]
    )
    best = int(errors.argmin())
    return best * step_s if errors[best] <= _CLEARLY_BETTER * errors[0] else 0.0


def without_gaps(*rows: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray] | None:
    """Return the rows from the first step that all hold to the last, gaps filled by what was seen before."""
    whole = np.flatnonzero(np.all([np.isfinite(row) for row in rows], axis=0))
    if len(whole) < _FEWEST_STEPS:
        return None
    span = slice(whole[0], whole[-1] + 1)
    metric, driver, capacity = (_filled(row[span]) for row in rows)
    return metric, driver, capacity


def _filled(row: FloatArray) -> FloatArray:
    last = np.maximum.accumulate(np.where(np.isfinite(row), np.arange(len(row)), 0))
    return np.asarray(row[last])


def _known(objective: Objective, frames: Sequence[Frame]) -> Response | None:
    if objective.response is not None:
        return _stated(objective.response, frames)
    return by_definition(objective)


def by_definition(objective: Objective) -> Response | None:
    """Return the response of a metric that is the capacity itself, or the driver per capacity; None for others."""
    if objective.metric == objective.capacity:
        return CapacityResponse()
    if (objective.metric, objective.denominator) == (objective.driver, objective.capacity):
        return RatioResponse(1.0)
    return None


def _stated(spec: ResponseSpec, frames: Sequence[Frame]) -> Response | None:
    """Return a stated response as it is at present; None where the series that shares the driver out is unknown."""
    response = response_of(spec)
    if spec.per is None:
        return response
    rows = ((row, frame.step_s) for frame in frames if (row := row_of(frame, spec.per)) is not None)
    first_row = next(rows, None)
    factor = present_factor(spec, *first_row) if first_row is not None else None
    return None if factor is None else ScaledResponse(response, factor)


def _lightens(strained: Objective, objective: Objective) -> bool:
    """Tell whether less of the capacity of another objective makes the same driver weigh less on the same metric."""
    is_same = (strained.measured, strained.driver) == (objective.measured, objective.driver)
    return is_same and strained.capacity != objective.capacity


def _fitted(objective: Objective, frames: Sequence[Frame], content: str | None = None) -> FittedResponse | None:
    """Return the response that fits; a driver whose `content` was less than the most that was seen counts as less."""
    most = objective.bound if objective.side == "below" else np.inf
    for frame in frames:
        if (rows := _rows(objective, frame)) is None:
            continue
        metric, driver, capacity = rows
        served = row_of(frame, content) if content is not None else None
        if served is not None and np.nanmax(served, initial=0.0) > 0:
            driver = driver * served / np.nanmax(served)
        if (fitted := fit_metric(metric, driver, capacity, frame.step_s, most)) is not None:
            return fitted
    return None


def _rows(objective: Objective, frame: Frame) -> tuple[FloatArray, FloatArray, FloatArray] | None:
    """Return metric, driver and capacity in a frame that holds them all."""
    full = with_ratios(frame, [objective])
    metric, driver, capacity = (
        row_of(full, name) for name in (objective.measured, str(objective.driver), str(objective.capacity))
    )
    return None if metric is None or driver is None or capacity is None else (metric, driver, capacity)


def _as_it_stands(fitted: FittedResponse, objective: Objective, frames: Sequence[Frame]) -> Response:
    """Return a response that starts from the metric and the driver as they are now, warming up where it does."""
    for frame in frames:
        rows = _rows(objective, frame)
        if rows is not None and all(np.isfinite(row).any() for row in rows):
            metric, driver, capacity = rows
            lately = driver[np.isfinite(driver)][-max(1, round(_LATELY_S / frame.step_s)) :]
            response = _warming_up(fitted, capacity, frame.step_s)
            return started(
                on_grid(response, frame.step_s), float(metric[np.isfinite(metric)][-1]), float(lately.mean())
            )
    return fitted.response


def _warming_up(fitted: FittedResponse, capacity: FloatArray, step_s: float) -> Response:
    """Return a response under as much more of its driver as what was added lately makes of it now."""
    if fitted.warm_up is None:
        return fitted.response
    known = _filled(capacity[int(np.argmax(np.isfinite(capacity))) :])
    working = effective(known, round((fitted.latency_s or 0.0) / step_s))
    factor = float(fitted.warm_up.factors(working, step_s)[-1])
    return fitted.response if factor < _WARM else ScaledResponse(fitted.response, factor)


def _stopped(objective: Objective, frames: Sequence[Frame], *, is_capacity_known: bool) -> str | None:
    """Return why nothing can be told of capacity or driver now: not recorded, or silent; None where all is well."""
    if not is_capacity_known:
        return f"{objective.capacity} is not recorded, so nothing says how many there are: record it."
    rows = ((row, frame) for frame in frames if (row := row_of(frame, str(objective.driver))) is not None)
    row, frame = next(rows, (None, None))
    if row is None or frame is None or not np.isfinite(row).any():
        return None
    quiet = len(row) - 1 - int(np.flatnonzero(np.isfinite(row))[-1])
    if quiet > _SILENT_STEPS and quiet * frame.step_s > _SILENT_S:
        minutes = quiet * frame.step_s / 60
        return (
            f"{objective.driver} has been silent for {minutes:.0f} min, so nothing says what comes; "
            f"no {objective.capacity} is given up until it speaks again."
        )
    return None


def _misfit(objective: Objective, frames: Sequence[Frame], is_strained: bool, is_kept: bool) -> str:
    """Return why no response could be fitted, and what would help."""
    if is_strained and is_kept:
        return _NO_RELIEF
    if is_strained:
        return f"Nothing says how much {objective.capacity} is wanted: add an objective on it, from above."
    if all(row_of(frame, str(objective.driver)) is None for frame in frames):
        return f"{objective.driver} is not recorded, so nothing says what comes: record it."
    names = f"{objective.measured}, {objective.driver} and {objective.capacity}"
    held = [rows for frame in frames if (rows := _rows(objective, frame)) is not None]
    whole = max((int(np.all(np.isfinite(rows), axis=0).sum()) for rows in held), default=0)
    if whole < _FEWEST_STEPS:
        return f"{names} were recorded together in {whole} steps; a response needs {_FEWEST_STEPS}: wait for more."
    metric, _, capacity = next(rows for rows in held if np.all(np.isfinite(rows), axis=0).sum() == whole)
    if np.nanmax(metric) == np.nanmin(metric):
        return f"{objective.measured} never moved, so nothing says how it follows: declare `response` if you know."
    varied = (
        f"{objective.capacity} never changed: change it once, or declare `response`"
        if np.nanmax(capacity) == np.nanmin(capacity)
        else "name what drives it as `driver`, or declare `response`"
    )
    return (
        f"No response of {objective.measured} to {objective.driver} and {objective.capacity} could be fitted; {varied}."
    )


def series_of(frame: Frame, name: str) -> str | None:
    """Return the series of that name, or the only one of that metric."""
    if name in frame.series:
        return name
    same = [series for series in frame.series if metric_of(series) == name]
    return same[0] if len(same) == 1 else None


def row_of(frame: Frame, name: str) -> FloatArray | None:
    """Return the values (n_steps,) of the series of that name, or of the only one of that metric."""
    series = series_of(frame, name)
    return frame.row(series) if series is not None else None


def _last(frame: Frame, name: str) -> float | None:
    row = row_of(frame, name)
    recorded = row[np.isfinite(row)] if row is not None else np.empty(0)
    return float(recorded[-1]) if len(recorded) else None
