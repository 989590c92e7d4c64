"""What waits because it is not served yet: a metric that carries its past, so that no single moment explains it.

A queue grows by what arrives less what the capacity serves, and never falls below nothing. Its length is what a
metric counts, or the age of its oldest item what it shows, first come first served.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from storage.records import BoolArray, FloatArray

_MOST_LAG_STEPS, _MOST_LAG_S = 15, 1_800.0
_TIME_BASES_S = (1.0, 60.0, 3_600.0)
"""In how many seconds a driver counts what arrives: a rate per second, per minute or per hour."""

_AGE_UNITS_S = (1.0, 60.0, 3_600.0, 0.001)
_FEWEST_BUSY = 8
_FEWEST_STEPS = 30
_EMPTY_RATIO = 0.02
_SPAN_STEPS = 6
_SURELY = 0.95
_CLEAR_STEPS = 3
_OFTEN_SERVED = 0.99
_LATELY_S = 900.0


@dataclass(frozen=True)
class BacklogResponse:
    """metric = scale × what waits, or × the age of its oldest: arrivals pile up that the capacity does not serve.

    One unit of capacity serves `rate` of the driver. `waiting` is there at the start, in driver × seconds, and came at
    the rate `arriving` (numbers, or one a row). The last axis of driver and capacity is time, in steps of `step_s`; the
    metric of a step is the mean over it. The recursion is Lindley's (1952, "The theory of queues with a single
    server"), the age that of a fluid served in order of arrival.
    """

    rate: float
    is_age: bool
    scale: float
    step_s: float
    waiting: float | FloatArray = 0.0
    arriving: float | FloatArray = 0.0

    def metric(self, driver: FloatArray, capacity: FloatArray) -> FloatArray:
        """Return the metric for driver and capacity paths that broadcast against each other."""
        shape = np.broadcast_shapes(np.shape(driver), np.shape(capacity))
        flow = np.broadcast_to(np.atleast_1d(np.maximum(driver, 0.0)), shape or (1,)) * self.step_s
        served = np.broadcast_to(np.atleast_1d(np.maximum(capacity, 0.0)), shape or (1,)) * (self.rate * self.step_s)
        before = np.broadcast_to(np.asarray(self.waiting, dtype=float), flow.shape[:-1])[..., None]
        free = before + np.cumsum(flow - served, axis=-1)
        waiting = free - np.minimum.accumulate(np.minimum(free, 0.0), axis=-1)
        values = self.scale * (self._ages_s(waiting, flow, before) if self.is_age else waiting)
        started = np.concatenate([np.broadcast_to(self._at_start(before), before.shape), values], axis=-1)
        means: FloatArray = (started[..., :-1] + started[..., 1:]) / 2
        return means.reshape(shape)

    def levels(self, driver: FloatArray, waiting: FloatArray) -> FloatArray:
        """Return the metric (n_paths, n_steps, n_levels) where so much waits after a step, in driver × seconds.

        `driver` is (n_paths, n_steps), `waiting` (n_levels,).
        """
        shape = (*driver.shape, len(waiting))
        if not self.is_age:
            return np.broadcast_to(self.scale * waiting, shape)
        moments = np.arange(driver.shape[1] + 1) * self.step_s
        rate, most = max(float(np.max(self.arriving)), 1e-12), float(waiting[-1]) + 1e-9
        ages = np.empty(shape)
        for path, flow in enumerate(np.maximum(driver, 0.0) * self.step_s):
            arrived = np.concatenate([[-most, 0.0], np.cumsum(flow)])
            oldest = np.concatenate([[-most / rate], moments])
            ages[path] = moments[1:, None] - np.interp(arrived[2:, None] - waiting, arrived, oldest)
        return self.scale * np.where(waiting > 0, ages, 0.0)

    def from_state(self, metric: float | FloatArray, arriving: float | FloatArray) -> BacklogResponse:
        """Return it from where the metric stands, when things arrived at a rate."""
        shown = np.maximum(metric, 0.0) / self.scale
        return replace(self, waiting=shown * arriving if self.is_age else shown, arriving=arriving)

    def on_grid(self, step_s: float) -> BacklogResponse:
        """Return it for paths in steps of `step_s`."""
        return replace(self, step_s=step_s)

    def of_driver(self, factor: float) -> BacklogResponse:
        """Return it for a driver of which each unit counts `factor` times."""
        return replace(
            self,
            rate=self.rate / factor,
            scale=self.scale if self.is_age else self.scale * factor,
            waiting=self.waiting / factor,
            arriving=self.arriving / factor,
        )

    def _at_start(self, before: FloatArray) -> FloatArray:
        rate = np.maximum(np.asarray(self.arriving, dtype=float), 1e-12)
        return self.scale * (before / (rate[..., None] if rate.ndim else rate) if self.is_age else before)

    def _ages_s(self, waiting: FloatArray, flow: FloatArray, before: FloatArray) -> FloatArray:
        """Return how long ago what is served next arrived, (..., n_steps)."""
        arrived = np.cumsum(flow, axis=-1)
        steps = flow.shape[-1]
        moments = np.arange(steps + 1) * self.step_s
        ages = np.empty(flow.shape)
        rates = np.broadcast_to(np.asarray(self.arriving, dtype=float), flow.shape[:-1])
        for row in np.ndindex(flow.shape[:-1]):
            old = float(before[(*row, 0)])
            since = np.concatenate([[-old - 1e-12, 0.0], arrived[row]])
            oldest = np.concatenate([[-old / max(float(rates[row]), 1e-12)], moments])
            ages[row] = moments[1:] - np.interp(arrived[row] - waiting[row], since, oldest)
        return np.where(waiting > 1e-9, np.maximum(ages, 0.0), 0.0)


def effective(capacity: FloatArray, lag_steps: int) -> FloatArray:
    """Return the capacity (n_steps,) that works: an increase after `lag_steps`, a decrease at once."""
    padded = np.concatenate([np.full(lag_steps, capacity[0]), capacity])
    windows = np.lib.stride_tricks.sliding_window_view(padded, lag_steps + 1)
    return np.asarray(windows.min(axis=1))


def fit_backlog(
    metric: FloatArray, driver: FloatArray, capacity: FloatArray, step_s: float
) -> tuple[BacklogResponse, int] | None:
    """Return the backlog that a metric shows and the lag in steps of an increase, all (n_steps,), gaps filled.

    Two steps with something waiting tell how much was served between them, which is the rate of the capacity in use;
    what was served with nothing left waiting is its lower bound. As an age it can grow no faster than time passes. The
    unit of the metric, or the time base of the driver, is the one that explains the metric best when it is run from its
    first value with no more looks at it. None with under eight steps in which something waited or thirty in all, or
    where the metric never came near zero: a queue is empty at times.
    """
    best: tuple[float, BacklogResponse, int] | None = None
    if len(metric) < _FEWEST_STEPS or metric.min() > _EMPTY_RATIO * metric.max():
        return None
    for response, lag in _fits(metric, driver, capacity, step_s):
        error = error_of(metric, run(response, metric, driver, effective(capacity, lag)))
        if best is None or error < best[0] * (0.98 if lag > best[2] else 1.0):
            best = (error, response, lag)
    return None if best is None else best[1:]


def run(response: BacklogResponse, metric: FloatArray, driver: FloatArray, capacity: FloatArray) -> FloatArray:
    """Return the metric (n_steps,) as the response makes it of driver and capacity from its first value on."""
    lately = max(1, round(_LATELY_S / response.step_s))
    return response.from_state(float(metric[0]), float(driver[:lately].mean())).metric(driver, capacity)


def error_of(metric: FloatArray, fitted: FloatArray) -> float:
    """Return the mean absolute error, of which none counts more than the metric's own range without its extremes."""
    return float(errors_of(metric, fitted[None])[0])


