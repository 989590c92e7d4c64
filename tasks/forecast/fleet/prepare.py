"""Turn columns with holes and wild values into dense histories the models can work on."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TypeVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from tasks.forecast.batch import Bools, Float32s, Floats, Ints

PLAUSIBLE_MAGNITUDE = 1e150  # squares of anything larger overflow a float
MIN_USABLE_POINTS = 30
NO_WINSORISING = 1e9
WINSOR_EXEMPT_STEPS = 36
HOURS = 24  # of a season
LARGEST_SCALED = 1e6
SEASONAL_SCALE_CYCLES = 1.2
TREND_CYCLES = 6
TREND_PARTS = 12  # of a history shorter than that
LEAST_TREND_CYCLES = 1.2
PHASE_CYCLES = 7  # the newest ones; a network of many would be slow
TREND_SHARE = 0.5  # of the change over a cycle that the trend must explain
Real = TypeVar("Real", np.float32, np.float64)


def smoothed_by_clock(course: Floats, around: int) -> Floats:
    """A course of the day (season,) as means over so many steps on either side, midnight included."""
    return np.asarray(sliding_window_view(np.pad(course, around, mode="wrap"), 2 * around + 1).mean(axis=1))


@dataclass(frozen=True)
class History:
    """Dense histories of n series over t steps in the units of the series.

    `raw` holds what was observed with gaps filled and any steady trend taken out (see `slope`), `model` the
    same with single wild values pulled in. Before `start`, the first observed step, both repeat later
    cycles.
    """

    raw: Floats
    model: Floats
    start: Ints
    usable: Ints
    slope: Floats  # change per step taken out, 0 where there is no steady trend; anchored at the last step
    slope_error: Floats  # its standard error
    never_below_zero: Bools
    filled: Ints  # gap steps filled after `start`

    def take(self, rows: Ints) -> History:
        return History(**{each.name: getattr(self, each.name)[rows] for each in fields(self)})

    @property
    def trending(self) -> Floats:
        """The histories as they ran, (n, t): gaps filled, any trend left in."""
        return np.asarray(self.raw + self.slope[:, None] * np.arange(1 - self.raw.shape[1], 1))

    @property
    def refusals(self) -> tuple[str | None, ...]:
        """Why each series is not forecast; None where it is."""
        return tuple(
            None if usable >= MIN_USABLE_POINTS else f"{usable} usable points; a forecast needs {MIN_USABLE_POINTS}"
            for usable in self.usable.tolist()
        )


@dataclass(frozen=True)
class Scaled:
    """Histories relative to each series' recent level, in units of its typical change per cycle."""

    raw: Float32s
    model: Float32s
    centre: Floats
    scale: Floats

    def take(self, rows: Ints) -> Scaled:
        return Scaled(self.raw[rows], self.model[rows], self.centre[rows], self.scale[rows])

    def with_scale(self, scale: Floats) -> Scaled:
        """The same with another scale for series that do not move, whose values relative to it stay 0."""
        return replace(self, scale=scale)


def prepare(values: Floats, season: int, winsor_mads: float) -> History:
    """Dense histories from `values` (n, t) with NaN where missing; `season` is a day in steps (1: none)."""
    with np.errstate(invalid="ignore"):
        observed = np.abs(values) <= PLAUSIBLE_MAGNITUDE
    usable = observed.sum(axis=1)
    start = np.where(usable > 0, observed.argmax(axis=1), values.shape[1])
    raw = fill_gaps(values, observed, season)
    never_below_zero = raw.min(axis=1) >= 0
    slope, slope_error = steady_slope(raw, start, season)
    raw -= slope[:, None] * np.arange(1 - raw.shape[1], 1)
    return History(
        raw=raw,
        model=winsorise(raw, season, winsor_mads),
        start=start,
        usable=usable,
        slope=slope,
        slope_error=slope_error,
        never_below_zero=never_below_zero,
        filled=values.shape[1] - start - usable,
    )


