"""Which of the four strategies a goal type should get, by what its outcomes say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tasks.learn.beliefs import Learner, Observation, replay
from tasks.learn.features import Situation
from tasks.learn.outcome_rows import OutcomeRow, is_action, once_each
from tasks.maintenance import hour_of_day
from tasks.special import ndtr
from tasks.text import percent

FEWEST_OUTCOMES = 5
SURE_RATIO = 0.8


@dataclass(frozen=True)
class StrategyChoice:
    """The strategy a goal type should get, why, and how probably each allowed one beats the proposed one."""

    strategy: str
    reason: str
    is_adapted: bool = False
    better_ratio: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class StrategyAdvice:
    """What outcomes say of strategies, small enough to be kept and read at every planning round.

    `tried[goal type][strategy]` counts measured outcomes, `better[goal type][one][other]` is the probability that one
    strategy achieves more than another, for those tried often enough.
    """

    tried: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    better: Mapping[str, Mapping[str, Mapping[str, float]]] = field(default_factory=dict)

    def choose(self, goal_type: str, proposed: str, allowed: Collection[str]) -> StrategyChoice:
        """Return the strategy for a goal: the proposed one, unless outcomes say that another does better.

        `proposed` is what the goal's urgency suggests, `allowed` what the situation permits (a burning objective
        permits no waiting). Another replaces it once both were tried five times for the goal type and it is better
        with a probability of 80 %.
        """
        better_than = self.better.get(goal_type, {})
        rivals = {
            name: better_than[name][proposed] for name in sorted(allowed) if proposed in better_than.get(name, {})
        }
        if not rivals:
            before = self.tried.get(goal_type, {}).get(proposed, 0)
            why = f"too few outcomes to compare strategies for {goal_type} ({before} of {proposed})"
            return StrategyChoice(proposed, why)
        best = max(rivals, key=lambda name: (rivals[name], name))
        if rivals[best] < SURE_RATIO:
            why = f"{best} is better than {proposed} with a probability of only {percent(rivals[best])}"
            return StrategyChoice(proposed, why, False, rivals)
        why = f"{best} is better than {proposed} with a probability of {percent(rivals[best])}"
        return StrategyChoice(best, why, True, rivals)

    def best(self, goal_type: str) -> str | None:
        """Return the strategy that beats every other one tried for a goal type with 80 %; None where none does."""
        better_than = self.better.get(goal_type, {})
        sure = [name for name, others in better_than.items() if others and min(others.values()) >= SURE_RATIO]
        return sure[0] if sure else None

    def to_record(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"tried": self.tried, "better": self.better}

    @staticmethod
    def from_record(record: Mapping[str, Any] | None) -> StrategyAdvice:
        """Read what `to_record` wrote; without a record nothing is advised."""
        return StrategyAdvice(record["tried"], record["better"]) if record else StrategyAdvice()


def strategy_learner(rows: Iterable[OutcomeRow], actions: Learner | None = None) -> Learner:
    """Learn what strategies add, from outcomes in the order recorded.

    With `actions`, each outcome counts by what it achieved beyond what its action is believed to achieve
    for its goal type, so a strategy gets no credit for being used with good actions.
    """
    return replay(_observation(row, actions) for row in once_each(rows) if row.is_measured and is_action(row))


def _observation(row: OutcomeRow, actions: Learner | None) -> Observation:
    hour, expected = hour_of_day(row.at_s), 0.0
    if actions is not None:
        expected = float(actions.effects(Situation(row.goal_type), [row.action])[0][0])
    achieved = row.effect_sd_units - expected
    return Observation(row.outcome_id, row.strategy, row.goal_type, hour, achieved, row.se_sd_units)


def strategy_advice(rows: Iterable[OutcomeRow], actions: Learner | None = None) -> StrategyAdvice:
    """Compare, for each goal type, the strategies tried at least five times; rows in the order recorded."""
    measured = [row for row in once_each(rows) if row.is_measured and is_action(row)]
    tried: dict[str, Counter[str]] = {}
    for row in measured:
        tried.setdefault(row.goal_type, Counter())[row.strategy] += 1
    strategies = {
        goal: sorted(n for n, count in each.items() if count >= FEWEST_OUTCOMES) for goal, each in tried.items()
    }
    if not any(len(names) > 1 for names in strategies.values()):
        return StrategyAdvice({goal: dict(each) for goal, each in tried.items()})
    learner = strategy_learner(measured, actions)
    better = {
        goal: {one: {other: _better(learner, goal, one, other) for other in names if other != one} for one in names}
        for goal, names in strategies.items()
        if len(names) > 1
    }
    return StrategyAdvice({goal: dict(each) for goal, each in tried.items()}, better)


def _better(learner: Learner, goal_type: str, one: str, other: str) -> float:
    gain, doubt = learner.gain(Situation(goal_type), one, other)
    return ndtr(gain / doubt)
