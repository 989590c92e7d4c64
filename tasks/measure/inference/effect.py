"""What an action changed on a metric, judged against the forecast issued before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Literal

import numpy as np
from scipy.special import stdtr, stdtrit

from storage.errors import ForeactError
from storage.records import FloatArray, Verdict
from tasks.measure.inference.controls import Control, explain_with_controls
from tasks.measure.inference.past_errors import ErrorLedger
from tasks.measure.inference.placebo_windows import PlaceboWindows, compare_windows, placebos, standard_error
from tasks.special import at_least_visible
from tasks.text import number, value

Better = Literal["lower", "higher"]

FEWEST_WINDOWS = 10


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
    expected: float = float("nan")
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
    controls: Sequence[Control] = (),
    window_steps: int | None = None,
    least_observed_ratio: float = 0.5,
    unit: str = "",
) -> Effect:
    """Estimate what an action changed, with an interval that past forecast errors vouch for.

    `observed` (h,) are the values after the action, NaN where missing; `forecast` (h,) the point forecast
    issued before it; `ledger` the errors of past forecasts in windows no action touched. `better` says
    which way the goal wants the metric to move; p below `alpha` counts. `metric_sd` is the metric's
    standard deviation (default: that of its past errors); `relevant_effect`, in the metric's unit, the
    smallest change worth knowing (default: one standard deviation): an interval that cannot exclude it is
    inconclusive rather than `no effect`. `overlapping` names other actions on the same metric and window;
    `controls` are metrics the action does not touch; `window_steps` is the length fixed with the estimand
    (default: what the ledger supports). Fewer than `least_observed_ratio` of the window's steps observed is
    `unknown`, never success. `unit` is the metric's, for the reason in words. Raises ForeactError `measure_shape`
    where the two arrays differ in shape.

    The mean error of the window is compared with those of past windows, each divided by the scale of its
    time: the randomisation idea of placebo tests in time (Abadie, Diamond, Hainmueller 2010,
    doi:10.1198/jasa.2009.ap08746), with a Student t in the place of the permutation distribution since past
    windows are few.
    """
    observed, forecast = _checked(observed, forecast)
    steps = min(window_steps or ledger.window_steps(len(forecast)), len(forecast), int(ledger.errors.shape[1]))
    used = (np.isfinite(observed) & np.isfinite(forecast))[:steps]
    seen = int(used.sum())
    blank = Effect(Verdict.UNKNOWN, "", confidence=confidence, window_steps=steps, observed_steps=seen)
    if not np.isfinite(forecast[:steps]).any():
        return replace(blank, reason="there is no forecast from before the action")
    if not seen or seen < least_observed_ratio * steps:
        return replace(blank, reason=f"{seen} of {steps} steps after the action were observed")
    windows, names = explain_with_controls(compare_windows(observed, forecast, ledger, steps), controls, ledger)
    raw = replace(blank, estimate=windows.current * windows.unit, controls_used=names)
    level, actual = float(np.mean(forecast[:steps][used])), float(np.mean(observed[:steps][used]))
    effect = _judge(raw, windows, ledger, level, actual)
    sd = at_least_visible(float(metric_sd or _error_sd(ledger)), windows.level)
    effect = _in_sd_units(effect, sd, better)
    return _verdict(effect, windows, better, alpha, relevant_effect or sd, unit, overlapping)


def _judge(effect: Effect, windows: PlaceboWindows, ledger: ErrorLedger, level: float, actual: float) -> Effect:
    count = windows.count
    effect = replace(effect, past_windows=count)
    if count < 2:
        return effect
    nothing = placebos(windows, ledger)
    error = standard_error(windows, nothing)
    estimate = (windows.current - nothing.centre) * windows.unit
    half = float(stdtrit(windows.independent_count - 1, 0.5 + effect.confidence / 2)) * error
    return replace(
        effect,
        estimate=estimate,
        low=estimate - half,
        high=estimate + half,
        standard_error=error,
        p_value=_p_value(estimate, error, windows),
        expected=actual - estimate,
        relative_ratio=estimate / abs(level) if level else float("nan"),
        triggered_windows=nothing.triggered,
    )


def _p_value(estimate: float, error: float, windows: PlaceboWindows) -> float:
    # What rests on one value has no bell curve: only how often it moved that far can be counted.
    if windows.is_resting or not error > 0:
        return windows.exact_p_value
    return float(2 * stdtr(windows.independent_count - 1, -abs(estimate) / error))


def _error_sd(ledger: ErrorLedger) -> float:
    errors = ledger.errors[np.isfinite(ledger.errors)]
    return float(np.std(errors)) if errors.size > 1 else float("nan")


def _in_sd_units(effect: Effect, metric_sd: float, better: Better) -> Effect:
    if not metric_sd > 0:
        # A metric that is zero and stays there has no scale: only no change at all can be told in any.
        return replace(effect, effect_sd_units=0.0, standard_error_sd_units=0.0) if effect.estimate == 0 else effect
    sign = -1.0 if better == "lower" else 1.0
    return replace(
        effect,
        effect_sd_units=sign * effect.estimate / metric_sd + 0.0,
        standard_error_sd_units=effect.standard_error / metric_sd,
    )


def _verdict(
    effect: Effect,
    windows: PlaceboWindows,
    better: Better,
    alpha: float,
    relevant: float,
    unit: str,
    overlapping: Sequence[str],
) -> Effect:
    if overlapping:
        names = ", ".join(sorted(overlapping))
        return replace(effect, verdict=Verdict.CONFOUNDED, reason=f"{names} ran in the same window")
    if effect.past_windows < FEWEST_WINDOWS or not np.isfinite(effect.p_value):
        return replace(
            effect,
            verdict=Verdict.INCONCLUSIVE,
            reason=f"{effect.past_windows:.0f} past windows without an action; {FEWEST_WINDOWS} are needed",
        )
    change = f"a change of {value(relevant, unit, digits=3)}"
    odds = _odds(effect, windows)
    if effect.p_value < alpha:
        went_down = effect.estimate < 0
        verdict = Verdict.IMPROVED if went_down == (better == "lower") else Verdict.WORSE
        return replace(effect, verdict=verdict, reason=odds)
    if max(abs(effect.low), abs(effect.high)) > relevant:
        return replace(
            effect,
            verdict=Verdict.INCONCLUSIVE,
            reason=f"{odds}; {change} cannot be ruled out",
        )
    ruled_out = f"; {change} is ruled out" if relevant else ""
    return replace(effect, verdict=Verdict.NO_EFFECT, reason=f"{odds}{ruled_out}")


def _odds(effect: Effect, windows: PlaceboWindows) -> str:
    against = f"{effect.past_windows:.0f} past windows without an action"
    if not windows.never_moved:
        return f"p = {number(effect.p_value, 3)} against {against}"
    now = "nor did it now" if effect.p_value == 1 else f"and now it did (p = {number(effect.p_value, 3)})"
    return f"it never moved in {against}, {now}"


def _checked(observed: FloatArray, forecast: FloatArray) -> tuple[FloatArray, FloatArray]:
    observed, forecast = np.asarray(observed, np.float64), np.asarray(forecast, np.float64)
    if observed.shape != forecast.shape or observed.ndim != 1 or not len(observed):
        raise ForeactError(
            "measure_shape",
            f"Observed values {observed.shape} cannot be compared with a forecast {forecast.shape}.",
            "Give both as one value a step after the action, NaN where missing.",
        )
    return observed, forecast
