"""How far the proposals of one may go: earned by what their acts changed, and lost by it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from storage.records import Autonomy, FloatArray
from tasks.learn.autonomy import DEFAULTS, EFFECT_LIMIT_SD, Review
from tasks.learn.outcome_rows import OutcomeRow
from tasks.learn.pooled_effect import PooledEffect, always_valid_low, pooled_effect
from tasks.text import percent

ON_TRIAL = 8
"""After so many acts a proposer must have shown a use; they are also the acts that it is judged by."""


def review_proposer(level: Autonomy, rows: Sequence[OutcomeRow]) -> Review:
    """Decide what the proposals of one may lead to, from the outcomes of their acts, oldest first.

    They are refused as soon as several of the last five did harm or failed, and once eight have no effect that is above
    zero: unlike an action of the loop's own, a proposer must show its use. They may act without a person once the
    effect of all is above zero at every review at once and few failed.
    """
    recent = rows[-DEFAULTS.recent :]
    harm, failures = sum(row.did_harm for row in recent), sum(row.is_failure for row in recent)
    if harm >= DEFAULTS.worse_lost:
        return _refused(level, f"{harm} of its last {len(recent)} acts made things worse")
    if failures >= DEFAULTS.failures_lost:
        return _refused(level, f"{failures} of its last {len(recent)} acts failed")
    if len(rows) < ON_TRIAL:
        return Review(level, f"{len(rows)} of {ON_TRIAL} acts are measured", False)
    pooled = _pooled(rows[-ON_TRIAL:])
    if pooled is None or pooled.low <= 0:
        found = "none could be measured" if pooled is None else f"their effect is {pooled.mean:+.2f} sd at best guess"
        return _refused(level, f"its last {ON_TRIAL} acts were of no use that can be told from chance: {found}")
    effects, errors, windows = _measured(rows)
    surely_above = always_valid_low(effects, errors, past_windows=windows)
    failed = sum(row.is_failure for row in rows) / len(rows)
    if level is not Autonomy.AUTO and surely_above > 0 and failed <= DEFAULTS.highest_failure_ratio:
        reason = (
            f"the effect of {len(rows)} acts is certainly above {surely_above:.2f} sd, and {percent(failed)} failed"
        )
        return Review(Autonomy.AUTO, reason, True)
    return Review(level, f"the effect of its last {ON_TRIAL} acts is {pooled.mean:+.2f} sd", False)


def _refused(level: Autonomy, reason: str) -> Review:
    return Review(Autonomy.OBSERVE, reason, level is not Autonomy.OBSERVE)


def _pooled(rows: Sequence[OutcomeRow]) -> PooledEffect | None:
    effects, errors, windows = _measured(rows)
    return pooled_effect(effects, errors, past_windows=windows) if len(effects) else None


def _measured(rows: Sequence[OutcomeRow]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return effects, their standard errors and the windows each was held against, (n,) each, of what was measured."""
    measured = [row for row in rows if row.is_measured]
    # As of pairs: one freak outcome must not earn a promotion.
    effects = np.clip([row.effect_sd_units for row in measured], -EFFECT_LIMIT_SD, EFFECT_LIMIT_SD)
    errors = np.array([row.se_sd_units for row in measured])
    return effects, errors, np.array([row.past_windows for row in measured])
