"""What was learned of effects that come late or add up."""

from __future__ import annotations

from api.facade import Facade
from api.models.late_effects import LateEffects, LatePolicyShown, LateWordShown
from storage.facts import LATE_POLICIES
from storage.records import GoalType

DECISIONS_SHOWN = 200
OFF = "Nobody looks: executor.late_effects is off, learning is off (executor.enable_learning), or it is a dry run."
TOO_FEW = (
    "Nothing was learned yet: that takes 60 choices that were left to chance, of actions that may act without a person."
)


def late_effects(facade: Facade) -> LateEffects:
    """Return the learned policies, how many choices were logged, and what was said of the newest decisions."""
    options = facade.in_force.executor
    kept = facade.store.facts.matching(LATE_POLICIES)
    policies = [
        LatePolicyShown(
            goal_type=GoalType(kind),
            is_admitted=each.is_admitted,
            since=each.since,
            at=each.at,
            choices=each.choices,
            differing=each.differing,
            followed=each.followed,
            mean_h=each.mean_h,
            low_h=each.low_h,
            sentence=each.sentence,
        )
        for kind, each in sorted(kept.items())
    ]
    is_off = options.late_effects == "off" or not options.enable_learning or options.dry_run
    return LateEffects(
        mode=options.late_effects,
        horizon_hours=options.late_effects_hours,
        logged=dict(facade.store.choices.counts()),
        policies=policies,
        said=_said(facade),
        note=OFF if is_off else None if policies else TOO_FEW,
    )


def _said(facade: Facade) -> list[LateWordShown]:
    return [
        LateWordShown(
            decision_id=each.decision_id,
            goal_id=each.goal_id,
            at=each.at,
            chosen=each.chosen.action,
            instead=each.late.instead,
            gain_h=each.late.gain_h,
            doubt_h=each.late.doubt_h,
            is_admitted=each.late.is_admitted,
        )
        for each in facade.store.decisions.latest(DECISIONS_SHOWN)
        if each.late is not None
    ]
