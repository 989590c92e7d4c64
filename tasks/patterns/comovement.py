"""Co-movement: which series are surprised at the same moments."""

from __future__ import annotations

from math import erfc, sqrt

import numpy as np
from numpy.typing import NDArray

from tasks.patterns.finding import Finding
from tasks.patterns.inputs import DAY_S, Floats, PatternInput, SearchSettings
from tasks.patterns.statistics import adjusted_p_values, minus_time_of_day, row_blocks, standardised
from tasks.text import listed

_MIN_COMMON = 30
# Average linkage is cut where a group's members correlate less than this on average.
_MIN_CORRELATION = 0.3
_MAX_LAG = 50
_MAX_NAMES = 5
_MAX_PAIRS = 45
_MOST_COMPARED = 1_500


def find_comovement(frame: PatternInput, settings: SearchSettings) -> list[Finding]:
    """Return one finding per group of series whose one-step residuals rise and fall together or in opposition.

    Residuals are compared and not levels, which share trends and the time of day and so correlate by accident. Groups
    are cut from an average linkage of 1 − |Spearman correlation|, pairs that Benjamini-Hochberg does not pass counting
    as uncorrelated.
    """
    if len(frame.names) < 2 or frame.values.shape[1] < _MIN_COMMON:
        return []
    rows = _worth_comparing(frame)
    residuals = np.concatenate([_residuals(frame, rows[block]) for block in row_blocks(len(rows))])
    correlation, p_values = spearman(residuals, settings.false_discovery_rate)
    pairs = np.triu_indices(len(correlation), 1)
    n_pairs = len(frame.names) * (len(frame.names) - 1) / 2
    q_values = np.ones_like(correlation)
    # Pairs that were not looked at count as tested in vain.
    q_values[pairs] = adjusted_p_values(p_values[pairs]) * (n_pairs / len(pairs[0]))
    q_values = np.minimum(q_values, q_values.T)
    linked = np.where(q_values <= settings.false_discovery_rate, np.abs(correlation), 0.0)
    return [
        _finding(members, rows[members], frame, correlation, linked, p_values)
        for members in _groups(linked, pairs)
        if len(members) > 1
    ]


def _worth_comparing(frame: PatternInput) -> NDArray[np.intp]:
    """Return the rows to compare: all of a thousand or so, and of more those with the closest companion.

    What is found are the strongest groups, and all pairs of ten thousand series would fill the memory.
    """
    n_series = len(frame.names)
    if n_series <= _MOST_COMPARED:
        return np.arange(n_series)
    blocks = row_blocks(n_series)
    ranks = [_unit_ranks(_residuals(frame, np.arange(n_series)[block])) for block in blocks]
    closest = np.zeros(n_series, dtype=np.float32)
    for number, block in enumerate(blocks):
        for beyond, other in enumerate(blocks[number:], number):
            agreement = np.abs(ranks[number] @ ranks[beyond].T)
            if beyond == number:
                np.fill_diagonal(agreement, 0.0)
            closest[block] = np.maximum(closest[block], agreement.max(axis=1))
            closest[other] = np.maximum(closest[other], agreement.max(axis=0))
    return np.sort(np.argsort(-closest, kind="stable")[:_MOST_COMPARED])


def _unit_ranks(values: Floats) -> NDArray[np.float32]:
    """Return ranks as vectors of length one, in half the memory; a step that is missing is 0."""
    ranks = np.nan_to_num(_centred_ranks(values))
    lengths = np.sqrt((ranks**2).sum(axis=1, keepdims=True))
    return np.asarray(ranks / np.where(lengths > 0, lengths, 1.0), dtype=np.float32)


def spearman(values: Floats, most_p: float = 1.0) -> tuple[Floats, Floats]:
    """Return (rank correlation, two-sided p-value), both (n_series, n_series), over the steps each pair shares.

    The p-value is that of Fisher's z with the number of steps divided by 1 + 2 Σ r_x(k) r_y(k), as series that both
    remember agree more often by chance (Bartlett, JRSS 98, 1935). Pairs with under 30 such steps get 0 and 1; p-values
    over `most_p` are not worked out, and are 1.
    """
    ranks = _centred_ranks(values)
    seen = np.isfinite(ranks)
    filled = np.where(seen, ranks, 0.0)
    n, mean, variance = _shared_moments(filled, seen)
    covariance = filled @ filled.T / np.maximum(n, 1.0) - mean * mean.T
    spread = np.sqrt(np.maximum(variance * variance.T, 0.0))
    effective = n / _variance_inflation(filled)
    judged = (spread > 1e-12) & (effective >= _MIN_COMMON)
    correlation = np.where(judged, np.clip(covariance / np.where(judged, spread, 1.0), -1.0, 1.0), 0.0)
    z = np.abs(np.arctanh(np.clip(correlation, -0.999999, 0.999999))) * np.sqrt(np.maximum(effective - 3, 1.0) / 1.06)
    p_values = np.ones_like(z)
    asked = judged & (z >= _z_of(most_p))
    p_values[asked] = np.fromiter(map(erfc, (z[asked] / np.sqrt(2.0)).tolist()), dtype=float)
    return correlation, p_values


