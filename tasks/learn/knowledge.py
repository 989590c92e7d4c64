"""What is believed, for whoever asks: the plan, the measurement and the learn stage itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from typing import Any

from storage.facts import INSIGHTS
from storage.records import NOTHING, Goal, Outcome
from tasks.context import Context
from tasks.learn.beliefs import HierarchicalLearner, Learner, Observation, restore
from tasks.learn.features import Situation as Situation
from tasks.learn.outcome_rows import OutcomeRow, observations
from tasks.learn.pair_beliefs import PairBeliefs, SequenceOutcome
from tasks.learn.reports.realised import RealisedGain
from tasks.learn.strategy_advice import StrategyAdvice
from tasks.maintenance import hour_of_day


def observations_of(
    outcomes: Iterable[Outcome], targets: Mapping[str, str] | None = None, zone: tzinfo = UTC
) -> list[Observation]:
    """Return what outcomes teach: those with a number and an interval that nothing else disturbed.

    `targets` are what the acts acted on, by id; the hour at which was acted is that of `zone`.
    """
    return observations((OutcomeRow.of(outcome, targets=targets) for outcome in outcomes), zone)


def learned_from(context: Context, outcomes: Iterable[Outcome]) -> list[Observation]:
    """Return what outcomes teach here: by the configured clock, and with what was acted on."""
    return observations_of(outcomes, context.store.outcomes.acted_on(), context.zone)


def _recorded(context: Context) -> Iterator[Observation]:
    """Yield what all outcomes teach; nothing is read before the first is asked for."""
    yield from learned_from(context, context.store.outcomes.targets())


def current_learner(context: Context) -> Learner:
    """Return the learner as it stands; a fresh one before the first outcome."""
    belief = context.store.outcomes.belief()
    return restore(belief.state, _recorded(context)).learner if belief else HierarchicalLearner()


@dataclass(frozen=True)
class LearnedBeliefs:
    """The learner in the words of the planner."""

    learner: Learner
    hour: float
    off_usual_sd: Mapping[str, float] = field(default_factory=dict)

    def effect(self, action: str, goal: Goal, target: str) -> tuple[float, float]:
        """Return how much more an action on a target moves a goal's metric toward the goal than nothing does.

        Mean and standard deviation, in sd of the metric.
        """
        return self.learner.gain(self._situation(goal, target), action, NOTHING)

    def doubt_before(self, action: str, goal: Goal, target: str) -> float:
        """Return the standard deviation of that before anything was measured."""
        return self.learner.doubt_before(self._situation(goal, target), action)

    def _situation(self, goal: Goal, target: str) -> Situation:
        off = self.off_usual_sd.get(goal.goal_id, 0.0)
        return Situation(goal.goal_type, self.hour, goal.series or "", target, off)


def planner_beliefs(context: Context, off_usual_sd: Mapping[str, float]) -> LearnedBeliefs:
    """Return what the planner is to believe at this tick, where goals' metrics stand out so far, by goal."""
    hour = hour_of_day(context.tick.timestamp(), context.zone)
    return LearnedBeliefs(current_learner(context), hour, off_usual_sd)


def beliefs_of_pairs(context: Context, learner: Learner) -> PairBeliefs:
    """Return what outcomes of sequences say of actions together, given what is believed of each alone."""
    outcomes = context.store.outcomes.of_sequences()
    acted_on = context.store.outcomes.acted_on() if outcomes else {}
    rows = (OutcomeRow.of(each, targets=acted_on) for each in outcomes)
    return PairBeliefs(tuple(_together(row, learner, context.zone) for row in rows if row.is_measured))


def _together(row: OutcomeRow, learner: Learner, zone: tzinfo) -> SequenceOutcome:
    at = Situation(row.goal_type, hour_of_day(row.at_s, zone), row.series, row.target)
    anyway = float(learner.effects(at, [NOTHING])[0][0])
    alone = tuple(learner.gain(at, name, NOTHING) for name in row.steps)
    return SequenceOutcome(row.goal_type, row.steps, row.effect_sd_units - anyway, row.se_sd_units, alone)


def learned_strategies(context: Context) -> StrategyAdvice:
    """Return what outcomes say of the strategies: `.choose(goal_type, proposed, allowed)`, `.best(goal_type)`."""
    return StrategyAdvice.from_record(_insights(context).get("strategy_advice"))


def realised_by_action(context: Context) -> dict[str, RealisedGain]:
    """Return, by action, the effects believed when its acts began beside those measured; kept by the learn stage."""
    return {action: RealisedGain(**gain) for action, gain in _insights(context).get("predictions", {}).items()}


def measured_changes(context: Context) -> dict[tuple[str, str], tuple[float, float]]:
    """Return what each action was measured to change on each series, wanted or not: by (action, series).

    Mean change and its standard error, in the metric's unit.
    """
    return {
        (each["action"], each["series"]): (each["mean_change"], each["standard_error"])
        for each in _insights(context).get("contributions", ())
        if each.get("standard_error") is not None
    }


def _insights(context: Context) -> dict[str, Any]:
    """Return what the newest learn stage told, so that this costs one row however many outcomes there are."""
    return context.store.facts.get(INSIGHTS) or {}
