"""What each action contributes to every metric it was measured on, wanted or not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from storage.records import NOTHING, BoolArray, Verdict
from tasks.learn.pooled_effect import OwnError, pooled_effect

SURE = {"target": 0.90, "guard": 0.90, "side_effect": 0.99}
"""How sure a change must be to be called clear: of side effects many are looked at, and some stand out by chance."""

MEASURED = frozenset({Verdict.IMPROVED, Verdict.NO_EFFECT, Verdict.WORSE, Verdict.INCONCLUSIVE})


def contributions(
    changes: Mapping[str, Sequence[Any] | np.ndarray[Any, Any]],
    own: OwnError = OwnError(),
    not_its_own: BoolArray | None = None,
) -> list[dict[str, Any]]:
    """Return the mean change of each metric by each action, in the metric's unit with its 90 % interval.

    `changes` are columns of equal length, one row an outcome: action, series, role, verdict, estimate, standard_error
    and past_windows (NaN where not measured). Sorted by action; targets before guards before side effects, then the
    surest change first. `is_clear` tells that zero is ruled out: by the interval, and for side effects, many of which
    are looked at, by that of 99 %. `own` is what the measurements of this installation are off by; rows that are
    `not_its_own` (n,) count as confounded.
    """
    actions, series = np.asarray(changes["action"], dtype=str), np.asarray(changes["series"], dtype=str)
    roles, verdicts = np.asarray(changes["role"], dtype=str), np.asarray(changes["verdict"], dtype=str)
    if not_its_own is not None:
        verdicts = np.where(not_its_own, str(Verdict.CONFOUNDED), verdicts)
    estimates = np.asarray(changes["estimate"], dtype=np.float64)
    errors = np.asarray(changes["standard_error"], dtype=np.float64)
    windows = np.asarray(changes["past_windows"], dtype=np.float64)
    usable = np.isfinite(estimates) & np.isfinite(errors) & np.isin(verdicts, [str(each) for each in MEASURED])
    pairs = sorted({(action, name) for action, name in zip(actions, series, strict=True) if action != NOTHING})
    listed = []
    for action, name in pairs:
        mine = (actions == action) & (series == name)
        counted = mine & usable
        contribution = {"action": action, "series": name, "role": _role(roles[mine]), "count": int(counted.sum())}
        contribution |= _pooled(estimates[counted], errors[counted], windows[counted], SURE[contribution["role"]], own)
        contribution["verdicts"] = dict(sorted(Counter(verdicts[mine].tolist()).items()))
        listed.append(contribution)
    return sorted(listed, key=_order)


def _role(roles: np.ndarray[Any, Any]) -> str:
    """Return the weightiest role that a metric had for an action."""
    return next(role for role in ("target", "guard", "side_effect") if role in roles)


def _pooled(
    estimates: np.ndarray[Any, Any],
    errors: np.ndarray[Any, Any],
    windows: np.ndarray[Any, Any],
    sure: float,
    own: OwnError,
) -> dict[str, Any]:
    if not len(estimates):
        return {"mean_change": None, "low": None, "high": None, "standard_error": None, "is_clear": False}
    # Pooled in units of the typical error: metrics may be shares or bytes.
    unit = float(np.median(errors)) or 1.0
    effect = pooled_effect(estimates / unit, errors / unit, past_windows=windows, own=own)
    low, high = effect.low * unit, effect.high * unit
    surely = pooled_effect(estimates / unit, errors / unit, sure, windows, own)
    return {
        "mean_change": effect.mean * unit,
        "low": low,
        "high": high,
        "standard_error": effect.standard_error * unit,
        "is_clear": surely.low > 0 or surely.high < 0,
    }


def _order(contribution: Mapping[str, Any]) -> tuple[Any, ...]:
    roles = ("target", "guard", "side_effect")
    surely = 0.0
    if contribution["mean_change"] is not None and contribution["high"] > contribution["low"]:
        surely = abs(contribution["mean_change"]) / (contribution["high"] - contribution["low"])
    return contribution["action"], roles.index(contribution["role"]), -surely, contribution["series"]
