"""What other acts do in the window of one: its marginal effect where that can be told, else it is confounded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import sqrt

import numpy as np
from scipy.special import stdtr, stdtrit

from storage.records import FloatArray, Verdict
from tasks.interventions.effect_over_time import ActEffects, PassingAct
from tasks.measure.inference.effect import Effect

CONCLUSIVE = frozenset({Verdict.IMPROVED, Verdict.WORSE})
MOST_DOUBT_RATIO = 2.0
"""How uncertain the others' part may be, in standard errors of the effect itself, before it can no longer be told."""


@dataclass(frozen=True)
class OtherActs:
    """What other acts change in the steps of a window that the forecast does not hold.

    `change` (steps,) is that of acts that began after the forecast was issued; `apart` (steps, n_columns) what differs,
    of all others, from what the forecast carries on, and `covariance` how well their effects are known. `names` are
    those in the window.
    """

    change: FloatArray
    apart: FloatArray
    covariance: FloatArray
    names: tuple[str, ...]

    def sd(self, steps: int, used: FloatArray | None = None) -> float:
        """Return the error that not knowing the others makes in the mean of the first steps."""
        rows = self.apart[:steps] if used is None else self.apart[:steps][used[:steps].astype(bool)]
        if not len(rows):
            return 0.0
        mean = rows.mean(axis=0)
        return sqrt(max(0.0, float(mean @ self.covariance @ mean)))

    def up_to(self, steps: int) -> OtherActs:
        """Return the same for the first steps."""
        return replace(self, change=self.change[:steps], apart=self.apart[:steps])


def other_acts(effects: ActEffects, others: Sequence[PassingAct], first_step: int, steps: int) -> OtherActs:
    """Return what acts other than the one that is judged do in steps from `first_step` of a forecast on.

    `effects` were learned from the history at which the forecast was issued; acts begun before are in the forecast.
    """
    ends_s = effects.ends_s(steps, first_step)
    later = [act for act in others if act.start >= effects.end]
    rows = effects.rows(ends_s, others)
    apart = rows - effects.left(steps, first_step)
    begins_s = ends_s[0] - effects.step_s
    names = [
        act.action_id for act in others if act.start.timestamp() < ends_s[-1] and act.ends_by.timestamp() > begins_s
    ]
    return OtherActs(effects.changes(ends_s, later), apart, effects.covariance, tuple(names))


def with_others(effect: Effect, others: OtherActs, alpha: float, metric_sd: float) -> Effect:
    """Return an effect whose interval also holds what is not known of the other acts in its window.

    It is confounded where that is twice all else that is not known: then they cannot be told apart.
    """
    if not effect.is_measured or not effect.window_steps:
        return effect
    doubt, error = others.sd(effect.window_steps), effect.standard_error
    if doubt <= 1e-9 * error:
        return effect
    if doubt > MOST_DOUBT_RATIO * error:
        reason = f"{', '.join(sorted(others.names))} ran in the same window and cannot be told apart"
        return replace(with_doubt(effect, doubt, alpha, metric_sd, ""), verdict=Verdict.CONFOUNDED, reason=reason)
    return with_doubt(effect, doubt, alpha, metric_sd, "other acts in the same window make it uncertain")


def with_doubt(effect: Effect, doubt: float, alpha: float, metric_sd: float, why: str) -> Effect:
    """Return an effect with a further error that its past windows do not show, in the metric's unit.

    A verdict that this takes away becomes inconclusive, and says `why`.
    """
    error, freedom = effect.standard_error, max(1.0, effect.past_windows - 1)
    whole = sqrt(error**2 + doubt**2)
    if not whole > error:
        return effect
    reach = (
        (effect.high - effect.low) / 2 / error if error > 0 else float(stdtrit(freedom, 0.5 + effect.confidence / 2))
    )
    half = reach * whole
    p_value = float(2 * stdtr(freedom, -abs(effect.estimate) / whole))
    wider = replace(
        effect,
        standard_error=whole,
        standard_error_sd_units=whole / metric_sd if metric_sd > 0 else effect.standard_error_sd_units,
        low=effect.estimate - half,
        high=effect.estimate + half,
        p_value=max(p_value, effect.p_value) if np.isfinite(effect.p_value) else effect.p_value,
    )
    lost = effect.verdict in CONCLUSIVE and wider.p_value >= alpha
    unsure = effect.verdict is Verdict.NO_EFFECT and max(abs(wider.low), abs(wider.high)) > metric_sd
    if not (lost or unsure):
        return wider
    return replace(wider, verdict=Verdict.INCONCLUSIVE, reason=f"{effect.reason}; {why}")
