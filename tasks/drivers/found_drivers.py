"""Find among what is recorded what drives a metric, where the objective names nothing and an amount is set for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

import numpy as np

from storage.facts import FoundDriver
from storage.records import FloatArray, Frame, Objective, metric_of
from tasks.drivers.amount_steps import seen_direction, strain_of
from tasks.drivers.backlog import effective, error_of
from tasks.drivers.fitting import fit_metric, row_of, without_gaps
from tasks.drivers.responses import on_grid, started
from tasks.drivers.settable_amounts import AmountsNow, is_meant

_MOST_TRIED = 6
_FEWEST_MOVES, _FEWEST_CHANGES = 30, 3
_CLEARLY_BETTER, _PLACEBOS = 0.5, 2
_AMOUNT_MATTERS = 0.8
_SMOOTH_S = 900.0
_AT_REST, _RESTS_ALIKE = 0.3, 0.9


@dataclass(frozen=True)
class DriverQuestion:
    """What drives a metric for which an amount is set: both (n_steps,) in steps of `step_s`, of which a day has `day`.

    `bound` is the most that the metric should be.
    """

    metric: FloatArray
    amount: FloatArray
    step_s: float
    day: int
    bound: float

    def of_same(self, driver: FloatArray) -> tuple[DriverQuestion, FloatArray] | None:
        """Return the question and a driver (n_steps,) without gaps; None where they were hardly recorded together."""
        rows = without_gaps(self.metric, driver, self.amount)
        return None if rows is None else (replace(self, metric=rows[0], amount=rows[2]), rows[1])

    @property
    def is_answerable(self) -> bool:
        """Tell whether metric and amount have moved often enough, over two days at least."""
        moves, changes = np.count_nonzero(np.diff(self.metric)), np.count_nonzero(np.diff(self.amount))
        return bool(len(self.metric) >= 2 * self.day and moves >= _FEWEST_MOVES and changes >= _FEWEST_CHANGES)

    @property
    def halves(self) -> tuple[tuple[slice, slice], ...]:
        """Return what is learned from and what is told: either half of the metric's moves by the other."""
        moved = np.flatnonzero(np.diff(self.metric))
        # While the metric rests it tells nothing.
        split = int(moved[len(moved) // 2]) + 1
        first, second = slice(0, split), slice(split, len(self.metric))
        return (first, second), (second, first)


def search_drivers(known: AmountsNow) -> dict[str, FoundDriver]:
    """Return by objective what drives those that name nothing, with the amount that is set for them.

    An amount that serves several objectives is left as it is unless each of them has a driver, named or found.
    """
    found: dict[str, FoundDriver] = {}
    for sets in sorted({str(each.sets) for each in known.actions.values() if each.sets}):
        served = [
            each
            for each in known.objectives
            if each.kind.limits_values and each.driver is None and is_meant(known, each, sets)
        ]
        drivers = [_driver_of(known, each, sets) for each in served]
        if all(drivers):
            found |= {each.name: driver for each, driver in zip(served, drivers, strict=True) if driver is not None}
    return found


def best_driver(question: DriverQuestion, candidates: Mapping[str, FloatArray]) -> str | None:
    """Return the name of the candidate (n_steps,) that drives a metric; None where none surely does.

    It does where a response that was fitted on either half of the metric's moves tells the other, which it has not
    seen, clearly better than the metric's median, the metric a day before, and the same candidate shifted by one day
    and by two: placebos that keep the season. And where it is no symptom: the amount matters for what is told, and the
    candidate does not follow the amount, nor rest when the metric does, nor come of another driver itself.
    """
    errors: dict[str, float] = {}
    for name in _likeliest(question, candidates):
        asked = question.of_same(candidates[name])
        if asked is not None and asked[0].is_answerable and (error := _drives(*asked)) is not None:
            errors[name] = error
    roots = [name for name in errors if not _comes_of_another(name, errors, question, candidates)]
    return min(roots, key=lambda name: errors[name], default=None)


def said_of(objective: Objective, found: FoundDriver) -> str:
    """Return what people are told of a driver that was found."""
    return (
        f"{found.driver} was found to drive {objective.measured}, which is planned on it: to keep it, name it as "
        f"`driver` of {objective.name} with {found.capacity} as `capacity`; if it is wrong, name the right one."
    )


def _driver_of(known: AmountsNow, objective: Objective, sets: str) -> FoundDriver | None:
    if objective.side != "below" or objective.denominator is not None:
        return None
    for frame in known.frames:
        metric, amount = row_of(frame, objective.measured), row_of(frame, sets)
        if metric is None or amount is None:
            continue
        question = DriverQuestion(metric, amount, frame.step_s, frame.season_lengths[0], objective.bound)
        # Most metrics are well most of the time: then nothing is searched, and nothing costs anything.
        is_alive = np.count_nonzero(np.diff(metric[np.isfinite(metric)])) >= _FEWEST_MOVES
        name = best_driver(question, _candidates(known, frame, objective)) if is_alive else None
        return None if name is None else FoundDriver(name, sets, objective.measured)
    return None


def _candidates(known: AmountsNow, frame: Frame, objective: Objective) -> dict[str, FloatArray]:
    """Return the series that could drive: no amounts, nothing negative, nothing that an action is declared to move."""
    amounts = {each.sets for each in known.actions.values()}
    moved = {
        pattern
        for each in known.actions.values()
        for pattern in (*each.metrics, *each.expected_change, *each.expected_effect)
    }
    return {
        series: row
        for series, row in zip(frame.series, frame.values, strict=True)
        if metric_of(series) not in amounts
        and not objective.matches(series)
        and not any(fnmatchcase(metric_of(series), pattern) for pattern in moved)
        and np.isfinite(row).any()
        and np.nanmin(row) >= 0 < np.nanmax(row) - np.nanmin(row)
    }


def _likeliest(question: DriverQuestion, candidates: Mapping[str, FloatArray]) -> list[str]:
    """Return the few candidates that, per unit of the amount, go along with the metric best."""
    width = max(1, round(_SMOOTH_S / question.step_s))
    alike: dict[str, float] = {}
    for name, row in candidates.items():
        asked = question.of_same(row)
        if asked is None or not asked[0].is_answerable:
            continue
        load = asked[1] / np.maximum(asked[0].amount, 1e-9)
        smooth = np.convolve(load, np.ones(width) / width)[: len(load)]
        alike[name] = float(np.corrcoef(smooth, asked[0].metric)[0, 1]) if np.ptp(smooth) > 0 else 0.0
    return sorted((each for each in alike if alike[each] > 0), key=lambda each: -alike[each])[:_MOST_TRIED]


def _drives(question: DriverQuestion, driver: FloatArray) -> float | None:
    """Return the error on what was not seen where a candidate drives the metric; None where it does not."""
    errors = [_missed(question, driver, *half) for half in question.halves]
    for half, error in zip(question.halves, errors, strict=True):
        if error > _CLEARLY_BETTER * _missed_without(question, *half):
            return None
    if _is_symptom(question, driver, errors):
        return None
    for days in range(1, 1 + min(_PLACEBOS, len(driver) // question.day)):
        shifted = np.roll(driver, days * question.day)
        if _mean_ratio(errors, [_missed(question, shifted, *half) for half in question.halves]) > _CLEARLY_BETTER:
            return None
    return sum(errors)


def _mean_ratio(errors: Sequence[float], others: Sequence[float]) -> float:
    return sum(errors) / max(sum(others), 1e-12)


def _missed(question: DriverQuestion, driver: FloatArray, seen: slice, told: slice) -> float:
    """Return how far a response fitted on one half is off in the other, which it tells without a look at it."""
    metric, amount, step_s = question.metric, question.amount, question.step_s
    fitted = fit_metric(metric[seen], driver[seen], amount[seen], step_s, question.bound)
    if fitted is None:
        return np.inf
    working = effective(amount, round((fitted.latency_s or 0.0) / step_s))[told]
    lately = driver[max(0, told.start - max(1, round(_SMOOTH_S / step_s))) : told.start + 1]
    response = started(on_grid(fitted.response, step_s), float(metric[told.start]), float(lately.mean()))
    return error_of(metric[told], response.metric(driver[told], working))


def _missed_without(question: DriverQuestion, seen: slice, told: slice) -> float:
    """Return how far the metric's own median is off, or the metric a day before, whichever is nearer."""
    metric, day = question.metric, question.day
    flat = error_of(metric[told], np.full(told.stop - told.start, np.median(metric[seen])))
    return min(flat, error_of(metric[told], np.roll(metric, day)[told])) if told.start >= day else flat


def _is_symptom(question: DriverQuestion, driver: FloatArray, errors: Sequence[float]) -> bool:
    """Tell whether a candidate shows the same trouble as the metric: what drives does so whatever the amount is."""
    is_resting = question.metric <= question.metric.min()
    if is_resting.mean() >= _AT_REST and (driver[is_resting] <= driver.min()).mean() >= _RESTS_ALIKE:
        return True
    if seen_direction(strain_of(driver, float(np.median(driver)), "below"), question.amount, 1) != 0:
        return True
    constant = replace(question, amount=np.full_like(question.amount, float(np.median(question.amount))))
    return _mean_ratio(errors, [_missed(constant, driver, *half) for half in question.halves]) > _AMOUNT_MATTERS


def _comes_of_another(
    name: str, errors: Mapping[str, float], question: DriverQuestion, candidates: Mapping[str, FloatArray]
) -> bool:
    """Tell whether a candidate is told by another one and the amount, and does not tell that one itself."""
    return any(
        _tells(question, other, name, candidates) and not _tells(question, name, other, candidates)
        for other in errors
        if other != name
    )


def _tells(question: DriverQuestion, cause: str, effect: str, candidates: Mapping[str, FloatArray]) -> bool:
    asked = replace(question, metric=candidates[effect], bound=np.inf).of_same(candidates[cause])
    return asked is not None and asked[0].is_answerable and _drives(*asked) is not None