def scale_histories(history: History, season: int) -> Scaled:
    """Centre on the mean of the last four cycles, divide by max(mean |x_t − x_{t−m}|, 1 % of the range)."""
    model, t = history.model, history.model.shape[1]
    since = np.minimum(history.start, t - 1)
    lag = np.where(t - since >= SEASONAL_SCALE_CYCLES * season, season, 1)
    centre = _tail_mean(model, np.minimum(t - since, 4 * season))
    change = np.where(lag == season, _mean_change(model, since, season), _mean_change(model, since, 1))
    scale = np.maximum(change, 0.01 * (model.max(axis=1) - model.min(axis=1)))
    for extent in (0.01 * (history.raw.max(axis=1) - history.raw.min(axis=1)), 1.0):  # of one that rests, by its spike
        scale = np.where(scale > 0, scale, extent)
    return Scaled(_relative(history.raw, centre, scale), _relative(model, centre, scale), centre, scale)


def _relative(values: Floats, centre: Floats, scale: Floats) -> Float32s:
    """Values in units of the scale; a wild one is cut at a million so that it stays finite in single precision."""
    relative = (values - centre[:, None]) / scale[:, None]
    return np.clip(relative, -LARGEST_SCALED, LARGEST_SCALED, out=relative).astype(np.float32)


def fill_gaps(values: Floats, observed: Bools, season: int) -> Floats:
    """`values` with the steps not `observed` filled, the rest unchanged; rows with nothing observed become 0.

    Gaps shorter than a quarter of a season (six hours of a day) are bridged linearly. Longer ones take the
    same phase of the cycle before, as do gaps up to the last step; a short gap there keeps the last value.
    Steps before the first observation take the same phase of the following cycle.
    """
    dense = np.where(observed, values, 0.0)
    holed = np.flatnonzero(~observed.all(axis=1) & observed.any(axis=1))
    if len(holed):
        dense[holed] = _filled(dense[holed], observed[holed], season)
    return dense


