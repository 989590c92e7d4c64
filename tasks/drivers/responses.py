"""How a metric follows from its driver and the capacity that serves it: forms, fitted to what was recorded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from storage.records import FloatArray, ResponseSpec
from tasks.drivers.backlog import BacklogResponse, error_of, errors_of

_FULLEST = 0.95
_MIN_VALUES = 8
_MOST_VALUES = 400
_AT_CEILING = 0.005
_WORKS = 49
_BETTER_RATIO, _ABOUT_AS_WELL = 0.8, 0.8
_STEEPNESSES = (1.0, 2.0, 4.0, 8.0, 16.0)
_FULLEST_SEEN = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.2, 1.35, 1.5)


@dataclass(frozen=True)
class RatioResponse:
    """metric = base + work × driver / capacity: utilisation, load per server, queue length per worker."""

    work: float
    base: float = 0.0

    def metric(self, driver: FloatArray, capacity: FloatArray) -> FloatArray:
        """Return the metric for driver and capacity that broadcast against each other."""
        return self.base + self.work * driver / np.maximum(capacity, 1e-9)


@dataclass(frozen=True)
class QueueResponse:
    """metric = service × (1 + ρ^steepness / (1 − ρ)) with ρ = work × driver / capacity: the response time of a queue.

    With steepness 1 that is service / (1 − ρ), the mean of an M/G/1 processor-sharing queue (Kleinrock 1976, Queueing
    Systems 2, section 4.4). Many servers of one queue keep it flat until they are nearly full, and then it explodes:
    steepness √(2 (servers + 1)) − 1 (Sakasegawa 1977, "An approximation formula"). From ρ = .95 on it continues as a
    straight line, since a real queue that is overloaded for a while does not grow without end.
    """

    service: float
    work: float
    steepness: float = 1.0

    def metric(self, driver: FloatArray, capacity: FloatArray) -> FloatArray:
        """Return the metric for driver and capacity that broadcast against each other."""
        load = self.work * driver / np.maximum(capacity, 1e-9)
        within = np.clip(load, 0.0, _FULLEST)
        beyond = np.maximum(load - _FULLEST, 0.0) / (1.0 - _FULLEST) ** 2
        return self.service * (1.0 + within**self.steepness / (1.0 - within) + beyond)


@dataclass(frozen=True)
class ProductResponse:
    """metric = driver × (base + work × capacity): what grows with the amount, as work does with the content served."""

    work: float
    base: float = 0.0

    def metric(self, driver: FloatArray, capacity: FloatArray) -> FloatArray:
        """Return the metric for driver and capacity that broadcast against each other."""
        return driver * (self.base + self.work * capacity)


@dataclass(frozen=True)
class CapacityResponse:
    """The metric is the capacity itself: an objective on how much there should be."""

    def metric(self, driver: FloatArray, capacity: FloatArray) -> FloatArray:
        """Return the capacity, in the shape of both."""
        return np.broadcast_to(capacity, np.broadcast_shapes(np.shape(driver), np.shape(capacity))).astype(float)


@dataclass(frozen=True)
class ScaledResponse:
    """Another response under a driver that is `factor` times as large: shared out, or served slowly for now."""

    response: Response
    factor: float

    def metric(self, driver: FloatArray, capacity: FloatArray) -> FloatArray:
        """Return the metric for driver and capacity that broadcast against each other."""
        return self.response.metric(driver * self.factor, capacity)


def response_of(spec: ResponseSpec) -> Response:
    """Return a declared response, without what it says of the present (`per` and slow start)."""
    work = spec.work or 0.0
    if spec.form == "ratio":
        return RatioResponse(work, spec.base)
    if spec.form == "queue":
        return QueueResponse(spec.service or 0.0, work, spec.steepness)
    if spec.form in {"backlog", "age"}:
        scale = 1.0 if spec.form == "age" else 1.0 / spec.driver_unit_s
        return BacklogResponse(1.0 / work, spec.form == "age", scale, step_s=60.0)
    return ProductResponse(work, spec.base) if spec.form == "product" else CapacityResponse()


def on_grid(response: Response, step_s: float) -> Response:
    """Return a response for paths in steps of `step_s`: a backlog has to know how long it grows in each."""
    if isinstance(response, ScaledResponse):
        return replace(response, response=on_grid(response.response, step_s))
    return response.on_grid(step_s) if isinstance(response, BacklogResponse) else response


def started(response: Response, metric: float | FloatArray, driver: float | FloatArray) -> Response:
    """Return a response that starts where the metric stands, when the driver was as given: a backlog is there already.

    Both are numbers, or one a row of the paths.
    """
    if isinstance(response, ScaledResponse):
        return replace(response, response=started(response.response, metric, driver * response.factor))
    return response.from_state(metric, driver) if isinstance(response, BacklogResponse) else response


def backlog_of(response: Response) -> BacklogResponse | None:
    """Return the backlog that a response is, in units of its driver; None where it is one of a moment."""
    if isinstance(response, ScaledResponse):
        inner = backlog_of(response.response)
        return None if inner is None else inner.of_driver(response.factor)
    return response if isinstance(response, BacklogResponse) else None


def present_factor(spec: ResponseSpec, per: FloatArray, step_s: float) -> float | None:
    """Return by what the driver is multiplied now: 1 / the last value of `per` (n_steps,), more where it grew lately.

    What was added last works slower for a while: a cold cache, a table that is loaded. None where `per` has no
    positive value.
    """
    seen = np.flatnonzero(np.isfinite(per))
    if not len(seen) or per[seen[-1]] <= 0:
        return None
    changed = np.flatnonzero(np.diff(per[seen]))
    slow = 0.0
    if len(changed) and per[seen[changed[-1] + 1]] > per[seen[changed[-1]]]:
        age_s = step_s * (len(per) - 0.5 - seen[changed[-1] + 1])
        slow = spec.slow_start_ratio * float(np.exp(-age_s / spec.slow_start_s))
    return (1.0 + slow) / float(per[seen[-1]])


def fit_response(metric: FloatArray, driver: FloatArray, capacity: FloatArray) -> Response | None:
    """Return how a metric follows from driver and capacity, all (n_steps,) on one grid, NaN where missing.

    Every form is fitted robustly (Theil-Sen; the queue in 1/metric and the product in metric/driver, where they are
    lines; a steep queue over a grid). Of those with about the least mean error the simplest is kept. No error counts
    more than the metric's own range: what explodes now and then must count, and an outlier not for more; and at a
    ceiling, where the metric cannot show more, what lies above it is no error. None with under eight complete steps, or
    where no form fits a fifth better than the metric's own median does. While the capacity never varied it is taken to
    share the load.
    """
    complete = np.isfinite(metric) & np.isfinite(driver) & np.isfinite(capacity) & (capacity > 0) & (driver > 0)
    if complete.sum() < _MIN_VALUES:
        return None
    kept = np.flatnonzero(complete)
    kept = kept[np.linspace(0, len(kept) - 1, min(len(kept), _MOST_VALUES)).round().astype(int)]
    seen, drive, amount = metric[kept], driver[kept], capacity[kept]
    if np.ptp(seen) == 0:
        return None
    forms = _FORMS if np.ptp(amount) > 0 else _FORMS_OF_LOAD
    fits = [fit for form in forms if (fit := form(seen, drive, amount)) is not None]
    most = _ceiling(seen)
    errors = [error_of(seen, np.minimum(fit.metric(drive, amount), most)) for fit in fits]
    spread = error_of(seen, np.full_like(seen, np.median(seen)))
    least = min(errors, default=np.inf)
    if least > _BETTER_RATIO * spread:
        return None
    # Of forms that do about as well the simplest is kept: the few values of a first hour fit many.
    return next(fit for fit, error in zip(fits, errors, strict=True) if error * _ABOUT_AS_WELL <= least)


def _line(across: FloatArray, up: FloatArray) -> tuple[float, float] | None:
    """Return slope and level of a robust line, None where nothing varies."""
    if len(across) < _MIN_VALUES or np.ptp(across) <= 1e-9 * max(1.0, float(np.abs(across).max())):
        return None
    # Imported here: a second that only those should pay who have a response to fit.
    from scipy.stats import theilslopes

    # It also gives an interval, which many equal values have not: that is not asked for.
    with np.errstate(invalid="ignore"):
        slope, level, *_ = theilslopes(up, across)
    return float(slope), float(level)


def _ceiling(seen: FloatArray) -> float:
    """Return the value above which a metric does not go, as a share of time in use has one; inf where it has none."""
    most = float(seen.max())
    at_most = int((seen >= (1 - _AT_CEILING) * most).sum())
    return most if at_most >= max(_MIN_VALUES // 3, 0.05 * len(seen)) else np.inf


def at_ceiling(metric: FloatArray, driver: FloatArray, capacity: FloatArray) -> Response | None:
    """Return the work that explains a metric that mostly shows its ceiling (all (n_steps,), no gaps); else None.

    The smallest load that still filled the capacity says how much a unit of the driver takes, at the least.
    """
    used = (metric > 0) & (driver > 0) & (capacity > 0)
    if used.sum() < _MIN_VALUES or np.median(metric) < (1 - _AT_CEILING) * metric.max():
        return None
    return _fit_share(metric[used], driver[used], capacity[used])


def _fit_share(seen: FloatArray, driver: FloatArray, capacity: FloatArray) -> Response | None:
    """Return a ratio without a base: of the works that single steps show, the one that tells all steps best."""
    load, most = driver / capacity, _ceiling(seen)
    shown = np.quantile(seen / load, np.linspace(0.02, 0.98, _WORKS))
    works = shown[shown > 0]
    if not len(works):
        return None
    return RatioResponse(float(works[errors_of(seen, np.minimum(works[:, None] * load, most)).argmin()]))


def _fit_ratio(seen: FloatArray, driver: FloatArray, capacity: FloatArray) -> Response | None:
    free = seen < _ceiling(seen)
    line = _line((driver / capacity)[free], seen[free])
    return RatioResponse(*line) if line is not None and line[0] > 0 else None


def _fit_queue(seen: FloatArray, driver: FloatArray, capacity: FloatArray) -> Response | None:
    positive = seen > 0
    line = _line((driver / capacity)[positive], 1.0 / seen[positive])
    if line is None or not line[0] < 0 < line[1]:
        return None
    return QueueResponse(1.0 / line[1], -line[0] / line[1])


def _fit_steep_queue(seen: FloatArray, driver: FloatArray, capacity: FloatArray) -> Response | None:
    load, positive = driver / capacity, seen > 0
    if positive.sum() < _MIN_VALUES:
        return None
    most = float(np.quantile(load, 0.99))
    shapes = [QueueResponse(1.0, fullest / most, steepness) for steepness in _STEEPNESSES for fullest in _FULLEST_SEEN]
    told = np.stack([shape.metric(driver, capacity) for shape in shapes])
    services = np.median(seen[positive] / told[:, positive], axis=1)
    best = int(errors_of(seen, services[:, None] * told).argmin())
    return replace(shapes[best], service=float(services[best]))


def _fit_product(seen: FloatArray, driver: FloatArray, capacity: FloatArray) -> Response | None:
    line = _line(capacity, seen / driver)
    return ProductResponse(*line) if line is not None and line[0] > 0 else None


_FORMS_OF_LOAD = (_fit_share, _fit_ratio, _fit_queue, _fit_steep_queue)
_FORMS = (*_FORMS_OF_LOAD, _fit_product)


class Response(Protocol):
    """How a metric follows from its driver and the capacity that serves it."""

    def metric(self, driver: FloatArray, capacity: FloatArray) -> FloatArray:
        """Return the metric for driver and capacity paths that broadcast against each other."""
        ...
