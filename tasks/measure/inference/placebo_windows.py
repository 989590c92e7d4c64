"""Past windows without an action, made comparable with the window after one."""

from __future__ import annotations

from dataclasses import dataclass
from math import hypot, sqrt

import numpy as np

from storage.records import BoolArray, FloatArray
from tasks.measure.inference.past_errors import ErrorLedger

SCALE_POWER = 0.5
QUIETEST_SCALE_RATIO = 0.05
LEAST_KNOWN_RATIO = 0.8
FEWEST_TRIGGERED = 5
NORMAL_REACH = 1.6449
FORETOLD_SHARE = 0.25
"""Chosen on one seed of six simulated worlds with acts, confirmed on another."""

FLOAT_NOISE_RATIO = 1e-9
"""Errors below that share of the level are rounding: a metric that never moved has none."""

STORED_NOISE_RATIO = 2.0**-22
"""The same of a metric that stood still all the time: forecasts are kept in single precision."""


@dataclass(frozen=True)
class PlaceboWindows:
    """Mean errors of past windows, and of the one after the action, on one scale.

    `past` is (n_origins,), NaN where too little was observed; `current` the window after the action; both are
    in units of `unit`, which takes them back to the metric's own. `steps` is the length of a window,
    `n_past` the action-free steps behind them all, `level` how large the metric is, and `foretold_error` how far off
    the forecast took itself to be and `unsettled_error` how far it may be after a jump, in the metric's unit.
    """

    past: FloatArray
    current: float
    unit: float
    past_units: FloatArray
    used: BoolArray
    steps: int
    n_past: int
    level: float = 0.0
    foretold_error: float = 0.0
    unsettled_error: float = 0.0

    @property
    def is_resting(self) -> bool:
        """Tell whether the metric rested: more than half of the past windows lie on their centre to the last digit."""
        z = self.past[self.valid]
        return bool(len(z)) and bool(np.mean(z == np.median(z)) > 0.5)

    @property
    def never_moved(self) -> bool:
        """Tell whether no past window is off at all."""
        z = self.past[self.valid]
        return bool(len(z)) and bool(np.all(z == z[0]))

    @property
    def exact_p_value(self) -> float:
        """Return the share of windows, this one included, that lie as far from the centre as the one after the action.

        It is the p-value of a randomisation test (Fisher 1935), with as many windows as are independent.
        """
        z, count = self.past[self.valid], self.independent_count
        centre = np.median(z)
        as_far = float(np.mean(np.abs(z - centre) >= abs(self.current - centre)))
        return (1 + as_far * count) / (1 + count)

    @property
    def valid(self) -> BoolArray:
        """Return which past windows count."""
        return np.isfinite(self.past)

    @property
    def count(self) -> float:
        """Return how many windows the past holds side by side, though the origins overlap."""
        return min(self.n_past / self.steps, float(self.valid.sum()))

    @property
    def independent_count(self) -> float:
        """Return how many independent windows these are worth, since an error often outlives its window.

        Discounts by the correlation of neighbouring windows as for a first-order autoregression
        (Bayley and Hammersley 1946, doi:10.2307/2983560).
        """
        z = self.past[self.valid]
        lag = max(1, round(len(z) / max(self.count, 1.0)))
        if len(z) < lag + 5:
            return self.count
        centred = z - z.mean()
        power = float(np.mean(centred**2))
        if power <= 0:
            return self.count
        repeat = float(np.clip(np.mean(centred[lag:] * centred[:-lag]) / power, 0.0, 0.8))
        return min(self.count, max(4.0, self.count * (1 - repeat) / (1 + repeat)))


def compare_windows(observed: FloatArray, forecast: FloatArray, ledger: ErrorLedger, steps: int) -> PlaceboWindows:
    """Average the error after an action and every past error path over the same steps.

    `observed` and `forecast` are (h,), `steps` <= h. Each mean is divided by the square root of the scale
    of its time: errors grow with a metric's unrest, but less than in proportion. Dividing by the scale
    itself, or by nothing, holds the truth as often with wider intervals.
    """
    used = (np.isfinite(observed) & np.isfinite(forecast))[:steps]
    level = float(np.max(np.abs([observed[:steps][used], forecast[:steps][used]]))) if used.any() else 0.0
    noise = (STORED_NOISE_RATIO if _stood_still(ledger, level) else FLOAT_NOISE_RATIO) * level
    missed = _without_rounding((observed[:steps] - forecast[:steps])[used], noise)
    difference = float(np.mean(missed)) if used.any() else float("nan")
    scale = _without_rounding(ledger.scale, noise)
    scales = scale[np.isfinite(scale)]
    # A metric that idled for a day has almost no scale: one ordinary error would look like a giant.
    floor = QUIETEST_SCALE_RATIO * float(np.median(scales)) if scales.size else float("nan")
    if not floor > 0:
        floor = 1.0
    unit = float(np.fmax(ledger.current_scale, floor) ** SCALE_POWER)
    past_units = np.maximum(scale, floor) ** SCALE_POWER
    past = mean_errors(_without_rounding(ledger.errors[:, :steps], noise), used) / past_units
    foretold = _foretold_error(ledger, used)
    return PlaceboWindows(
        *(past, difference / unit, unit, past_units, used, steps, ledger.n_past, level),
        foretold_error=foretold,
        unsettled_error=ledger.unsettled_error,
    )


