"""Change points: moments at which the level of a series shifted and stayed."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tasks.patterns.clock import moment_text
from tasks.patterns.finding import Finding
from tasks.patterns.inputs import DAY_S, Floats, PatternInput, PatternSettings
from tasks.patterns.statistics import row_median, standardised

# The search is quadratic in points and needs the shape of a shift, not every step of it.
_MAX_POINTS = 504
_MIN_POINTS = 30
_MIN_SEGMENT_STEPS = 10
_PENALTY = 3.0
# Noise that wanders for hours passes the penalty now and then, but seldom this.
_MIN_Z = 6.0
_CLIP = 8.0
_MIN_SEEN = 0.5


@dataclass(frozen=True)
class Change:
    """A shift of level at column `step`, in units of the series' robust spread.

    `noise` is the spread around the level and `z` the shift over its standard error, which allows for the noise's
    memory. `lasts` says that the new level holds to the end of the window.
    """

    step: int
    before: float
    after: float
    noise: float
    z: float
    lasts: bool


def find_changes(frame: PatternInput, settings: PatternSettings) -> list[Finding]:
    """Return one finding per shift of level of each series, found after its daily profile is taken out."""
    n_steps = frame.values.shape[1]
    block = max(1, -(-n_steps // _MAX_POINTS))
    if len(frame.names) == 0 or n_steps < _MIN_POINTS * block:
        return []
    scaled, centre, scale = standardised(frame.values, _CLIP)
    day = max(2, round(DAY_S / frame.step_s))
    flat = _without_daily_profile(scaled, day)
    return [
        _finding(change, frame, int(row), float(centre[row]), float(scale[row]), settings.timezone)
        for row in np.flatnonzero(np.isfinite(flat).mean(axis=1) >= _MIN_SEEN)
        for change in level_shifts(flat[row], block, day)
    ]


def level_shifts(values: Floats, block: int, day: int) -> list[Change]:
    """Return the shifts of level in `values` (n_steps,), searched on means of `block` steps, `day` in steps.

    Least-squares segmentation (ruptures' KernelCPD with a linear kernel; Celisse et al., New efficient algorithms for
    multiple change-point detection with reproducing kernels, CSDA 2018) with penalty 3 ln n s² (1+r)/(1−r): s² and r
    are variance and lag-one correlation around a one-day rolling median, so slow noise is not cut into levels.
    """
    points = _block_means(values, block)
    noise, memory = _noise(points, max(3, day // block))
    if noise <= 1e-9:
        noise, memory = max(1e-6, 1e-3 * float(np.ptp(points))), 0.0
    long_run = noise**2 * (1 + memory) / (1 - memory)
    from ruptures import KernelCPD  # half a second to import, so only where there is something to cut

    search = KernelCPD(kernel="linear", min_size=max(3, -(-_MIN_SEGMENT_STEPS // block)))
    ends = search.fit(points).predict(pen=_PENALTY * np.log(len(points)) * long_run)
    levels = _distinct_levels(points, [0, *(int(end) for end in ends)], long_run)
    return [
        Change(_refined(values, at * block, block, before, after), before, after, noise, z, lasts=right == len(points))
        for at, right, before, after, z in levels
    ]


def _distinct_levels(points: Floats, bounds: list[int], long_run: float) -> list[tuple[int, int, float, float, float]]:
    """Return (start, end, level before, level, z) of each segment but the first, the unclear ones merged away."""
    while True:
        means = [float(points[left:right].mean()) for left, right in pairwise(bounds)]
        sizes = np.diff(bounds)
        errors = np.sqrt(long_run * (1 / sizes[:-1] + 1 / sizes[1:]))
        z = np.abs(np.diff(means)) / errors
        if len(z) == 0 or z.min() >= _MIN_Z:
            break
        del bounds[1 + int(z.argmin())]
    inner = zip(bounds[1:], bounds[2:], means, means[1:], z.tolist(), strict=False)
    return list(inner)


def _refined(values: Floats, step: int, reach: int, before: float, after: float) -> int:
    """Return the column within `reach` of `step` that splits the two levels with the least squares."""
    first, last = max(1, step - reach), min(len(values) - 1, step + reach)
    nearby = np.nan_to_num(values[first:last], nan=0.5 * (before + after))
    # What is gained when the split moves one column to the right and its value joins the level before.
    gain = (nearby - after) ** 2 - (nearby - before) ** 2
    return int(first) + int(np.argmax(np.concatenate(([0.0], np.cumsum(gain)))))


def _noise(points: Floats, window: int) -> tuple[float, float]:
    """Return (standard deviation, lag-one correlation) of `points` around their rolling median."""
    window = min(window, len(points) // 2)
    padded = np.pad(points, (window // 2, window - 1 - window // 2), mode="edge")
    rest = points - row_median(sliding_window_view(padded, window))
    variance = float((rest**2).mean())
    if variance <= 0:
        return 0.0, 0.0
    memory = float((rest[1:] * rest[:-1]).mean()) / variance
    return float(np.sqrt(variance)), float(np.clip(memory, 0.0, 0.98))


def _block_means(values: Floats, block: int) -> Floats:
    """Return means of consecutive blocks, the newest block whole or not; a block without values repeats the last."""
    n_blocks = -(-len(values) // block)
    padded = np.full(n_blocks * block, np.nan)
    padded[: len(values)] = values
    cells = padded.reshape(n_blocks, block)
    count = np.isfinite(cells).sum(axis=1)
    means = np.nansum(cells, axis=1) / np.maximum(count, 1)
    newest = np.maximum.accumulate(np.where(count > 0, np.arange(n_blocks), 0))
    newest[: int(np.argmax(count > 0))] = int(np.argmax(count > 0))
    filled: Floats = means[newest]
    return filled


def _without_daily_profile(values: Floats, day: int) -> Floats:
    """Return `values` minus the median over days of what each time of day adds to that day's median."""
    n_series, n_steps = values.shape
    n_days = n_steps // day
    if n_days < 3:
        return values
    by_day = values[:, n_steps - n_days * day :].reshape(n_series * n_days, day)
    added = (by_day - row_median(by_day)[:, None]).reshape(n_series, n_days, day)
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
            f"The level of {name} went {'up' if after > before else 'down'} from {before:.4g} to {after:.4g} "
            f"at {moment_text(at_s, zone)} ({zone}){' and has stayed there' if change.lasts else ''}."
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
        },
    )
