"""What is believed, for whoever asks: the plan, the measurement and the learn stage itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from storage.facts import INSIGHTS
from storage.records import FloatArray, GoalType, Outcome
from tasks.context import Context
from tasks.learn.beliefs import HierarchicalLearner, Learner, Observation, restore
from tasks.learn.choice import propensities
from tasks.learn.features import Situation as Situation
from tasks.learn.outcome_rows import OutcomeRow, observations
from tasks.learn.reports.realised import RealisedGain
from tasks.learn.strategy_advice import StrategyAdvice


def observations_of(outcomes: Iterable[Outcome]) -> list[Observation]:
    """Return what outcomes teach: those with a number and an interval that nothing else disturbed."""
    return observations(OutcomeRow.of(outcome) for outcome in outcomes)


def _recorded(context: Context) -> Iterator[Observation]:
    """Yield what all outcomes teach; nothing is read before the first is asked for."""
    yield from observations_of(context.store.outcomes.targets())


def current_learner(context: Context) -> Learner:
    """Return the learner as it stands; a fresh one before the first outcome."""
    belief = context.store.outcomes.belief()
    return restore(belief.state, _recorded(context)).learner if belief else HierarchicalLearner()


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
    """Return what outcomes say of the strategies: `.choose(goal_type, proposed, allowed)`, `.best(goal_type)`."""
    return StrategyAdvice.from_record(_insights(context).get("strategy_advice"))


def realised_by_action(context: Context) -> dict[str, RealisedGain]:
    """Return, by action, the effects believed when its acts began beside those measured; kept by the learn stage."""
    return {action: RealisedGain(**gain) for action, gain in _insights(context).get("predictions", {}).items()}


def _insights(context: Context) -> dict[str, Any]:
    """Return what the newest learn stage told, so that this costs one row however many outcomes there are."""
    return context.store.facts.get(INSIGHTS) or {}
