"""The learn stage: beliefs about actions follow from measured outcomes, and from nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from storage.records import Belief, FloatArray, GoalType, Outcome, stable_id
from tasks.context import Context
from tasks.learn.beliefs import HierarchicalLearner, Learner, Observation, Restored, replay, restore, unlearned
from tasks.learn.choice import propensities
from tasks.learn.consequences import ADVICE_FACT, REALISED_FACT, publish, review_levels
from tasks.learn.features import Context as Situation
from tasks.learn.outcomes import OutcomeRow, observations
from tasks.learn.realised import RealisedGain
from tasks.learn.strategy import StrategyAdvice
from tasks.stage import stage

CONSIDERED_FACT = "outcomes.considered"
LOOKED_AT = 5_000
"""How many of the newest outcomes are told of; what is believed rests on all of them."""


def _summary(belief: Belief | None) -> Mapping[str, Any]:
    return {"outcomes": belief.outcome_count if belief else 0}


@stage("learn", _summary)
def learn(context: Context) -> Belief | None:
    """Take in the outcomes not learned from yet; return the new belief, or None where nothing was new."""
    if not context.settings.executor.enable_learning:
        return None
    known, count = context.store.outcomes.belief(), context.store.outcomes.target_count()
    if not count:
        return None
    restored = restore(known.state, _recorded(context)) if known else Restored(HierarchicalLearner())
    is_considered = context.store.facts.get(CONSIDERED_FACT, 0) == count
    if is_considered and not restored.note:
        return None
    is_sound = known is not None and not restored.note
    outcomes = context.store.outcomes.targets(newest=LOOKED_AT if is_sound else None)
    fresh = unlearned(restored.learner, observations_of(outcomes))
    if known and restored.note:
        context.store.audit.append("loop", "belief replayed", known.belief_id, {"note": restored.note})
    learner = replay(fresh, restored.learner)
    belief = _believe(context, learner) if fresh or restored.note else None
    if not is_considered:
        # Once for every new outcome: one that taught nothing may still be a failure.
        harmful = context.store.outcomes.harmful()
        rows = [OutcomeRow.of(outcome, harmful) for outcome in outcomes[-LOOKED_AT:]]
        publish(context, rows, learner, count)
        review_levels(context, rows)
        context.store.facts.set(CONSIDERED_FACT, count)
    return belief


def observations_of(outcomes: Iterable[Outcome]) -> list[Observation]:
    """Return what outcomes teach: those with a number and an interval that nothing else disturbed."""
    return observations(OutcomeRow.of(outcome) for outcome in outcomes)


def _recorded(context: Context) -> Iterator[Observation]:
    """Yield what all outcomes teach; nothing is read before the first is asked for."""
    yield from observations_of(context.store.outcomes.targets())


def _believe(context: Context, learner: Learner) -> Belief:
    belief = Belief(
        belief_id=stable_id("belief", context.cycle_id, learner.outcome_count),
        at=context.tick,
        outcome_count=learner.outcome_count,
        state=learner.to_record(),
    )
    context.store.outcomes.believe(belief, context.cycle_id)
    return belief


def current_learner(context: Context) -> Learner:
    """Return the learner as it stands; a fresh one before the first outcome."""
    known = context.store.outcomes.belief()
    return restore(known.state, _recorded(context)).learner if known else HierarchicalLearner()


@dataclass(frozen=True)
class LearnedBeliefs:
    """The learner in the words of the planner."""

    learner: Learner
    hour: float
    nothing_floor: float

    def effect(self, action: str, goal_type: GoalType) -> tuple[float, float]:
        """Return mean and standard deviation of an action's effect, in sd of the metric, positive toward the goal."""
        mean, deviation = self.learner.effects(Situation(goal_type, self.hour), [action])
        return float(mean[0]), float(deviation[0])

    def propensities(self, goal_type: GoalType, actions: Sequence[str], hour: float, seed: int) -> FloatArray:
        """Return the probability of drawing each action, (n_actions,)."""
        situation = Situation(goal_type, hour)
        return propensities(self.learner, situation, list(actions), seed, nothing_floor=self.nothing_floor)


def planner_beliefs(context: Context) -> LearnedBeliefs:
    """Return what the planner is to believe at this tick."""
    hour = context.tick.hour + context.tick.minute / 60
    return LearnedBeliefs(current_learner(context), hour, context.settings.executor.holdout_ratio)


def learned_strategies(context: Context) -> StrategyAdvice:
    """Return what outcomes say of the strategies: `.choose(goal_type, proposed, allowed)`, `.best(goal_type)`.

    Kept by the newest learn stage, so that reading it costs one small row however many outcomes there are.
    """
    return StrategyAdvice.from_record(context.store.facts.get(ADVICE_FACT))


def realised_by_action(context: Context) -> dict[str, RealisedGain]:
    """Return, by action, the effects believed when its acts began beside those measured; kept by the learn stage."""
    kept = context.store.facts.get(REALISED_FACT, {})
    return {action: RealisedGain(**gain) for action, gain in kept.items()}
