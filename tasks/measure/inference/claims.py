"""What a handler says it achieved, beside what was measured: both are kept, the measurement decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal

from tasks.measure.inference.effect import Effect

Agreement = Literal["agrees", "contradicts", "not measured"]


@dataclass(frozen=True)
class ClaimedChange:
    """A handler's claimed relative change of a metric (-0.2 is 20 % less) and how it stands to the
    measurement."""

    metric: str
    claimed_ratio: float
    measured_ratio: float
    agreement: Agreement
    statement: str


def check_claims(impact: Mapping[str, Any], effects: Mapping[str, Effect]) -> tuple[ClaimedChange, ...]:
    """Hold a handler's `impact` (metric to relative change) against the measured effects.

    A claim agrees where it lies inside the measured interval. One that is not a finite number, or whose
    metric was not measured, is `not measured`: it counts for nothing, in either direction.
    """
    return tuple(_check(metric, claimed, effects.get(metric)) for metric, claimed in impact.items())


def _check(metric: str, claimed: Any, effect: Effect | None) -> ClaimedChange:
    is_number = isinstance(claimed, int | float) and not isinstance(claimed, bool) and isfinite(claimed)
    if not is_number:
        return ClaimedChange(
            metric, float("nan"), float("nan"), "not measured", f"{claimed!r} is not a relative change"
        )
    if effect is None or not effect.is_measured or not isfinite(effect.relative_ratio):
        why = effect.reason if effect else "the metric was not measured"
        return ClaimedChange(metric, float(claimed), float("nan"), "not measured", why)
    level = abs(effect.estimate / effect.relative_ratio) if effect.relative_ratio else abs(effect.expected)
    low, high = effect.low / level, effect.high / level
    agrees = low <= claimed <= high
    statement = (
        f"claimed {claimed:+.1%}, measured {effect.relative_ratio:+.1%} "
        f"({effect.confidence:.0%} interval {low:+.1%} to {high:+.1%})"
    )
    agreement: Agreement = "agrees" if agrees else "contradicts"
    return ClaimedChange(metric, float(claimed), effect.relative_ratio, agreement, statement)
