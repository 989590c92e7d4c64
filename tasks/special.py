"""Functions of `scipy.special`, fetched when one is first called, and the floor of a standard deviation.

The facade shows what the loop has computed and hardly ever computes itself; with them it is 16 MB larger.
"""

from __future__ import annotations


def betainc(a: float, b: float, x: float) -> float:
    """Return the regularised incomplete beta function: the chance that a Beta(a, b) lies below x."""
    from scipy.special import betainc as function

    return float(function(a, b, x))


def betaincinv(a: float, b: float, share: float) -> float:
    """Return the value below which a Beta(a, b) lies with a chance of `share`."""
    from scipy.special import betaincinv as function

    return float(function(a, b, share))


def ndtr(z: float) -> float:
    """Return the chance that a standard normal lies below z."""
    from scipy.special import ndtr as function

    return float(function(z))


def ndtri(share: float) -> float:
    """Return the value below which a standard normal lies with a chance of `share`."""
    from scipy.special import ndtri as function

    return float(function(share))


def stdtr(freedom: float, t: float) -> float:
    """Return the chance that Student's t with `freedom` degrees lies below t."""
    from scipy.special import stdtr as function

    return float(function(freedom, t))


def stdtrit(freedom: float, share: float) -> float:
    """Return the value below which Student's t with `freedom` degrees lies with a chance of `share`."""
    from scipy.special import stdtrit as function

    return float(function(freedom, share))


LEAST_SD_RATIO = 1e-3
"""A standard deviation counts as at least that share of the level: nothing is divided by a metric that never moved."""


def at_least_visible(sd: float, level: float) -> float:
    """Return a standard deviation, or what it must at least be where the metric is about as large as `level`."""
    floor = LEAST_SD_RATIO * abs(level)
    return max(sd, floor) if sd == sd else floor
