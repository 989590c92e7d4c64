"""Lasting shifts of level: the old level against the new one, weighed by how long the new one has stood.

Most jumps revert within hours, so a shift that is guessed too early costs more than one that is seen late. What tells
the lasting ones apart on recorded metrics: the move is larger than any of the same length before, the series kept to
its old level until then and to the new one since, and the new one has stood for hours. The forecast is a mixture of
one on history as it was and one on history moved to the new level. The share of the new level grows with its age.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from storage.records import Frame, Pattern
from tasks.forecast.batch import Bools, Floats, Ints
from tasks.forecast.fleet.prepare import PLAUSIBLE_MAGNITUDE, network_median
from tasks.interventions.jumps import is_jump

DAY_HOURS = 24
MOST_DAYS = 14
"""Of history that is looked at; older days tell little of the level before."""

FEWEST_DAYS = 2
"""Before a shift, to know what of a move is the time of day."""

NEWEST_HOURS = 1
LEAST_SPREADS = 3.0
"""How many usual deviations the newest hours must lie off; the rest is not looked at any closer."""

LEAST_MOVE_RATIO = 1.8
"""How much larger than the largest move between neighbouring stretches of the same length before."""

LEAST_KEPT = 0.85
"""How closely the new level is kept to: 1 where no hour lies nearer to the old one."""

SATURATED = 0.5
"""From so far toward either level on, in halves of the shift, an hour is wholly near it: the time of day moves both."""

MOST_EXCURSION = 1 / 16
"""Of the time that the new level has stood: for how long the series was beyond half of the shift before."""

LEAST_STEPS_THERE, MOST_BETWEEN, MOST_BEYOND = 24, 0.05, 0.1
"""Of a stay on a level known from before: how long it is, and how many of all values lie in the third between both
levels, and farther beyond them than they lie apart."""

HALF_AFTER_HOURS, HALF_AFTER_HOURS_AT_REST, HALF_AFTER_HOURS_KNOWN = 3.0, 1.0, 0.75
"""After so long the new level counts as much as the old: of a noisy series, of one that rests on one value before
and after, and where an event was recorded just before the shift."""

SHARE_POWER = 3.0
LINDY_POWER = 2.0
LEAST_SHARE, MOST_SHARE = 0.03, 0.95
"""Beyond these the mixture is one of its parts."""

FEWEST_YOUNG_STEPS = 3
YOUNG_GAP = 0.5
"""Of a move: between all that was before and all since, in a history too short to know the time of day."""

FEWEST_FACTOR_HOURS = 4
SCALED_RESIDUAL_RATIO = 0.7
"""A shift that multiplies leaves at most so much of the residuals of one that adds."""


@dataclass(frozen=True)
class Shift:
    """A move of one series: what was before `step`, times `factor` plus `size`, lies on the new level.

    That counts `share` of the mixture. Where it `was_there` before, what lay on the new level stays there.
    """

    row: int
    step: int
    size: float
    factor: float
    share: float
    was_there: bool = False

    def aligned(self, values: Floats) -> Floats:
        """Return a history (t,) with what was before the shift moved to the level after it, never across 0."""
        before = values[: self.step]
        floor = 0.0 if np.nanmin(values) >= 0 else -np.inf
        moved = np.maximum(self.factor * before + self.size, floor)
        if self.was_there:
            moved = np.where(_beyond_half(before, self.size), before, moved)
        return np.concatenate([moved, values[self.step :]])

    def told(self, steps: int, season: int) -> str:
        """Return in words since when the level is another one, and how much it counts."""
        hours = max(1, round((steps - self.step) * DAY_HOURS / season))
        new = f"its level moved {hours} hour{'s' if hours > 1 else ''} ago"
        if self.share < LEAST_SHARE:
            return f"{new}: the forecast counts the new level for about as long as it has stood"
        if self.share == 1:
            return f"{new} and has stayed: earlier history was moved to the new level"
        return f"{new}: the forecast counts the new level {self.share:.0%}, the old one {1 - self.share:.0%}"


def find_shifts(values: Floats, season: int, changed_at: Ints | None = None) -> list[Shift]:
    """Return the lasting shift of each series (n, t), NaN where missing, that has one, in the order of rows.

    `season` is a day in steps. `changed_at` (n,) is the step at which a series is known to have changed its level,
    negative where none is known: such a change needs no proof, and counts sooner. Without a day no shift is found, and
    in less than three only one that all values since tell from all before.
    """
    if season <= 1:
        return []
    known = np.full(len(values), -1, dtype=np.intp) if changed_at is None else np.asarray(changed_at)
    shifts = [
        shift for row in np.flatnonzero(known >= season).tolist() if (shift := _known(values[row], row, known, season))
    ]
    hourly = _hourly(values, season)
    if hourly is None:
        shifts += [shift for row in np.flatnonzero(known < 0).tolist() if (shift := _young(values[row], row, season))]
    else:
        others = np.flatnonzero((known < 0) & _may_have_moved(hourly))
        shifts += [shift for row in others.tolist() if (shift := _found(values[row], hourly[row], row, season))]
    return sorted(shifts, key=lambda shift: shift.row)


def share_of_new_level(age_steps: int, season: int, half_after_hours: float) -> float:
    """Return the weight, between 0 and 1, of a level that has stood for some steps: half after so many hours."""
    share = 1 / (1 + (half_after_hours * season / DAY_HOURS / max(age_steps, 1)) ** SHARE_POWER)
    return 0.0 if share < LEAST_SHARE else 1.0 if share > MOST_SHARE else share


def mixed_quantiles(both: Floats, levels: tuple[float, ...], share: Floats, wanted: tuple[float, ...]) -> Floats:
    """Return quantiles (h, wanted) of a mixture of two forecasts, of which the second counts `share` (h,).

    `both` (h, 2 × levels) holds their quantiles side by side, ascending each; in between probability is spread evenly.
    """
    old, new = both[:, : len(levels)], both[:, len(levels) :]
    # Each point twice: the probability of less than it, and of at most it, for values that many levels share.
    points = np.repeat(np.sort(both, axis=1), 2, axis=1)
    counts, reached = share[:, None], np.empty(points.shape)
    for side, at in ((0, np.less), (1, np.less_equal)):
        each = points[:, side::2]
        of_old, of_new = (_probability(each, at(part[:, :, None], each[:, None]), part, levels) for part in (old, new))
        reached[:, side::2] = (1 - counts) * of_old + counts * of_new
    above = np.clip((reached[:, :, None] < np.asarray(wanted) - 1e-12).sum(axis=1), 0, points.shape[1] - 1)
    below = np.maximum(above - 1, 0)
    low, high = (np.take_along_axis(points, side, axis=1) for side in (below, above))
    low_at, high_at = (np.take_along_axis(reached, side, axis=1) for side in (below, above))
    part = np.clip((np.asarray(wanted) - low_at) / np.maximum(high_at - low_at, 1e-12), 0, 1)
    return np.asarray(low + part * (high - low))


def _probability(points: Floats, is_below: Bools, quantiles: Floats, levels: tuple[float, ...]) -> Floats:
    """Return the probability (h, points) below each point, given which `quantiles` (h, levels) count as below it."""
    known, last = np.asarray(levels), is_below.sum(axis=1) - 1
    inner = np.clip(last, 0, len(known) - 2)
    low, high = (np.take_along_axis(quantiles, side, axis=1) for side in (inner, inner + 1))
    share = np.clip((points - low) / np.where(high > low, high - low, 1.0), 0, 1)
    between = known[inner] + (known[inner + 1] - known[inner]) * share
    is_end = points <= quantiles[:, -1:]
    return np.where(last < 0, 0.0, np.where(last < len(known) - 1, between, np.where(is_end, known[-1], 1.0)))


def shares_ahead(shift: Shift, steps: int, horizon: int) -> Floats:
    """Return the weight (horizon,) of the new level at each step ahead of a history of so many steps.

    What has stood for a while stands as long again with a chance that does not depend on how long that is: nearly all
    for the next step, what counts for lasting at the end.
    """
    age = steps - shift.step
    return shift.share + (1 - shift.share) * (age / (age + np.arange(1, horizon + 1))) ** LINDY_POWER


def _known(values: Floats, row: int, known: Ints, season: int) -> Shift | None:
    """Return a shift at a known step: what the first season after it shows against the same phase before."""
    step = int(known[row])
    after = values[step : step + season]
    change = after - values[step - season : step - season + len(after)]
    change = change[np.isfinite(change)]
    share = share_of_new_level(len(values) - step, season, HALF_AFTER_HOURS_KNOWN)
    return Shift(row, step, float(np.median(change)), 1.0, share) if len(change) and share else None


def _hourly(values: Floats, season: int) -> Floats | None:
    """Return means (n, days, hours) of the hours up to the end, at most two weeks; None for less than three days.

    Steps longer than an hour stand for themselves. An hour without values repeats the one before.
    """
    days, hours = min(values.shape[1] // season, MOST_DAYS), min(DAY_HOURS, season)
    if days <= FEWEST_DAYS:
        return None
    edges = days * season - np.round(np.arange(days * hours, -1, -1) * (season / hours)).astype(np.intp)
    recent = values[:, values.shape[1] - days * season :]
    with np.errstate(invalid="ignore"):
        is_seen = np.abs(recent) <= PLAUSIBLE_MAGNITUDE
    if is_seen.all():
        means = np.add.reduceat(recent, edges[:-1], axis=1) / np.diff(edges)
    else:
        count = np.add.reduceat(is_seen, edges[:-1], axis=1, dtype=float)
        means = np.add.reduceat(np.where(is_seen, recent, 0.0), edges[:-1], axis=1) / np.maximum(count, 1)
        newest = np.maximum.accumulate(np.where(count > 0, np.arange(count.shape[1]), -1), axis=1)
        means = np.where(newest >= 0, np.take_along_axis(means, np.maximum(newest, 0), axis=1), np.nan)
    return np.asarray(means.reshape(len(values), days, hours))


def _young(values: Floats, row: int, season: int) -> Shift | None:
    """Return the shift of a history (t,) without a known time of day: all values since lie apart from all before.

    The new level counts as much as it is of the history, where that is more than its age says.
    """
    places = np.flatnonzero(np.abs(values) <= PLAUSIBLE_MAGNITUDE)
    seen = values[places]
    if len(seen) < 2 * FEWEST_YOUNG_STEPS:
        return None
    side = 1.0 if seen[-1] > np.median(seen) else -1.0
    least_since = np.minimum.accumulate(side * seen[::-1])[::-1][1:]
    gaps = least_since - np.maximum.accumulate(side * seen)[:-1]
    first = 1 + int(gaps.argmax())
    size = float(np.median(seen[first:]) - np.median(seen[:first]))
    is_apart = gaps[first - 1] > YOUNG_GAP * abs(size) > 0
    if not is_apart or not FEWEST_YOUNG_STEPS <= len(seen) - first <= first:
        return None
    age = share_of_new_level(len(values) - int(places[first]), season, HALF_AFTER_HOURS)
    return Shift(row, int(places[first]), size, 1.0, max(age, 1 - first / len(seen)))


def _may_have_moved(hourly: Floats) -> Bools:
    """Tell at a glance which rows (n,) end far off what is usual at that time of day.

    Two hours on one side are asked for, of a series that rests on one value the newest alone.
    """
    usual = network_median([hourly[:, day] for day in range(hourly.shape[1])])
    off = hourly - usual[:, None]
    newest = off[:, -1, -NEWEST_HOURS:]
    spread = np.median(np.abs(off.reshape(len(off), -1)[:, ::3]), axis=1)
    is_one_way = (newest > 0).all(axis=1) | (newest < 0).all(axis=1)
    is_far = is_one_way & (np.abs(newest).min(axis=1) > LEAST_SPREADS * spread)
    rested = (spread == 0) & (newest[:, -1] != 0)
    return np.asarray((is_far | rested) & np.isfinite(hourly).all(axis=(1, 2)))


def _found(values: Floats, hourly: Floats, row: int, season: int) -> Shift | None:
    """Return the shift that one history (t,) shows, given its hours (days, hours); None where there is none."""
    hours, means = hourly.shape[1], hourly.reshape(-1)
    found = _age(means, hours)
    if found is None:
        return None
    age, off = found
    past = off[:-age]
    size = float(np.median(off[-age:]) - np.median(past[-hours:]))
    was_there = not _is_lasting(past, size, age, hours)
    if was_there and age <= run_lengths(_beyond_half(past, size)).max(initial=0):
        return None
    step = _refined(values, season, len(values) - round(age * season / hours), season // hours)
    if was_there and not _jumped_there(values, step, size):
        return None
    is_at_rest = _rests(values[step:]) and _rests(values[max(0, step - season) : step])
    half_after = HALF_AFTER_HOURS_AT_REST if is_at_rest else HALF_AFTER_HOURS
    share = share_of_new_level(len(values) - step, season, half_after)
    if not share or abs(size) <= 1e-9 * np.abs(means).max():
        return None
    factor = 0.0 if was_there else _factor(means, off, age, size)
    return Shift(row, step, 0.0, factor, share) if factor else Shift(row, step, size, 1.0, share, was_there)


def _age(means: Floats, hours: int) -> tuple[int, Floats] | None:
    """Return for how many hours a new level has stood, and what (hours in all,) lies off the usual days before.

    The age is where the sum of how much nearer to the new level than to the old each hour lies, counted from the end,
    is largest (a one-sided cumulative sum; Page 1954). None where two days before, or a level that is kept to, lack.
    """
    days = len(means) // hours
    off = means - np.tile(np.median(means.reshape(days, hours), axis=0), days)
    age, kept = _page(off)
    for _ in range(2):
        whole = (len(means) - age) // hours
        if whole < FEWEST_DAYS:
            return None
        before = means[len(means) - age - whole * hours : len(means) - age]
        profile = np.median(before.reshape(whole, hours), axis=0)
        off = means - profile[(np.arange(len(means)) + age) % hours]
        last, (age, kept) = age, _page(off)
        if age == last:
            break
    whole = (len(means) - age) // hours
    return (age, off) if whole >= FEWEST_DAYS and kept >= LEAST_KEPT else None


def _page(off: Floats) -> tuple[int, float]:
    """Return age in hours and how closely the new level is kept to, in [−1, 1]."""
    age, kept, side = NEWEST_HOURS, 0.0, np.sign(off[-1])
    for _ in range(2):  # the newest hours alone may lie far out on their level
        half = abs(float(np.median(off[-age:]))) / 2
        if not half > 0:
            return age, 0.0
        nearer = np.cumsum(np.clip(side * off / half - 1, -SATURATED, SATURATED)[::-1])
        age = int(nearer.argmax()) + 1
        kept = float(nearer[age - 1] / (age * SATURATED))
    return age, kept


def _is_lasting(past: Floats, size: float, age: int, hours: int) -> bool:
    """Tell whether no move of the same length was nearly as large before, and no excursion came as far."""
    width, sums = min(age, hours), np.concatenate([[0.0], np.cumsum(past)])
    middle = np.arange(width, len(past) - width + 1)
    moves = np.abs(sums[middle + width] - 2 * sums[middle] + sums[middle - width]) / width
    if abs(size) < LEAST_MOVE_RATIO * float(moves.max(initial=0.0)):
        return False
    return int(_beyond_half(past, size).sum()) <= MOST_EXCURSION * age


def _jumped_there(values: Floats, step: int, size: float) -> bool:
    """Tell whether a series of two levels jumped to the rarer one at a step, as in a fault, and stayed for hours.

    If it has stayed longer than ever, how long those before took no longer says when this one ends. What wanders
    passes what lies between on its way, and what its days move farther than the jump has no two levels.
    """
    if len(values) - step < LEAST_STEPS_THERE:
        return False
    with np.errstate(invalid="ignore"):
        from_middle = np.abs((values - np.nanmedian(values)) / size - 1 / 2)
    if np.mean(from_middle < 1 / 6) > MOST_BETWEEN or np.mean(from_middle > 3 / 2) > MOST_BEYOND:
        return False
    return is_jump(values, step, size)


def _beyond_half(values: Floats, size: float) -> Bools:
    """Tell which values lie nearer to a level that is so far from their median than to that."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.sign(size) * (values - np.nanmedian(values)) > abs(size) / 2)


