"""When an act that is watched has surely done harm, however often it was looked at."""

from __future__ import annotations

from math import exp, inf, sqrt

from tasks.special import ndtri

WATCH_ALPHA = 0.02
"""How often an act that harms nothing may be taken for a harmful one, over all looks together."""

FURTHEST_Z = 37.0


def mixture_evidence(z: float, spread_ratio: float) -> float:
    """Return how much likelier an estimate is with an effect than without: an e-value, sound at every look.

    `z` is the estimate over its error, `spread_ratio` how large effects are, over that error. Without an effect it
    exceeds 1/alpha ever with a chance of alpha at most (Ville's inequality); the normal mixture of Robbins (1970,
    doi:10.1214/aoms/1177696786).
    """
    wider = 1 + spread_ratio**2
    return exp(min(700.0, z**2 / 2 * (1 - 1 / wider))) / sqrt(wider)


def z_of(p_value: float) -> float:
    """Return how many standard deviations out a two-sided p-value lies."""
    return min(FURTHEST_Z, -ndtri(p_value / 2)) if p_value > 0 else FURTHEST_Z


def prior_evidence(mean: float, variance: float, prior_variance: float) -> float:
    """Return the evidence for an effect from what is believed of it before and after the data (Dickey 1971).

    The belief before is N(0, prior_variance), after it N(mean, variance).
    """
    if not 0 < variance < prior_variance:
        return inf if variance <= 0 < abs(mean) else 1.0
    return exp(min(700.0, mean**2 / (2 * variance))) * sqrt(variance / prior_variance)
