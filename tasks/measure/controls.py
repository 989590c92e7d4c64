"""Metrics the action does not touch, used to explain what would have moved the target anyway."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from storage.errors import ForeactError
from tasks.measure.ledger import ErrorLedger, FloatArray
from tasks.measure.windows import Windows, compare_windows

RIDGE_WINDOWS = 2.0
BLOCKS = 5
LEAST_GAIN_RATIO = 0.02


@dataclass(frozen=True)
class Control:
    """A metric the action does not touch, over the same steps and the same past origins as the target.

    `observed` and `forecast` are (h,) as for the target; `ledger` has one row for each of the target's
    origins.
    """

    name: str
    observed: FloatArray
    forecast: FloatArray
    ledger: ErrorLedger


def explain_with_controls(
    windows: Windows, controls: Sequence[Control], ledger: ErrorLedger
) -> tuple[Windows, tuple[str, ...]]:
    """Take out of the target's windows what the controls explain, where that helps out of sample.

    Ridge regression of the target's past windows on those of the controls. Every past window is predicted
    by a fit that saw neither it nor its neighbours (blocked cross-validation, gaps of one window); the
    controls are kept only if the spread of what is left falls by 2 % or more. Returns the windows,
    unchanged where controls do not help, and the names of the controls used. Raises ForeactError
    `control_origins` where a control's ledger has other origins than the target's.
    """
    usable = [control for control in controls if _is_usable(control, windows.steps, ledger)]
    if not usable:
        return windows, ()
    compared = [
        compare_windows(control.observed, control.forecast, control.ledger, windows.steps) for control in usable
    ]
    past = np.column_stack([each.past for each in compared])
    valid = windows.valid & np.isfinite(past).all(axis=1)
    if valid.sum() < 2 * BLOCKS or not all(np.isfinite(each.current) for each in compared):
        return windows, ()
    x, y = past[valid], windows.past[valid]
    lag = max(1, round(len(y) / max(windows.count, 1.0)))
    left = _out_of_sample_residuals(x, y, lag)
    if np.std(left) > (1 - LEAST_GAIN_RATIO) * np.std(y):
        return windows, ()
    slopes = _ridge(x, y, lag)
    cleaned = np.full_like(windows.past, np.nan)
    cleaned[valid] = left
    apart = np.array([each.current for each in compared]) - x.mean(axis=0)
    current = windows.current - float(apart @ slopes)
    return replace(windows, past=cleaned, current=current), tuple(control.name for control in usable)


def _is_usable(control: Control, steps: int, ledger: ErrorLedger) -> bool:
    if len(control.ledger.errors) != len(ledger.errors):
        counts = f"{len(control.ledger.errors)} past windows, the target {len(ledger.errors)}"
        raise ForeactError(
            "control_origins",
            f"Control {control.name} has {counts}.",
            "Build both ledgers from the same origins.",
        )
    known = np.isfinite(control.observed[:steps]) & np.isfinite(control.forecast[:steps])
    return bool(known.mean() >= 0.5) and control.ledger.errors.shape[1] >= steps


def _ridge(x: FloatArray, y: FloatArray, lag: int) -> FloatArray:
    """Fit slopes with a prior worth `RIDGE_WINDOWS` whole windows of no relation at all."""
    centred = x - x.mean(axis=0)
    gram = centred.T @ centred
    penalty = RIDGE_WINDOWS * lag / len(y) * np.diag(gram) + 1e-12 * max(float(np.trace(gram)), 1e-300)
    return np.asarray(np.linalg.solve(gram + np.diag(penalty), centred.T @ (y - y.mean())))


def _out_of_sample_residuals(x: FloatArray, y: FloatArray, lag: int) -> FloatArray:
    left = np.empty_like(y)
    places = np.arange(len(y))
    for block in np.array_split(places, BLOCKS):
        near = (places >= block[0] - lag) & (places <= block[-1] + lag)
        fitted = ~near if (~near).sum() > BLOCKS else places < 0
        slopes = _ridge(x[fitted], y[fitted], lag) if fitted.any() else np.zeros(x.shape[1])
        left[block] = y[block] - (x[block] - x.mean(axis=0)) @ slopes
    return left