def _shared_moments(filled: Floats, seen: NDArray[np.bool_]) -> tuple[Floats, Floats, Floats]:
    """Return number, mean and variance of each series' ranks over the steps it shares with each other.

    (n_series, n_series), or (n_series, 1) where every step is seen: then it shares all with all.
    """
    if seen.all():
        n = np.full((1, 1), float(seen.shape[1]))
        mean = filled.mean(axis=1, keepdims=True)
        return n, mean, (filled**2).mean(axis=1, keepdims=True) - mean**2
    mask = seen.astype(float)
    n = mask @ mask.T
    shared = np.maximum(n, 1.0)
    mean = filled @ mask.T / shared
    return n, mean, (filled**2) @ mask.T / shared - mean**2


def _z_of(p_value: float) -> float:
    """Return a z whose two-sided p-value is at least this, and little more."""
    low, high = 0.0, 40.0
    while high - low > 1e-6:
        middle = 0.5 * (low + high)
        low, high = (middle, high) if erfc(middle / sqrt(2.0)) > p_value else (low, middle)
    return low


def _residuals(frame: PatternInput, rows: NDArray[np.intp]) -> Floats:
    """Return the forecast residuals, or else the steps of each series beyond what its time of day usually does."""
    if frame.residuals is not None:
        return np.where(np.isfinite(frame.values[rows]), frame.residuals(rows), np.nan)
    scaled, _, _ = standardised(frame.values[rows])
    steps = np.diff(scaled, axis=1)
    day = max(2, round(DAY_S / frame.step_s))
    return minus_time_of_day(steps, day) if steps.shape[1] >= 3 * day else steps


def _centred_ranks(values: Floats) -> Floats:
    """Return each row's ranks, ties sharing their mean, scaled to ±0.5 around 0; NaN where there is no number."""
    known = np.where(np.isfinite(values), values, np.nan)
    order = np.argsort(known, axis=1)
    ordered = np.take_along_axis(known, order, axis=1)
    count = np.isfinite(known).sum(axis=1, keepdims=True)
    places = np.arange(values.shape[1])
    is_other = ordered[:, 1:] != ordered[:, :-1]
    edge = np.ones((len(values), 1), dtype=bool)
    first = np.maximum.accumulate(np.where(np.hstack((edge, is_other)), places, 0), axis=1)
    ends = np.where(np.hstack((is_other, edge)), places, values.shape[1])
    last = np.minimum.accumulate(ends[:, ::-1], axis=1)[:, ::-1]
    shared = np.where(places < count, 0.5 * (first + last) / np.maximum(count, 1) - 0.5, np.nan)
    ranks = np.empty_like(known)
    np.put_along_axis(ranks, order, shared, axis=1)
    return ranks


def _variance_inflation(filled: Floats) -> Floats:
    """Return 1 + 2 Σ r_x(k) r_y(k) for every pair, at least 1."""
    lags = range(min(_MAX_LAG, filled.shape[1] - 1) + 1)
    products = [
        [np.einsum("ij,ij->i", part[:, lag:], part[:, : part.shape[1] - lag]) for lag in lags]
        for part in (filled[block] for block in row_blocks(len(filled), 64))
    ]
    memory = np.concatenate([np.stack(part, axis=1) for part in products])
    memory = memory[:, 1:] / np.where(memory[:, :1] > 0, memory[:, :1], 1.0)
    inflation: Floats = np.maximum(1.0 + 2.0 * memory @ memory.T, 1.0)
    return inflation


def _groups(similarity: Floats, pairs: tuple[np.ndarray, np.ndarray]) -> list[list[int]]:
    if not (similarity[pairs] >= _MIN_CORRELATION).any():
        return []
    from scipy.cluster.hierarchy import fcluster, linkage  # 0.3 s to import, and often nothing moves together

    labels = fcluster(linkage(1.0 - similarity[pairs], "average"), 1.0 - _MIN_CORRELATION, "distance")
    return [np.flatnonzero(labels == label).tolist() for label in np.unique(labels)]


def _finding(
    members: list[int],
    rows: NDArray[np.intp],
    frame: PatternInput,
    correlation: Floats,
    linked: Floats,
    p_values: Floats,
) -> Finding:
    names = [frame.names[row] for row in rows]
    first, second = np.triu_indices(len(members), 1)
    inside = np.ix_(members, members)
    strength = float(linked[inside][first, second].mean())
    signed = correlation[inside][first, second]
    opposed = bool((signed < 0).any())
    together = "against or with each other" if opposed else "together"
    return Finding(
        kind="comovement",
        subject=", ".join(names),
        statement=(
            f"{_listed(names)} move {together} more than their forecasts explain "
            f"(mean rank correlation of their residuals {strength:.2f})."
        ),
        strength=min(strength, 1.0),
        # Every link is corrected already; the weakest speaks for the group.
        p_value=float(p_values[inside][first, second].max()),
        evidence={
            "metrics": list(names),
            "pairs": [
                {"first": names[a], "second": names[b], "correlation": float(r)}
                for a, b, r in zip(first[:_MAX_PAIRS], second, signed, strict=False)
            ],
            "opposed": opposed,
            "residuals": "forecast" if frame.residuals is not None else "step beyond the time of day",
        },
    )


def _listed(names: list[str]) -> str:
    if len(names) > _MAX_NAMES:
        return f"{', '.join(names[:_MAX_NAMES])} and {len(names) - _MAX_NAMES} more"
    return listed(names)
