"""Co-movement: which series are surprised at the same moments."""

from __future__ import annotations

from math import erfc

import numpy as np

from tasks.patterns.finding import Finding
from tasks.patterns.inputs import DAY_S, Floats, PatternInput, SearchSettings
from tasks.patterns.statistics import adjusted_p_values, minus_time_of_day, standardised

_MIN_COMMON = 30
# Average linkage is cut where a group's members correlate less than this on average.
_MIN_CORRELATION = 0.3
_MAX_LAG = 50
_MAX_NAMES = 5
_MAX_PAIRS = 45


def find_comovement(frame: PatternInput, settings: SearchSettings) -> list[Finding]:
    """Return one finding per group of series whose one-step residuals rise and fall together or in opposition.

    Residuals are compared and not levels, which share trends and the time of day and so correlate by accident. Groups
    are cut from an average linkage of 1 − |Spearman correlation|, pairs that Benjamini-Hochberg does not pass counting
    as uncorrelated.
    """
    if len(frame.names) < 2 or frame.values.shape[1] < _MIN_COMMON:
        return []
    correlation, p_values = spearman(_residuals(frame))
    pairs = np.triu_indices(len(correlation), 1)
    q_values = np.ones_like(correlation)
    q_values[pairs] = adjusted_p_values(p_values[pairs])
    q_values = np.minimum(q_values, q_values.T)
    linked = np.where(q_values <= settings.false_discovery_rate, np.abs(correlation), 0.0)
    return [
        _finding(members, frame, correlation, linked, p_values)
        for members in _groups(linked, pairs)
        if len(members) > 1
    ]


def spearman(values: Floats) -> tuple[Floats, Floats]:
    """Return (rank correlation, two-sided p-value), both (n_series, n_series), over the steps each pair shares.

    The p-value is that of Fisher's z with the number of steps divided by 1 + 2 Σ r_x(k) r_y(k), as series that both
    remember agree more often by chance (Bartlett, JRSS 98, 1935). Pairs with under 30 such steps get 0 and 1.
    """
    ranks = _centred_ranks(values)
    seen = np.isfinite(ranks)
    filled, mask = np.where(seen, ranks, 0.0), seen.astype(float)
    n = mask @ mask.T
    shared = np.maximum(n, 1.0)
    mean = filled @ mask.T / shared
    variance = (filled**2) @ mask.T / shared - mean**2
    covariance = filled @ filled.T / shared - mean * mean.T
    spread = np.sqrt(np.maximum(variance * variance.T, 0.0))
    effective = n / _variance_inflation(filled)
    judged = (spread > 1e-12) & (effective >= _MIN_COMMON)
    correlation = np.where(judged, np.clip(covariance / np.where(judged, spread, 1.0), -1.0, 1.0), 0.0)
    z = np.arctanh(np.clip(correlation, -0.999999, 0.999999)) * np.sqrt(np.maximum(effective - 3, 1.0) / 1.06)
    p_values = np.vectorize(erfc, otypes=[float])(np.abs(z) / np.sqrt(2.0))
    return correlation, np.where(judged, p_values, 1.0)


def _residuals(frame: PatternInput) -> Floats:
    """Return the forecast residuals, or else the steps of each series beyond what its time of day usually does."""
    if frame.residuals is not None:
        return np.where(np.isfinite(frame.values), frame.residuals, np.nan)
    scaled, _, _ = standardised(frame.values)
    steps = np.diff(scaled, axis=1)
    day = max(2, round(DAY_S / frame.step_s))
    return minus_time_of_day(steps, day) if steps.shape[1] >= 3 * day else steps


def _centred_ranks(values: Floats) -> Floats:
    """Return each row's ranks, ties sharing their mean, scaled to ±0.5 around 0; NaN where there is no number."""
    ranks = np.full_like(values, np.nan)
    for row, series in enumerate(values):
        seen = np.isfinite(series)
        if not seen.any():
            continue
        _, which, count = np.unique(series[seen], return_inverse=True, return_counts=True)
        ranks[row, seen] = (np.cumsum(count) - 0.5 * (count + 1))[which] / seen.sum() - 0.5
    return ranks


def _variance_inflation(filled: Floats) -> Floats:
    """Return 1 + 2 Σ r_x(k) r_y(k) for every pair, at least 1."""
    n_steps = filled.shape[1]
    spectrum = np.abs(np.fft.rfft(filled, 2 * n_steps, axis=1)) ** 2
    memory = np.fft.irfft(spectrum, axis=1)[:, : min(_MAX_LAG, n_steps - 1) + 1]
    memory = memory[:, 1:] / np.where(memory[:, :1] > 0, memory[:, :1], 1.0)
    inflation: Floats = np.maximum(1.0 + 2.0 * memory @ memory.T, 1.0)
    return inflation


def _groups(similarity: Floats, pairs: tuple[np.ndarray, np.ndarray]) -> list[list[int]]:
    if not (similarity[pairs] >= _MIN_CORRELATION).any():
        return []
    from scipy.cluster.hierarchy import fcluster, linkage  # 0.3 s to import, and often nothing moves together

    labels = fcluster(linkage(1.0 - similarity[pairs], "average"), 1.0 - _MIN_CORRELATION, "distance")
    return [np.flatnonzero(labels == label).tolist() for label in np.unique(labels)]


def _finding(members: list[int], frame: PatternInput, correlation: Floats, linked: Floats, p_values: Floats) -> Finding:
    names = [frame.names[row] for row in members]
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
    return f"{', '.join(names[:-1])} and {names[-1]}"
