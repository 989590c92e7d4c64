"""Metrics the action does not touch, used to explain what would have moved the target anyway."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from storage.errors import ForeactError
from storage.records import BoolArray, FloatArray
from tasks.measure.inference.past_errors import ErrorLedger
from tasks.measure.inference.placebo_windows import PlaceboWindows

PRIOR_WINDOWS = (0.1, 0.5, 2.0, 8.0)
BLOCKS = 5
LEAST_GAIN_RATIO = 0.02
LEAST_OBSERVED_RATIO = 0.8


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
    windows: PlaceboWindows, controls: Sequence[Control], ledger: ErrorLedger
) -> tuple[PlaceboWindows, tuple[str, ...]]:
    """Take out of the target's windows what the controls explain, where that helps out of sample.

    Ridge regression of the target's errors on those of the controls at the same step of the same past
    window. Every past window is predicted by a fit that saw neither it nor its neighbours (cross-validation
    in blocks with gaps); so the ridge is chosen, and the controls are kept only if the spread of window
    means falls by 2 % or more. Returns the windows, unchanged where controls do not help, and the names of
    the controls used. Raises ForeactError `control_origins` where a control's ledger has other origins than
    the target's.
    """
    usable = [control for control in controls if _is_usable(control, windows, ledger)]
    if not usable:
        return windows, ()
    # All in the target's units: a relation between metrics is one between raw values of the same moment.
    x = np.stack([_scaled_paths(control.ledger, windows) for control in usable])
    y = _scaled_paths(ledger, windows)
    valid = windows.valid & np.isfinite(x).all(axis=(0, 2)) & np.isfinite(y).all(axis=1)
    if valid.sum() < 2 * BLOCKS:
        return windows, ()
    moments = _Moments.of(x[:, valid], y[valid], max(1, round(valid.sum() / max(windows.count, 1.0))))
    tried = [moments.out_of_sample_residuals(prior) for prior in PRIOR_WINDOWS]
    best = int(np.argmin([np.std(left) for left in tried]))
    if np.std(tried[best]) > (1 - LEAST_GAIN_RATIO) * np.std(moments.target_means):
        return windows, ()
    past = np.full_like(windows.past, np.nan)
    past[valid] = tried[best]
    apart = np.array([_difference(control, windows) for control in usable]) / windows.unit
    current = windows.current - float(apart @ moments.slopes(PRIOR_WINDOWS[best]))
    return replace(windows, past=past, current=current, foretold_error=0.0, unsettled_error=0.0), tuple(
        control.name for control in usable
    )


@dataclass(frozen=True)
class _Moments:
    """Sums of squares and products per past window, from which every fit follows."""

    gram: FloatArray
    cross: FloatArray
    control_means: FloatArray
    target_means: FloatArray
    neighbours: int

    @staticmethod
    def of(x: FloatArray, y: FloatArray, neighbours: int) -> _Moments:
        """Gather from control paths (controls, n, steps) and target paths (n, steps)."""
        gram = np.einsum("ank,bnk->nab", x, x)
        return _Moments(gram, np.einsum("ank,nk->na", x, y), x.mean(axis=2).T, y.mean(axis=1), neighbours)

    def slopes(self, prior: float, fitted: BoolArray | None = None) -> FloatArray:
        """Fit slopes against a prior worth `prior` whole windows that show no relation at all."""
        chosen = np.ones(len(self.gram), dtype=np.bool_) if fitted is None else fitted
        gram, cross = self.gram[chosen].sum(axis=0), self.cross[chosen].sum(axis=0)
        share = prior * self.neighbours / max(1, int(chosen.sum()))
        penalty = share * np.diag(gram) + 1e-12 * float(np.trace(gram)) + 1e-300
        return np.asarray(np.linalg.solve(gram + np.diag(penalty), cross), dtype=np.float64)

    def out_of_sample_residuals(self, prior: float) -> FloatArray:
        """Return the target's window means (n,) less what fits made elsewhere in time say of them."""
        left = self.target_means.copy()
        places = np.arange(len(left))
        for block in np.array_split(places, BLOCKS):
            far = (places < block[0] - self.neighbours) | (places > block[-1] + self.neighbours)
            if far.sum() >= BLOCKS:
                left[block] -= self.control_means[block] @ self.slopes(prior, far)
        return left


def _scaled_paths(ledger: ErrorLedger, windows: PlaceboWindows) -> FloatArray:
    paths = ledger.errors[:, : windows.steps][:, windows.used]
    return np.asarray(paths / windows.past_units[:, None], dtype=np.float64)


def _difference(control: Control, windows: PlaceboWindows) -> float:
    after = (control.observed - control.forecast)[: windows.steps][windows.used]
    return float(np.nanmean(after))


def _is_usable(control: Control, windows: PlaceboWindows, ledger: ErrorLedger) -> bool:
    if len(control.ledger.errors) != len(ledger.errors):
        counts = f"{len(control.ledger.errors)} past windows, the target {len(ledger.errors)}"
        raise ForeactError(
            "control_origins",
            f"Control {control.name} has {counts}.",
            "Build both ledgers from the same origins.",
        )
    after = (control.observed - control.forecast)[: windows.steps][windows.used]
    return bool(np.isfinite(after).mean() >= LEAST_OBSERVED_RATIO) and control.ledger.errors.shape[1] >= windows.steps