def run_lengths(flags: Bools) -> Ints:
    """Return how long each stretch of true flags (n,) is, in their order."""
    ends = np.flatnonzero(np.diff(np.concatenate([[0], flags, [0]])))
    return np.asarray(np.diff(ends)[::2])


def _refined(values: Floats, season: int, step: int, reach: int) -> int:
    """Return the step within `reach` at which two levels part with the least squares."""
    first, last = max(1, step - reach), min(len(values) - 1, step + reach)
    if not np.isfinite(values[step:]).any() or not np.isfinite(values[:first]).any():
        return step
    after = float(np.nanmedian(values[step : step + season]))
    before = float(np.nanmedian(values[max(0, first - season // DAY_HOURS - 1) : first]))
    nearby = np.nan_to_num(values[first:last], nan=(before + after) / 2)
    gain = (nearby - after) ** 2 - (nearby - before) ** 2
    return first + int(np.argmax(np.concatenate([[0.0], np.cumsum(gain)])))


def _rests(values: Floats) -> bool:
    """Tell whether values stay on one, but for rounding."""
    seen = values[np.isfinite(values)]
    return bool(len(seen)) and float(np.ptp(seen)) <= 1e-9 * float(np.abs(seen).max())


def _factor(means: Floats, off: Floats, age: int, size: float) -> float:
    """Return by what the level before is multiplied; 0 where adding explains as much, or values are not positive."""
    usual = (means - off)[-age:]
    if age < FEWEST_FACTOR_HOURS or not (means > 0).all() or not (usual > 0).all():
        return 0.0
    factor = float(np.median(means[-age:]) / np.median(usual))
    scaled, added = means[-age:] - factor * usual, off[-age:] - np.median(off[-age:])
    return factor if np.abs(scaled).sum() < SCALED_RESIDUAL_RATIO * np.abs(added).sum() else 0.0


LEAST_Z = 8.0


def known_changes(frame: Frame, patterns: Iterable[Pattern]) -> Ints | None:
    """Return the step at which each series of a frame is known to have changed its level, −1 where none is known.

    It must be clear (z ≥ 8), have lasted since, and an event must have been recorded just before it: then it need not
    prove itself for hours. None where no series has one.
    """
    steps = frame.values.shape[1]
    rows = {series: row for row, series in enumerate(frame.series)}
    changed = np.full(len(rows), -1, dtype=np.intp)
    for pattern in patterns:
        if pattern.kind == "change_point" and pattern.subject in rows and _is_known(pattern):
            age_s = frame.end.timestamp() - float(pattern.evidence["at_s"])
            step = steps - 1 - math.floor(age_s / frame.step_s + 1e-9)
            row = rows[pattern.subject]
            if 0 <= step < steps:
                changed[row] = max(changed[row], step)
    return changed if (changed >= 0).any() else None


def _is_known(pattern: Pattern) -> bool:
    evidence = pattern.evidence
    return bool(evidence.get("event")) and bool(evidence.get("lasts")) and float(evidence.get("z", 0.0)) >= LEAST_Z
