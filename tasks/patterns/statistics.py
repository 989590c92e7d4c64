"""The few statistics that several detectors share, kept free of scipy.stats: importing it costs a cycle 0.8 s."""

from __future__ import annotations

import numpy as np

from tasks.patterns.inputs import Floats

MAD_TO_SD = 1.4826
BLOCK_ROWS = 500
"""So many series are worked on at once: what a step needs then fits the processor's cache, and memory stays small."""


def row_blocks(n_rows: int, size: int = BLOCK_ROWS) -> list[slice]:
    """Return the slices that cut so many rows into blocks of a size."""
    return [slice(start, start + size) for start in range(0, n_rows, size)]


def adjusted_p_values(p_values: Floats) -> Floats:
    """Return Benjamini-Hochberg adjusted p-values, in the order given; NaN counts as 1.

    Benjamini and Hochberg, Controlling the false discovery rate, JRSS B 57 (1995).
    """
    p: Floats = np.clip(np.nan_to_num(np.asarray(p_values, dtype=float), nan=1.0), 0.0, 1.0)
    flat = p.ravel()
    if flat.size == 0:
        return p
    order = np.argsort(flat)
    ranked = flat[order] * flat.size / np.arange(1, flat.size + 1)
    adjusted = np.empty_like(flat)
    adjusted[order] = np.minimum.accumulate(ranked[::-1])[::-1]
    bounded: Floats = np.minimum(adjusted, 1.0)
    return bounded.reshape(p.shape)


def standardised(values: Floats, clip: float = 50.0) -> tuple[Floats, Floats, Floats]:
    """Return (scaled, centre, scale) of each row: minus its median, divided by its robust spread, clipped to ±`clip`.

    `values` is (n_series, n_steps); infinities count as missing. The spread is the MAD, or the mean absolute deviation
    where over half the row is one value; rows without any spread come back as NaN with scale 0.
    """
    finite = np.where(np.isfinite(values), values, np.nan)
    # Powers of two keep the scaling exact while ±1e300 can no longer overflow a difference.
    largest = np.max(np.abs(np.nan_to_num(finite)), axis=1, initial=0.0, keepdims=True)
    unit = np.exp2(np.floor(np.log2(np.where(largest > 0, largest, 1.0))))
    small = finite / unit
    centre = row_median(small)[:, None]
    deviation = np.abs(small - centre)
    spread = MAD_TO_SD * row_median(deviation)
    mean_deviation = np.nansum(deviation, axis=1) / np.maximum(np.isfinite(deviation).sum(axis=1), 1)
    spread = np.where(spread > 1e-9 * mean_deviation, spread, mean_deviation)[:, None]
    # Less spread than rounding leaves is none.
    has_spread = np.isfinite(spread) & (spread > 1e-12 * np.abs(centre)) & (spread > 0)
    scaled = np.clip((small - centre) / np.where(has_spread, spread, np.nan), -clip, clip)
    return scaled, (centre * unit)[:, 0], (np.where(has_spread, spread, 0.0) * unit)[:, 0]


def row_median(values: Floats) -> Floats:
    """Return the median of each row over what is not NaN; NaN for a row without values.

    Sorting once is several times faster than numpy's nanmedian and warns of nothing.
    """
    if values.shape[1] == 0:
        return np.full(values.shape[0], np.nan)
    count = np.isfinite(values).sum(axis=1)
    ordered = np.sort(values, axis=1)
    rows = np.arange(len(values))
    low, high = ordered[rows, np.maximum(count - 1, 0) // 2], ordered[rows, np.minimum(count // 2, values.shape[1] - 1)]
    return np.where(count > 0, 0.5 * (low + high), np.nan)


def running_sums(values: Floats) -> tuple[Floats, Floats]:
    """Return sums and counts of what is there before each step, (n_series, n_steps + 1), from 0 to that of all.

    The sum over any stretch is the difference of two of them.
    """
    seen = np.isfinite(values)
    zeros = np.zeros((len(values), 1))
    sums = np.concatenate((zeros, np.cumsum(np.where(seen, values, 0.0), axis=1)), axis=1)
    return sums, np.concatenate((zeros, np.cumsum(seen, axis=1)), axis=1)


def shift_p_values(scores: Floats, reach: int) -> Floats:
    """Return two-sided p-values of `scores[:, 0]` among circular shifts up to `reach` steps either way.

    `scores` is (n_series, n_shifts), NaN where a shift cannot be judged. The unshifted score is one of the shifts, so
    the smallest p-value is 1 ÷ their number. A series whose unshifted score is NaN gets 1.
    """
    n_shifts = scores.shape[1]
    shifts = np.unique(np.arange(-reach, reach + 1) % n_shifts)
    sizes = np.abs(scores[:, shifts])
    own = np.abs(scores[:, :1])
    # Rounding of the Fourier transform must not decide ties.
    at_least = (sizes >= own * (1 - 1e-9) - 1e-12).sum(axis=1)
    judged = np.isfinite(sizes).sum(axis=1)
    return np.where(np.isfinite(own[:, 0]), at_least / np.maximum(judged, 1), 1.0)


def minus_time_of_day(values: Floats, day: int) -> Floats:
    """Return `values` (n_series, n_steps) minus the mean at the same time of the other days, each `day` steps long."""
    n_series, n_steps = values.shape
    n_days = -(-n_steps // day)
    padded = np.full((n_series, n_days * day), np.nan)
    padded[:, :n_steps] = values
    by_day = padded.reshape(n_series, n_days, day)
    seen = np.isfinite(by_day)
    filled = np.where(seen, by_day, 0.0)
    others = seen.sum(axis=1, keepdims=True) - 1
    rest = (filled.sum(axis=1, keepdims=True) - filled) / np.maximum(others, 1)
    return np.where(others >= 1, by_day - rest, np.nan).reshape(n_series, -1)[:, :n_steps]
