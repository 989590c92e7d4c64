"""What an action changed on a metric, judged against the forecast issued before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Literal

import numpy as np
from scipy.special import stdtr, stdtrit

from storage.errors import ForeactError
from storage.records import Verdict
from tasks.measure.ledger import BoolArray, ErrorLedger, FloatArray

Better = Literal["lower", "higher"]

FEWEST_WINDOWS = 10
FEWEST_TRIGGERED = 5
QUIETEST_SCALE_RATIO = 0.05


@dataclass(frozen=True)
class Effect:
    """The change of a metric's mean over the window after an action, with its interval and verdict.

    `estimate`, `low`, `high` and `standard_error` are in the metric's unit, positive where the metric went
    up; NaN where nothing could be estimated. `effect_sd_units` and `standard_error_sd_units` are in
    standard deviations of the metric and signed toward the goal: positive is good whichever way the metric
    should move.
    """

    verdict: Verdict
    reason: str
    estimate: float = float("nan")
    low: float = float("nan")
    high: float = float("nan")
    p_value: float = float("nan")
    standard_error: float = float("nan")
    effect_sd_units: float = float("nan")
    standard_error_sd_units: float = float("nan")
    relative_ratio: float = float("nan")
    confidence: float = 0.90
    window_steps: int = 0
    observed_steps: int = 0
    past_windows: float = 0.0
    triggered_windows: float = 0.0
    controls_used: tuple[str, ...] = ()

    @property
    def is_measured(self) -> bool:
        """Tell whether there is a number with an interval that nothing else disturbed."""
        return self.verdict not in {Verdict.UNKNOWN, Verdict.CONFOUNDED} and isfinite(self.standard_error)


def measure_effect(
    observed: FloatArray,
    forecast: FloatArray,
    ledger: ErrorLedger,
    *,
    better: Better = "lower",
    confidence: float = 0.90,
    alpha: float = 0.05,
    metric_sd: float | None = None,
    relevant_effect: float | None = None,
    overlapping: Sequence[str] = (),
    least_observed_ratio: float = 0.5,
) -> Effect:
    """Estimate what an action changed, with an interval that past forecast errors vouch for.

    `observed` (h,) are the values after the action, NaN where missing; `forecast` (h,) the point forecast
    issued before it; `ledger` the errors of past forecasts in windows no action touched. `better` says
    which way the goal wants the metric to move. `metric_sd` is the metric's standard deviation (default:
    that of its past errors); `relevant_effect` the smallest change worth knowing (default: one standard
    deviation): an interval that cannot exclude it is inconclusive rather than `no effect`. `overlapping`
    names other actions on the same metric and window. Fewer than `least_observed_ratio` of the window's
    steps observed is `unknown`, never success. Raises ForeactError `measure_shape` where the two arrays
    differ in shape.

    The mean error of the window is compared with those of past windows, each divided by the scale of its
    time: the randomisation idea of placebo tests in time (Abadie, Diamond, Hainmueller 2010,
    doi:10.1198/jasa.2009.ap08746), with a Student t in the place of the permutation distribution since past
    windows are few.
    """
    observed, forecast = _checked(observed, forecast)
    steps = ledger.window_steps(len(forecast))
    used = (np.isfinite(observed) & np.isfinite(forecast))[:steps]
    seen = int(used.sum())
    blank = Effect(Verdict.UNKNOWN, "", confidence=confidence, window_steps=steps, observed_steps=seen)
    if not np.isfinite(forecast[:steps]).any():
        return replace(blank, reason="no forecast was issued before the action")
    if not seen or seen < least_observed_ratio * steps:
        return replace(blank, reason=f"{seen} of {steps} steps after the action were observed")
    difference = float(np.mean((observed[:steps] - forecast[:steps])[used]))
    level = float(np.mean(forecast[:steps][used]))
    effect = _judge(replace(blank, estimate=difference), ledger, used, level, alpha)
    effect = _in_sd_units(effect, metric_sd or _error_sd(ledger), better)
    return _verdict(effect, better, alpha, relevant_effect or metric_sd or _error_sd(ledger), overlapping)


def window_means(ledger: ErrorLedger, used: BoolArray) -> FloatArray:
    """Average each past error path over the steps in `used` (steps,), in units of the scale of its time.

    Returns (n_origins,), NaN where a fifth or more of the path was not observed.
    """
    paths = ledger.errors[:, : len(used)][:, used]
    known = np.isfinite(paths)
    enough = known.sum(axis=1) > 0.8 * used.sum()
    mean = np.where(known, paths, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    scale = np.maximum(ledger.scale, _least_scale(ledger))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(enough & (scale > 0), mean / scale, np.where(enough & (mean == 0), 0.0, np.nan))


def _least_scale(ledger: ErrorLedger) -> float:
    # A metric that idled for a day has almost no scale; dividing by it would make one ordinary error a giant.
    known = ledger.scale[np.isfinite(ledger.scale)]
    return QUIETEST_SCALE_RATIO * float(np.median(known)) if known.size else 0.0


def _judge(effect: Effect, ledger: ErrorLedger, used: BoolArray, level: float, alpha: float) -> Effect:
    z = window_means(ledger, used)
    valid = np.isfinite(z)
    windows = min(ledger.n_past / effect.window_steps, float(valid.sum()))
    effect = replace(effect, past_windows=windows)
    scale = max(ledger.current_scale, _least_scale(ledger)) if np.isfinite(ledger.current_scale) else np.nan
    if windows < 2 or not np.isfinite(scale):
        return effect
    centre, triggered = _centre(z, valid, ledger, effect.window_steps)
    spread = float(np.std(z[valid], ddof=1))
    error = spread * scale * float(np.sqrt(1 + 1 / windows))
    estimate = effect.estimate - centre * scale
    half = float(stdtrit(windows - 1, 0.5 + effect.confidence / 2)) * error
    return replace(
        effect,
        estimate=estimate,
        low=estimate - half,
        high=estimate + half,
        standard_error=error,
        p_value=_p_value(estimate, error, windows, level),
        relative_ratio=estimate / level if level else float("nan"),
        triggered_windows=triggered,
    )


def _p_value(estimate: float, error: float, windows: float, level: float) -> float:
    if error > 1e-9 * abs(level):
        return float(2 * stdtr(windows - 1, -abs(estimate) / error))
    # Errors that never varied: all that can be said is that this window differs from every past one.
    return 1 / (windows + 1) if abs(estimate) > 1e-9 * abs(level) else 1.0


def _centre(z: FloatArray, valid: BoolArray, ledger: ErrorLedger, steps: int) -> tuple[float, float]:
    """Return what past windows drifted by without any action, and how many had the same trigger."""
    centre = float(np.median(z[valid]))
    if ledger.same_trigger is None:
        return centre, 0.0
    alike = valid & ledger.same_trigger
    count = _separate_windows(ledger, alike, valid, steps)
    if count < FEWEST_TRIGGERED:
        return centre, count
    share = count / (count + FEWEST_TRIGGERED)
    return share * float(np.median(z[alike])) + (1 - share) * centre, count


def _separate_windows(ledger: ErrorLedger, alike: BoolArray, valid: BoolArray, steps: int) -> float:
    if ledger.origins is None:
        return float(alike.sum()) * min(1.0, ledger.n_past / steps / max(1, int(valid.sum())))
    count, free_from = 0, -1
    for origin in ledger.origins[alike]:
        if origin >= free_from:
            count, free_from = count + 1, int(origin) + steps
    return float(count)


def _error_sd(ledger: ErrorLedger) -> float:
    known = ledger.errors[np.isfinite(ledger.errors)]
    return float(np.std(known)) if known.size > 1 else float("nan")


def _in_sd_units(effect: Effect, metric_sd: float, better: Better) -> Effect:
    if not metric_sd > 0:
        return effect
    sign = -1.0 if better == "lower" else 1.0
    return replace(
        effect,
        effect_sd_units=sign * effect.estimate / metric_sd,
        standard_error_sd_units=effect.standard_error / metric_sd,
    )


def _verdict(
    effect: Effect, better: Better, alpha: float, relevant: float, overlapping: Sequence[str]
) -> Effect:
    if overlapping:
        names = ", ".join(sorted(overlapping))
        return replace(effect, verdict=Verdict.CONFOUNDED, reason=f"the same window holds {names} as well")
    if effect.past_windows < FEWEST_WINDOWS or not np.isfinite(effect.p_value):
        return replace(
            effect,
            verdict=Verdict.INCONCLUSIVE,
            reason=f"{effect.past_windows:.0f} past windows without an action; {FEWEST_WINDOWS} are needed",
        )
    odds = f"p = {effect.p_value:.3g} against {effect.past_windows:.0f} past windows without an action"
    if effect.p_value < alpha:
        went_down = effect.estimate < 0
        verdict = Verdict.IMPROVED if went_down == (better == "lower") else Verdict.WORSE
        return replace(effect, verdict=verdict, reason=odds)
    if max(abs(effect.low), abs(effect.high)) > relevant:
        return replace(
            effect,
            verdict=Verdict.INCONCLUSIVE,
            reason=f"{odds}; a change of {relevant:.3g} cannot be ruled out",
        )
    return replace(
        effect, verdict=Verdict.NO_EFFECT, reason=f"{odds}; a change of {relevant:.3g} is ruled out"
    )


def _checked(observed: FloatArray, forecast: FloatArray) -> tuple[FloatArray, FloatArray]:
    observed, forecast = np.asarray(observed, np.float64), np.asarray(forecast, np.float64)
    if observed.shape != forecast.shape or observed.ndim != 1 or not len(observed):
        raise ForeactError(
            "measure_shape",
            f"Observed values {observed.shape} cannot be compared with a forecast {forecast.shape}.",
            "Give both as one value a step after the action, NaN where missing.",
        )
    return observed, forecast