def _filled(values: Floats, observed: Bools, season: int) -> Floats:
    before, after = _neighbours(observed)
    t = values.shape[1]
    rows = np.arange(len(values))[:, None]
    left = values[rows, np.maximum(before, 0)]
    right = values[rows, np.minimum(after, t - 1)]
    share = (np.arange(t) - before) / np.maximum(after - before, 1)
    bridged = np.where(after == t, left, np.where(before < 0, right, left * (1 - share) + right * share))
    dense = np.where(observed, values, bridged)
    if season == 1:
        return dense
    long = (after - before - 1 >= max(season // 4, 1)) & ~observed
    return _repeat_cycles(dense, long & (before >= 0), long & (before < 0), season)


def _neighbours(observed: Bools) -> tuple[Ints, Ints]:
    """Per step the last observed step at or before it (−1: none) and the first at or after (t: none)."""
    t = observed.shape[1]
    steps = np.arange(t)
    before = np.maximum.accumulate(np.where(observed, steps, -1), axis=1)
    after = np.minimum.accumulate(np.where(observed, steps, t)[:, ::-1], axis=1)[:, ::-1]
    return before, after


def _repeat_cycles(dense: Floats, inner: Bools, leading: Bools, season: int) -> Floats:
    """Overwrite `inner` steps by the cycle before and `leading` ones by the cycle after, cycle by cycle.

    What was already filled serves the next cycle, so a gap of several cycles repeats the last one seen.
    """
    t = dense.shape[1]
    first = t - leading[:, ::-1].argmax(axis=1) if leading.any() else np.zeros(len(dense), dtype=np.intp)
    first = np.where(leading.any(axis=1), first, 0)
    for begin in range(season, t, season):
        now, past = slice(begin, min(begin + season, t)), slice(begin - season, min(begin, t - season))
        # A source before the first observation holds no measurement; the linear bridge stands there.
        is_recorded = np.arange(past.start, past.stop) >= first[:, None]
        dense[:, now] = np.where(inner[:, now] & is_recorded, dense[:, past], dense[:, now])
    for end in range(t - season, 0, -season):
        now, later = slice(max(end - season, 0), end), slice(max(end - season, 0) + season, end + season)
        dense[:, now] = np.where(leading[:, now], dense[:, later], dense[:, now])
    return dense


def steady_slope(raw: Floats, start: Ints, season: int) -> tuple[Floats, Floats]:
    """Change per step (n,) of series whose last six daily means all move one way, and its standard error; else 0, 0.

    The move must also explain half of the typical change from one cycle to the next: monotone means alone are
    found in one wandering series out of sixteen. Of less than six days, twelve parts side by side must all move one
    way: no time of day makes them do so.
    """
    n, t = raw.shape
    if season == 1 or t < LEAST_TREND_CYCLES * season:
        return np.zeros(n), np.zeros(n)
    days = t >= TREND_CYCLES * season
    parts, length = (TREND_CYCLES, season) if days else (TREND_PARTS, t // TREND_PARTS)
    tail = raw[:, t - parts * length :].reshape(n, parts, length)
    moves = np.diff(tail.mean(axis=2), axis=1)
    one_way = (moves > 0).all(axis=1) | (moves < 0).all(axis=1)
    typical = np.median(moves, axis=1)
    steady = one_way & (t - start >= parts * length)
    if days:
        change = np.abs(np.diff(tail, axis=1)).mean(axis=(1, 2))
        steady &= np.abs(typical) >= TREND_SHARE * change
    slope, error = (np.where(steady, of / length, 0.0) for of in (typical, moves.std(axis=1, ddof=1) / parts**0.5))
    return slope, error


def winsorise(raw: Floats, season: int, mads: float) -> Floats:
    """`raw` with single wild values pulled in to `mads` typical deviations from their phase's median.

    The last 36 steps are exempt: there a jump may be news. The typical deviation is the median absolute
    one, or a third of its 90 % quantile where most steps sit on one value. A series that left its value once, for less
    than an hour, and has rested on it for an hour again, is one that rests.
    """
    t = raw.shape[1]
    cycles = t // season
    if cycles < 3 or season == 1:
        return raw
    tail = raw[:, t - cycles * season :].reshape(len(raw), cycles, season)
    phase_median = network_median([tail[:, i] for i in range(max(0, cycles - PHASE_CYCLES), cycles)])
    typical = np.take(phase_median, (np.arange(t) - t) % season, axis=1)
    deviation = np.abs(raw - typical)
    half, most = _quantile_columns(deviation[:, :: max(1, t // 250)], (0.5, 0.9))
    limit = mads * np.maximum(1.4826 * half, most / 3)[:, None]
    limit = np.where(limit > 0, limit, np.inf)
    model = np.clip(raw, typical - limit, typical + limit)
    model[:, t - WINSOR_EXEMPT_STEPS :] = raw[:, t - WINSOR_EXEMPT_STEPS :]
    for row in np.flatnonzero((most == 0) & (half == 0)).tolist():
        left = np.flatnonzero(deviation[row])
        if len(left) and left[-1] - left[0] < season / HOURS and left[-1] < t - season / HOURS:
            model[row, left] = typical[row, left]
    return np.asarray(model)


def network_median(arrays: list[NDArray[Real]]) -> NDArray[Real]:
    """Elementwise median of a few arrays by an exchange network, far faster than sorting cell by cell."""
    ordered = list(arrays)
    for end in range(len(ordered) - 1, 0, -1):
        for i in range(end):
            low, high = ordered[i], ordered[i + 1]
            ordered[i], ordered[i + 1] = np.minimum(low, high), np.maximum(low, high)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return np.asarray((ordered[middle - 1] + ordered[middle]) / 2, dtype=ordered[middle].dtype)


def _quantile_columns(values: Floats, levels: tuple[float, ...]) -> list[Floats]:
    """Order statistics nearest to the levels, one array (n,) each."""
    ranks = [round(level * (values.shape[1] - 1)) for level in levels]
    ordered = np.partition(values, ranks, axis=1)
    return [ordered[:, rank] for rank in ranks]


def _tail_mean(values: Floats, length: Ints) -> Floats:
    """Mean of the last `length` steps of each row."""
    t = values.shape[1]
    if (length == length[0]).all():
        return np.asarray(values[:, t - length[0] :].mean(axis=1))
    return np.array([row[t - own :].mean() for row, own in zip(values, np.maximum(length, 1).tolist(), strict=True)])


def _mean_change(values: Floats, since: Ints, lag: int) -> Floats:
    """Mean |x_t − x_{t−lag}| over the steps of each row whose both ends lie at or after `since`."""
    t = values.shape[1]
    if t <= lag:
        return np.zeros(len(values))
    change = values[:, lag:] - values[:, :-lag]
    np.abs(change, out=change)
    for row in np.flatnonzero(since).tolist():
        change[row, : since[row]] = 0
    return np.asarray(change.sum(axis=1) / np.maximum(t - lag - since, 1))
