"""Change points: moments at which the level of a series shifted and stayed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tasks.patterns.clock import moment_text
from tasks.patterns.finding import Finding
from tasks.patterns.inputs import DAY_S, Floats, PatternInput, SearchSettings
from tasks.patterns.segmentation import segment_ends
from tasks.patterns.statistics import row_blocks, row_median, standardised

# The search is quadratic in points and needs the shape of a shift, not every step of it.
_MAX_POINTS = 504
# What a search remembers of so many series stays in the processor's cache.
_ROWS_AT_ONCE = 64
_MIN_POINTS = 30
_MIN_SEGMENT_STEPS = 10
_PENALTY = 3.0
# Noise that wanders for hours passes the penalty now and then, but seldom this.
_MIN_Z = 6.0
_CLIP = 8.0
_MIN_SEEN = 0.5
# Days that make a season known: whole ones in all, so that a median of them is that of usual days, and before a shift.
_MIN_DAYS = 3
_MIN_DAYS_BEFORE = 2
# A shift stands out of how much the level moves anyway within so many hours, by so many standard deviations.
_MOVE_HOURS = 8
_MIN_MOVE_SD = 4.0
# A level that was held before, but for this share of the shift, is no new one: Monday after a weekend.
_SAME_LEVEL_RATIO = 0.25


@dataclass(frozen=True)
class Change:
    """A shift of level at column `step`, in units of the series' robust spread.

    `noise` is the spread around the level and `z` the shift over its standard error, which allows for the noise's
    memory. `lasts` says that the new level holds to the end of the window, `is_new` that no level before in the window
    lay as far out.
    """

    step: int
    before: float
    after: float
    noise: float
    z: float
    lasts: bool
    is_new: bool


def find_changes(frame: PatternInput, settings: SearchSettings) -> list[Finding]:
    """Return one finding per shift of level of each series, found after its daily profile is taken out.

    What of a move is the time of day is known after three days in all and two before the move: until then nothing is
    called a shift.
    """
    n_steps = frame.values.shape[1]
    block = max(1, -(-n_steps // _MAX_POINTS))
    if len(frame.names) == 0 or n_steps < _MIN_POINTS * block:
        return []
    return [
        finding
        for rows in row_blocks(len(frame.names), _ROWS_AT_ONCE)
        for finding in _found_in(frame, rows, block, settings.timezone)
    ]


def _found_in(frame: PatternInput, rows: slice, block: int, timezone: str) -> Iterator[Finding]:
    values, day = frame.values[rows], max(2, round(DAY_S / frame.step_s))
    scaled, centre, scale = standardised(values, _CLIP)
    is_seen = np.isfinite(scaled)
    first = np.argmax(is_seen, axis=1)
    is_known = (is_seen.mean(axis=1) >= _MIN_SEEN) & (values.shape[1] - first >= _MIN_DAYS * day)
    known = np.flatnonzero(is_known)
    if not len(known):
        return
    for row, changes in zip(known.tolist(), _changes_of(scaled[known], block, day), strict=True):
        cut_off = (values[row] - centre[row]) / scale[row] - scaled[row]
        for change in _at_true_levels(changes, cut_off):
            if change.step - first[row] >= _MIN_DAYS_BEFORE * day:
                place = rows.start + row
                yield _finding(change, frame, place, float(centre[row]), float(scale[row]), timezone)


def _at_true_levels(changes: list[Change], cut_off: Floats) -> list[Change]:
    """Return the changes with what was cut off wild values (n_steps,) given back to the levels: told is what was."""
    if not np.nan_to_num(cut_off).any():
        return changes
    bounds = [0, *(change.step for change in changes), len(cut_off)]
    lifts = np.nan_to_num([float(np.nanmedian(cut_off[left:right])) for left, right in pairwise(bounds)])
    return [
        replace(change, before=change.before + before, after=change.after + after)
        for change, (before, after) in zip(changes, pairwise(lifts.tolist()), strict=True)
    ]


def _changes_of(scaled: Floats, block: int, day: int) -> list[list[Change]]:
    return level_shifts(_without_daily_profile(scaled, day), block, day)


def level_shifts(values: Floats, block: int, day: int) -> list[list[Change]]:
    """Return the shifts of level in each row of `values`, searched on means of `block` steps, `day` in steps.

    Least-squares segmentation (`segment_ends`) with penalty 3 ln n s² (1+r)/(1−r): s² and r are variance and lag-one
    correlation around a one-day rolling median, so slow noise is not cut into levels. Nor is a slope: where levels on
    the usual rise of a day explain the series for less, they are what shifted. And a level that moves as far within
    hours anyway has not shifted: it wanders.
    """
    points = _block_means(values, block)
    noises = _Noise.of(points, max(3, day // block))
    flat = _Levels.of(points, np.zeros(len(points)), block, noises)
    moved = [row for row, levels in enumerate(flat) if levels.bounds[1:-1]]
    rising = [_usual_rise(points[row], day // block) for row in moved]
    for _ in range(2):
        on_rise = _Levels.of(points[moved], np.array(rising), block, [noises[row] for row in moved])
        rising = [each.slope + each.rise_within for each in on_rise]
    most = max(1, round(day * _MOVE_HOURS / 24 / block))
    shifts: list[list[Change]] = [[] for _ in values]
    for row, with_rise in zip(moved, on_rise, strict=True):
        best = min(flat[row], with_rise, key=lambda each: each.cost)
        changes = best.changes(values[row], block)
        shifts[row] = [each for each in changes if _stands_out(best.points, round(each.step / block), most)]
    return shifts


def _stands_out(points: Floats, at: int, most: int) -> bool:
    """Tell whether the mean of the points after `at` lies far from the one before, as nowhere else.

    Both are means of as many points, `most` at most. Two spreads of the moves elsewhere are taken, of which the larger
    counts: neither a second shift nor a few quiet days decide.
    """
    width = max(1, min(most, at, len(points) - at))
    sums = np.concatenate(([0.0], np.cumsum(points)))
    middle = np.arange(width, len(points) - width + 1)
    moves = np.abs(sums[middle + width] - 2 * sums[middle] + sums[middle - width]) / width
    elsewhere = moves[np.abs(middle - at) > width]
    if len(elsewhere) == 0:
        return False
    spread = max(1.4826 * float(np.median(elsewhere)), float(np.sqrt((elsewhere**2).mean())))
    return float(moves[np.abs(middle - at) <= 1].max()) >= _MIN_MOVE_SD * spread


@dataclass(frozen=True)
class _Levels:
    """Levels between `bounds` that lie on a rise of `slope` a point; `cost` is squares left over and penalties."""

    bounds: list[int]
    slope: float
    noise: _Noise
    points: Floats

    @classmethod
    def of(cls, points: Floats, slopes: Floats, block: int, noises: Sequence[_Noise]) -> list[_Levels]:
        """Return the levels of each row of `points`."""
        on_rise = points - slopes[:, None] * np.arange(points.shape[1])
        penalties = np.array([_penalty(points.shape[1], noise) for noise in noises])
        ends = segment_ends(on_rise, penalties, max(3, -(-_MIN_SEGMENT_STEPS // block)))
        return [
            cls(_distinct_levels(row, [0, *of_row], noise), float(slope), noise, row)
            for row, of_row, slope, noise in zip(on_rise, ends, slopes, noises, strict=True)
        ]

    @property
    def means(self) -> list[float]:
        return [float(self.points[left:right].mean()) for left, right in pairwise(self.bounds)]

    @property
    def cost(self) -> float:
        parts = zip(pairwise(self.bounds), self.means, strict=True)
        squares = sum(float(((self.points[left:right] - mean) ** 2).sum()) for (left, right), mean in parts)
        free = len(self.bounds) - 2 + (self.slope != 0.0)
        return squares + free * _penalty(len(self.points), self.noise)

    @property
    def rise_within(self) -> float:
        """Return the rise a point that is left within the levels, by least squares."""
        parts = [self.points[left:right] for left, right in pairwise(self.bounds)]
        times = [np.arange(len(part)) - 0.5 * (len(part) - 1) for part in parts]
        return float(sum(time @ part for time, part in zip(times, parts, strict=True)) / sum(t @ t for t in times))

    def changes(self, values: Floats, block: int) -> list[Change]:
        """Return the shifts from level to level, each placed to the step, before and after on the rise there."""
        on_rise = values - self.slope / block * np.arange(len(values))
        means, z = self.means, _clearness(self.means, self.bounds, self.noise)
        changes = []
        for number, at in enumerate(self.bounds[1:-1]):
            before, after = means[number], means[number + 1]
            step, lift = _refined(on_rise, at * block, block, before, after), self.slope * at
            lasts = self.bounds[number + 2] == len(self.points)
            held = means[: number + 1]
            is_new = all((after - each) / (after - before) > _SAME_LEVEL_RATIO for each in held)
            changes.append(
                Change(step, before + lift, after + lift, self.noise.spread, float(z[number]), lasts, is_new)
            )
        return changes


def _penalty(count: int, noise: _Noise) -> float:
    return float(_PENALTY * np.log(count) * noise.long_run)


def _usual_rise(points: Floats, day: int) -> float:
    """Return the median rise a point from one day to the next: a shift or two of level do not move it."""
    lag = min(max(1, day), len(points) // 4)
    return float(np.median(points[lag:] - points[:-lag])) / lag


def _clearness(means: list[float], bounds: list[int], noise: _Noise) -> Floats:
    """Return each shift over its standard error."""
    sizes = np.diff(bounds)
    clear: Floats = np.abs(np.diff(means)) / np.sqrt(noise.long_run * (1 / sizes[:-1] + 1 / sizes[1:]))
    return clear


def _distinct_levels(points: Floats, bounds: list[int], noise: _Noise) -> list[int]:
    """Return the bounds of the segments, the unclear ones merged away."""
    while len(bounds) > 2:
        means = [float(points[left:right].mean()) for left, right in pairwise(bounds)]
        z = _clearness(means, bounds, noise)
        if z.min() >= _MIN_Z:
            break
        del bounds[1 + int(z.argmin())]
    return bounds


def _refined(values: Floats, step: int, reach: int, before: float, after: float) -> int:
    """Return the column within `reach` of `step` that splits the two levels with the least squares."""
    first, last = max(1, step - reach), min(len(values) - 1, step + reach)
    nearby = np.nan_to_num(values[first:last], nan=0.5 * (before + after))
    # What is gained when the split moves one column to the right and its value joins the level before.
    gain = (nearby - after) ** 2 - (nearby - before) ** 2
    return int(first) + int(np.argmax(np.concatenate(([0.0], np.cumsum(gain)))))


@dataclass(frozen=True)
class _Noise:
    """How points spread around their level, and how much one says of the next (lag-one correlation)."""

    spread: float
    memory: float

    @property
    def long_run(self) -> float:
        """Return the variance of a mean of n points, times n."""
        return self.spread**2 * (1 + self.memory) / (1 - self.memory)

    @classmethod
    def of(cls, points: Floats, window: int) -> list[_Noise]:
        """Measure it in each row around the rolling median."""
        window = min(window, points.shape[1] // 2)
        padded = np.pad(points, ((0, 0), (window // 2, window - 1 - window // 2)), mode="edge")
        around = row_median(sliding_window_view(padded, window, axis=1).reshape(-1, window)).reshape(points.shape)
        rest = points - around
        spreads = np.sqrt((rest**2).mean(axis=1))
        together = (rest[:, 1:] * rest[:, :-1]).mean(axis=1)
        return [
            cls(spread, float(np.clip(both / spread**2, 0.0, 0.98)))
            if spread > 1e-9
            else cls(max(1e-6, 1e-3 * float(np.ptp(row))), 0.0)
            for row, spread, both in zip(points, spreads.tolist(), together.tolist(), strict=True)
        ]


def _block_means(values: Floats, block: int) -> Floats:
    """Return each row's means of consecutive blocks, the newest whole or not; one without values repeats the last."""
    n_blocks = -(-values.shape[1] // block)
    padded = np.full((len(values), n_blocks * block), np.nan)
    padded[:, : values.shape[1]] = values
    cells = padded.reshape(len(values), n_blocks, block)
    count = np.isfinite(cells).sum(axis=2)
    means = np.nansum(cells, axis=2) / np.maximum(count, 1)
    has_any = count > 0
    newest = np.maximum.accumulate(np.where(has_any, np.arange(n_blocks), 0), axis=1)
    newest = np.maximum(newest, has_any.argmax(axis=1)[:, None])
    filled: Floats = np.take_along_axis(means, newest, axis=1)
    return filled


def _without_daily_profile(values: Floats, day: int) -> Floats:
    """Return `values` minus the median over days of what each time of day adds to that day's median.

    The usual rise from day to day is no part of it: else a slope would become a staircase.
    """
    n_series, n_steps = values.shape
    n_days = n_steps // day
    if n_days < 3:
        return values
    by_day = values[:, n_steps - n_days * day :].reshape(n_series * n_days, day)
    levels = row_median(by_day)
    rise = row_median(np.diff(levels.reshape(n_series, n_days), axis=1))[:, None] * (np.arange(day) / day - 0.5)
    added = (by_day - levels[:, None]).reshape(n_series, n_days, day) - np.nan_to_num(rise)[:, None, :]
    profile = row_median(added.transpose(0, 2, 1).reshape(-1, n_days)).reshape(n_series, day)
    phase = (np.arange(n_steps) - (n_steps - n_days * day)) % day
    flat: Floats = values - np.nan_to_num(profile - profile.mean(axis=1, keepdims=True))[:, phase]
    return flat


def _finding(change: Change, frame: PatternInput, row: int, centre: float, scale: float, zone: str) -> Finding:
    name, at_s = frame.names[row], float(frame.step_times_s[change.step])
    before, after = centre + change.before * scale, centre + change.after * scale
    size = abs(change.after - change.before) / max(change.noise, 1e-9)
    return Finding(
        kind="change_point",
        subject=name,
        statement=(
            f"The level of {name} went {'up' if after > before else 'down'} from {frame.in_words(row, before)} "
            f"to {frame.in_words(row, after)} at {moment_text(at_s, zone)} ({zone})"
            f"{' and has stayed there' if change.lasts else ''}."
        ),
        strength=size / (size + 2.0),
        evidence={
            "at_s": at_s,
            "step": change.step,
            "before": before,
            "after": after,
            "shift": after - before,
            "shift_in_noise_sd": size,
            "z": min(change.z, 1e6),
            "lasts": change.lasts,
            "is_new": change.is_new,
        },
    )
