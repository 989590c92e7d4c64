"""The error ledger: what every resolved forecast missed, kept whole, and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.forecast.batch import Bools, Floats
from tasks.forecast.fleet.offsets import no_offsets
from tasks.forecast.fleet.regression import buckets

PRIOR_HORIZONS = 5.0  # independent horizons the ledger must hold before offsets reach half strength
WILD_RATIO = 2.0  # times the usual excess over the interval, beyond which a series counts ever less
SMALLEST_WIDTH = 1e-3  # of the scale: an interval narrower than this is taken to be as wide


@dataclass(frozen=True)
class Ledger:
    """Errors e[origin, series, step] of resolved forecasts, oldest origin first.

    NaN where nothing was observed. Forecasts whose window an action overlapped are kept, for they measure the
    action, but do not count for calibration or joint error blocks.
    """

    errors: Floats  # (o, n, h): observed − point
    spreads: Floats  # (o, n, h, q): quantile − point, as issued
    scale: Floats  # (o, n): typical change of the series per cycle
    overlapped: Bools  # (o, n)
    issued_at_s: Floats  # (o,)
    levels: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.errors)

    @property
    def counted(self) -> Bools:
        """Errors (o, n, h) that were observed and that no action touched."""
        return np.isfinite(self.errors) & ~self.overlapped[:, :, None]


def calibration_offsets(ledger: Ledger, step_s: float) -> Floats:
    """Offsets (buckets, levels), in units of the scale, that would have made the counted quantiles right.

    Each series counts alike, however many of its steps were observed, and one whose errors are out of all proportion
    to its intervals counts little: its trouble is its own. They grow from nothing to full strength with the
    independent horizons the ledger spans: forecasts issued every few minutes share most of their future.
    `FleetState.offsets` takes them.
    """
    horizon = ledger.errors.shape[2]
    offsets = no_offsets(horizon, ledger.levels)
    counted = ledger.counted
    if not counted.any():
        return offsets
    misses = (ledger.errors[..., None] - ledger.spreads) / ledger.scale[:, :, None, None]
    weights = np.broadcast_to(_series_weights(ledger)[None, :, None], counted.shape)
    for i, (first, end) in enumerate(buckets(horizon)):
        steps = slice(first - 1, end - 1)
        chosen = counted[:, :, steps]
        seen, weight = misses[:, :, steps][chosen], weights[:, :, steps][chosen]
        if weight.any():
            offsets[i] = [_quantile(seen[:, j], level, weight) for j, level in enumerate(ledger.levels)]
    independent = (ledger.issued_at_s[-1] - ledger.issued_at_s[0]) / (horizon * step_s) + 1
    return np.asarray(offsets * independent / (independent + PRIOR_HORIZONS))


def _series_weights(ledger: Ledger) -> Floats:
    """Return how much each observed step of a series (n,) counts: its share, less where its errors are wild.

    A series is judged by its excess, the 90 % quantile of its errors in units of its own intervals' half-widths: 1
    where those are right. Up to `WILD_RATIO` times the median excess it counts in full; beyond, its weight falls with
    the square, so that no level shift of one series decides how wide the others are.
    """
    counted = ledger.counted
    steps = counted.sum(axis=(0, 2))
    half = (ledger.spreads[..., -1] - ledger.spreads[..., 0]) / 2
    ratios = np.abs(ledger.errors) / np.maximum(half, SMALLEST_WIDTH * ledger.scale[:, :, None])
    seen = np.flatnonzero(steps)
    excess = np.array([np.quantile(ratios[:, row][counted[:, row]], 0.9) for row in seen])
    usual = np.sort(excess)[(len(excess) - 1) // 2]
    weights = np.zeros(len(steps))
    weights[seen] = np.square(np.minimum(1, WILD_RATIO * usual / np.maximum(excess, np.finfo(float).tiny)))
    weights[seen] /= steps[seen]
    return weights


def _quantile(values: Floats, level: float, weights: Floats) -> float:
    return float(np.quantile(values, level, weights=weights, method="inverted_cdf"))


def error_blocks(ledger: Ledger) -> Floats:
    """Error blocks (o, n, h) of the origins where every series was observed and none was acted on."""
    whole = ledger.counted.all(axis=(1, 2))
    return ledger.errors[whole]
