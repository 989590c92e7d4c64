"""How reliable foretold probabilities were, by what happened: for forecasts, for their evaluation and for readers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Reliability:
    """How foretold probabilities compare with what happened."""

    forecasts: int
    brier: float
    base_rate: float
    auc: float  # NaN where all happened or none
    foretold: Floats  # (bins,): mean probability of the forecasts in each bin
    happened: Floats  # (bins,): share of them that came true
    counts: Floats  # (bins,)


def reliability(probability: Floats, happened: Floats, bins: int = 10) -> Reliability:
    """Brier score, discrimination and reliability curve of resolved forecasts; empty bins hold NaN."""
    p, y = paired(probability, happened)
    which = np.minimum((p * bins).astype(int), bins - 1)
    counts = np.bincount(which, minlength=bins).astype(float)
    with np.errstate(invalid="ignore"):
        foretold = np.bincount(which, weights=p, minlength=bins) / counts
        came_true = np.bincount(which, weights=y, minlength=bins) / counts
    return Reliability(
        forecasts=len(p),
        brier=float(((p - y) ** 2).mean()) if len(p) else float("nan"),
        base_rate=float(y.mean()) if len(p) else float("nan"),
        auc=auc(p, y),
        foretold=foretold,
        happened=came_true,
        counts=counts,
    )


def auc(score: Floats, happened: Floats) -> float:
    """Probability that a forecast that came true was rated above one that did not, ties counting half."""
    positive = np.asarray(happened, dtype=float) > 0.5
    if positive.all() or not positive.any():
        return float("nan")
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    hits = int(positive.sum())
    return float((rank[positive].sum() - hits * (hits + 1) / 2) / (hits * (len(positive) - hits)))


def paired(probability: Floats, happened: Floats) -> tuple[Floats, Floats]:
    """Return the probabilities and what happened where both are known."""
    p, y = np.asarray(probability, dtype=float), np.asarray(happened, dtype=float)
    usable = np.isfinite(p) & np.isfinite(y)
    return p[usable], y[usable]
