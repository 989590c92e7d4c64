"""Every metric an action may have touched, measured together: its target, its guards, its side effects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from storage.errors import ForeactError
from storage.records import FloatArray, Verdict
from tasks.growth import growth, resets
from tasks.measure.inference.controls import Control
from tasks.measure.inference.counters import growth_ledger, is_counter
from tasks.measure.inference.effect import Better, Effect, measure_effect
from tasks.measure.inference.past_errors import ErrorLedger
from tasks.text import unit_of

Role = Literal["target", "guard", "side_effect"]


@dataclass(frozen=True)
class MetricWindow:
    """One metric around an action: what was forecast before it, what came after, and the metric's ledger.

    `observed` and `forecast` are (h,); `better`, `metric_sd` and `window_steps` as for `measure_effect`;
    `overlapping` names the other actions that reached this metric in the same window; `had_moved` tells that it stood
    further off its forecast before the action than ever.
    """

    name: str
    observed: FloatArray
    forecast: FloatArray
    ledger: ErrorLedger
    role: Role = "target"
    better: Better = "lower"
    metric_sd: float | None = None
    relevant_effect: float | None = None
    overlapping: Sequence[str] = ()
    had_moved: bool = False
    controls: Sequence[Control] = field(default=())
    window_steps: int | None = None


def measure_many(
    windows: Sequence[MetricWindow], *, confidence: float = 0.90, alpha: float = 0.05
) -> dict[str, Effect]:
    """Measure an action's effect on every metric, in the order given.

    Targets and guards are each judged at `alpha`: there are few, chosen beforehand. Side effects are looked
    for among many metrics, so their verdicts hold at a false discovery rate of `alpha` (Benjamini and
    Hochberg 1995, doi:10.1111/j.2517-6161.1995.tb02031.x): one that no longer stands out becomes `no
    effect`. Returns an effect for each name; one metric's missing data leaves the others as they are.
    Raises ForeactError `measure_duplicate` where a name comes twice.
    """
    names = [window.name for window in windows]
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ForeactError(
            "measure_duplicate", f"Metrics given twice: {', '.join(twice)}.", "Give each metric one role."
        )
    effects = {window.name: _told_apart(window, _measure(window, confidence, alpha)) for window in windows}
    measured = [
        window.name
        for window in windows
        if window.role == "side_effect" and effects[window.name].verdict in _SIGNIFICANT
    ]
    tested = [
        effects[window.name].p_value
        for window in windows
        if window.role == "side_effect" and np.isfinite(effects[window.name].p_value)
    ]
    limit = false_discovery_limit(tested, alpha)
    weak = {
        name: replace(
            effects[name],
            verdict=Verdict.NO_EFFECT,
            reason=f"{effects[name].reason}; not significant among {len(tested)} metrics tested",
        )
        for name in measured
        if effects[name].p_value > limit
    }
    return effects | weak


HAD_MOVED = "it had moved just before, further than ever: whether it would have come back by itself is not known"
_SIGNIFICANT = frozenset({Verdict.IMPROVED, Verdict.WORSE})


def _told_apart(window: MetricWindow, effect: Effect) -> Effect:
    """Return the effect of an action, confounded where a move of the metric was under way before it."""
    if not (window.had_moved and effect.is_measured):
        return effect
    return replace(effect, verdict=Verdict.CONFOUNDED, reason=HAD_MOVED)


def _measure(window: MetricWindow, confidence: float, alpha: float) -> Effect:
    """Measure one metric: its level, or the growth a step of a counter, which has no level that could be compared."""
    controls = [_grown_control(each) if is_counter(each.name, each.ledger) else each for each in window.controls]
    if not is_counter(window.name, window.ledger):
        return _effect(replace(window, controls=controls), confidence, alpha)
    grown = replace(
        window,
        observed=growth(window.observed, resets(window.observed)),
        forecast=growth(window.forecast),
        ledger=growth_ledger(window.ledger),
        metric_sd=None,
        relevant_effect=None,
        controls=controls,
    )
    effect = _effect(grown, confidence, alpha)
    return replace(effect, reason=f"{effect.reason}; judged by its growth a step, since it counts up")


def _grown_control(control: Control) -> Control:
    """Return a control by its growth; that of the first step is not known, and says nothing."""
    observed, forecast = growth(control.observed, resets(control.observed)), growth(control.forecast)
    ledger = growth_ledger(control.ledger)
    observed[:1] = forecast[:1] = ledger.errors[:, :1] = 0.0
    return replace(control, observed=observed, forecast=forecast, ledger=ledger)


def _effect(window: MetricWindow, confidence: float, alpha: float) -> Effect:
    return measure_effect(
        window.observed,
        window.forecast,
        window.ledger,
        better=window.better,
        confidence=confidence,
        alpha=alpha,
        metric_sd=window.metric_sd,
        relevant_effect=window.relevant_effect,
        overlapping=window.overlapping,
        controls=window.controls,
        window_steps=window.window_steps,
        unit=unit_of(window.name),
    )


def false_discovery_limit(p_values: Sequence[float], alpha: float) -> float:
    """Return the largest p-value that still counts at false discovery rate `alpha`; 0 where none does."""
    ordered = np.sort(np.asarray(p_values, dtype=np.float64))
    passing = ordered[ordered <= alpha * np.arange(1, len(ordered) + 1) / max(1, len(ordered))]
    return float(passing[-1]) if passing.size else 0.0
