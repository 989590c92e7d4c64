"""The learn stage: beliefs about actions follow from measured outcomes, and from nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from storage.facts import CONSIDERED
from storage.records import Belief, stable_id
from tasks.context import Context
from tasks.learn.beliefs import HierarchicalLearner, Learner, Restored, replay, restore, unlearned
from tasks.learn.durations import learn_durations
from tasks.learn.knowledge import _recorded, learned_from
from tasks.learn.late_review import review_late
from tasks.learn.outcome_rows import OutcomeRow
from tasks.learn.publish import has_moved, publish, review_levels, review_proposers
from tasks.stage import stage

LOOKED_AT = 5_000
"""How many of the newest outcomes are told of; what is believed rests on all of them."""


def _summary(belief: Belief | None) -> Mapping[str, Any]:
    return {"outcomes": belief.outcome_count if belief else 0}


@stage("learn", _summary)
def learn(context: Context) -> Belief | None:
    """Take in the outcomes not learned from yet; return the new belief, or None where nothing was new."""
    if not context.settings.executor.enable_learning:
        return None
    review_late(context)
    belief_before, count = context.store.outcomes.belief(), context.store.outcomes.target_count()
    if not count:
        return None
    restored = restore(belief_before.state, _recorded(context)) if belief_before else Restored(HierarchicalLearner())
    considered = context.store.facts.get(CONSIDERED) or 0
    # A change beside the aim may turn out not to be an act's: it outlasted it.
    is_seen_anew = has_moved(context)
    if considered == count and not restored.note and not is_seen_anew:
        return None
    is_sound = belief_before is not None and not restored.note
    outcomes = context.store.outcomes.targets(newest=LOOKED_AT if is_sound else None)
    fresh = unlearned(restored.learner, learned_from(context, outcomes))
    if belief_before and restored.note:
        context.store.audit.append("loop", "belief replayed", belief_before.belief_id, {"note": restored.note})
    learner = replay(fresh, restored.learner)
    belief = _believe(context, learner) if fresh or restored.note else None
    if considered != count or is_seen_anew:
        harmful = context.store.outcomes.harmful()
        rows = [OutcomeRow.of(outcome, harmful) for outcome in outcomes[-LOOKED_AT:]]
        publish(context, rows, learner, considered, count)
    if considered != count:
        # Once for every new outcome: one that taught nothing may still be a failure.
        learn_durations(context)
        review_levels(context, rows)
        review_proposers(context, {each.action_id: row for each, row in zip(outcomes[-LOOKED_AT:], rows, strict=True)})
        context.store.facts.set(CONSIDERED, count)
    return belief


def _believe(context: Context, learner: Learner) -> Belief:
    belief = Belief(
        belief_id=stable_id("belief", context.cycle_id, learner.outcome_count),
        at=context.tick,
        outcome_count=learner.outcome_count,
        state=learner.to_record(),
    )
    context.store.outcomes.believe(belief, context.cycle_id)
    return belief