def _foretold_error(ledger: ErrorLedger, used: BoolArray) -> float:
    known = ledger.foretold_error
    return 0.0 if known is None or not used.any() else float(np.mean(known[: len(used)][used]))


def _stood_still(ledger: ErrorLedger, level: float) -> bool:
    """Tell whether a metric is known to have had one value in all past windows."""
    seen = np.empty(0) if ledger.observed is None else ledger.observed[np.isfinite(ledger.observed)]
    return bool(seen.size) and float(np.ptp(seen)) <= FLOAT_NOISE_RATIO * level


def _without_rounding(errors: FloatArray, noise: float) -> FloatArray:
    return np.where(np.abs(errors) <= noise, 0.0, errors)


def mean_errors(errors: FloatArray, used: BoolArray) -> FloatArray:
    """Average paths (n, steps) over the steps in `used`; NaN where over a fifth of those was not observed."""
    paths = errors[:, used]
    is_known = np.isfinite(paths)
    share = is_known.sum(axis=1)
    mean = np.where(is_known, paths, 0.0).sum(axis=1) / np.maximum(share, 1)
    return np.where(share >= max(1.0, LEAST_KNOWN_RATIO * used.sum()), mean, np.nan)


@dataclass(frozen=True)
class Placebos:
    """What happens without any action, in window units: its centre, its spread, and from how many like cases.

    `doubt` is the variance of the centre, over that of the windows, that comes of knowing few like cases.
    """

    centre: float
    spread: float
    triggered: float = 0.0
    doubt: float = 0.0


def placebos(windows: PlaceboWindows, ledger: ErrorLedger) -> Placebos:
    """Say where windows without an action lie; at least one must be valid.

    With at least five separate past windows that had the same trigger, their median and spread count
    n/(n+5) against those of all: what follows a peak is a fall, whoever acts (regression to the mean), and
    unrest. That weight is what follows if like cases may lie off by a fifth of the variance, so with n of
    them the centre stays uncertain by 1/(n+5) of it.
    """
    centre, spread = float(np.median(windows.past[windows.valid])), _spread_at_this_hour(windows, ledger)
    if ledger.same_trigger is None:
        return Placebos(centre, spread)
    alike = windows.valid & ledger.same_trigger
    count = _separate(ledger, alike, windows)
    if count < FEWEST_TRIGGERED:
        return Placebos(centre, spread, count, 1 / FEWEST_TRIGGERED)
    share = count / (count + FEWEST_TRIGGERED)
    like = windows.past[alike]
    return Placebos(
        share * float(np.median(like)) + (1 - share) * centre,
        sqrt(share * spread_of(like) ** 2 + (1 - share) * spread**2),
        count,
        1 / (count + FEWEST_TRIGGERED),
    )


def standard_error(windows: PlaceboWindows, nothing: Placebos) -> float:
    """Return the error of an estimate, in the metric's unit; at least two windows must be independent.

    A loop acts when a metric is at its most restless, of which past windows, most of them calm, know little. The
    forecast has a say there: where it took itself to be further off, the error moves toward that, in logarithms.
    """
    independent = windows.independent_count
    # The origins overlap, so the sample's spread falls short as if there were only `independent` of them.
    spread = nothing.spread * windows.unit * sqrt(independent / (independent - 1))
    error = spread * sqrt(1 + 1 / independent + nothing.doubt)
    if error > 0:
        error *= float(max(1.0, windows.foretold_error / error) ** FORETOLD_SHARE)
    return hypot(error, windows.unsettled_error)


def _spread_at_this_hour(windows: PlaceboWindows, ledger: ErrorLedger) -> float:
    """Return the spread of past windows, those at about the same time of day counting n/(n+5).

    Many metrics are restless at some hours and calm at others, and a loop acts when they are restless.
    """
    spread = spread_of(windows.past[windows.valid])
    near = windows.valid & ledger.at_this_hour
    count = _separate(ledger, near, windows)
    if count < FEWEST_TRIGGERED:
        return spread
    share = count / (count + FEWEST_TRIGGERED)
    return sqrt(share * spread_of(windows.past[near]) ** 2 + (1 - share) * spread**2)


def spread_of(past: FloatArray) -> float:
    """Return the spread of past windows (n,): the geometric mean of two estimates of a standard deviation.

    One is the usual, the other what the 90 % quantile of the distance from the median says. One incident in
    the past makes the first so wide that nothing is found any more; the second alone is too bold where such
    incidents are common. Where nine in ten windows rest on one value, there is the first alone.
    """
    reach = float(np.quantile(np.abs(past - np.median(past)), 0.9)) / NORMAL_REACH
    usual = float(np.std(past))
    return sqrt(usual * reach) if reach > 0 else usual


def _separate(ledger: ErrorLedger, alike: BoolArray, windows: PlaceboWindows) -> float:
    if ledger.origins is None:
        return float(alike.sum()) * min(1.0, windows.count / max(1, int(windows.valid.sum())))
    return float(separate(ledger, alike, windows.steps))


def separate(ledger: ErrorLedger, alike: BoolArray, steps: int) -> int:
    """Return how many of some windows (n_origins,) of so many steps lie side by side; their origins must be known."""
    assert ledger.origins is not None
    count, free_from = 0, -1
    for origin in ledger.origins[alike]:
        if origin >= free_from:
            count, free_from = count + 1, int(origin) + steps
    return count