def errors_of(metric: FloatArray, fitted: FloatArray) -> FloatArray:
    """Return the error (n_fits,) of each of some fits (n_fits, n_steps), as `error_of` tells it of one."""
    low, high = np.quantile(metric, (0.01, 0.99))
    return np.asarray(np.minimum(np.abs(fitted - metric), max(high - low, 1e-12)).mean(axis=1))


def _fits(
    metric: FloatArray, driver: FloatArray, capacity: FloatArray, step_s: float
) -> list[tuple[BacklogResponse, int]]:
    lags = range(1 + min(_MOST_LAG_STEPS, int(_MOST_LAG_S // step_s)) if np.ptp(capacity) > 0 else 1)
    working = [effective(capacity, lag) for lag in lags]
    fits = []
    for unit_s in _AGE_UNITS_S:
        age_s = metric * unit_s
        if not _can_be_age(age_s, step_s):
            continue
        served, is_busy = _served_by_age(age_s, driver, step_s)
        lag, rate = _best_rate(served, is_busy, working, step_s)
        if rate is not None:
            rate = max(rate, _SURELY * least_rate(driver, working[lag], metric <= 0))
            fits.append((BacklogResponse(rate, True, 1 / unit_s, step_s), lag))
    for base_s in _TIME_BASES_S:
        waits = metric * base_s
        served = driver[1:] * step_s - np.diff(waits)
        is_busy = (metric[1:] > 0) & (metric[:-1] > 0) & (served >= 0)
        lag, rate = _best_rate(served, is_busy, working, step_s)
        if rate is not None:
            rate = max(rate, _SURELY * least_rate(driver, working[lag], metric <= 0))
            fits.append((BacklogResponse(rate, False, 1 / base_s, step_s), lag))
    return fits


def _can_be_age(age_s: FloatArray, step_s: float) -> bool:
    """Tell whether it grows no faster than time, and shows more than how long one step lasts."""
    grown = np.diff(age_s)[age_s[1:] > 0]
    return len(grown) > 0 and bool(np.mean(grown <= 1.05 * step_s) >= _SURELY) and float(age_s.max()) >= step_s


def _served_by_age(age_s: FloatArray, driver: FloatArray, step_s: float) -> tuple[FloatArray, BoolArray]:
    """Return what was served between one step and the next, and whether something waited all the time."""
    moments = np.arange(len(driver) + 1) * step_s
    arrived = np.concatenate([[0.0], np.cumsum(driver * step_s)])
    # The age of a step is the mean over it: it stands for its middle.
    oldest_s = moments[1:] - step_s / 2 - age_s
    gone = np.interp(oldest_s, moments, arrived)
    is_known = oldest_s >= 0
    is_busy = (age_s[1:] >= step_s / 2) & (age_s[:-1] >= step_s / 2) & is_known[1:] & is_known[:-1]
    return np.diff(gone), is_busy


def _best_rate(
    served: FloatArray, is_busy: BoolArray, working: list[FloatArray], step_s: float
) -> tuple[int, float | None]:
    """Return the lag at which what was served follows the capacity best, and how much a unit of it serves."""
    spans = _spans(is_busy)
    if is_busy.sum() < _FEWEST_BUSY or not len(spans):
        return 0, None
    totals = np.array([served[first:last].sum() for first, last in spans])
    found = []
    for lag, capacity in enumerate(working):
        mean = (capacity[1:] + capacity[:-1]) / 2
        units = np.array([mean[first:last].sum() for first, last in spans]) * step_s
        usable = units > 0
        if not usable.any():
            continue
        rate = float(np.median(totals[usable] / units[usable]))
        found.append((float(np.abs(totals[usable] - rate * units[usable]).mean()), lag, rate))
    if not found:
        return 0, None
    least = min(error for error, _, _ in found)
    _, lag, rate = next(each for each in found if each[0] <= 1.02 * least + 1e-9)
    return lag, rate if rate > 0 else None


def _spans(is_busy: BoolArray) -> list[tuple[int, int]]:
    """Return stretches of up to six steps in which something waited throughout: a single step is mostly noise."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], is_busy, [False]]).astype(int)))
    spans = [(first, last) for first, last in zip(edges[::2], edges[1::2], strict=True)]
    return [
        (int(start), int(min(start + _SPAN_STEPS, last)))
        for first, last in spans
        for start in range(first, last, _SPAN_STEPS)
    ]


def least_rate(driver: FloatArray, working: FloatArray, is_clear: BoolArray) -> float:
    """Return what a unit of capacity was seen to serve when nothing was left waiting: it can do no less."""
    size = min(_CLEAR_STEPS, len(driver))
    clear = np.lib.stride_tricks.sliding_window_view(is_clear, size).all(axis=1)
    windows = np.lib.stride_tricks.sliding_window_view(driver, size).mean(axis=1)[clear]
    units = np.lib.stride_tricks.sliding_window_view(working, size).max(axis=1)[clear]
    ratios = windows[units > 0] / units[units > 0]
    return float(np.quantile(ratios, _OFTEN_SERVED)) if len(ratios) else 0.0
