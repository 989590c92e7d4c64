"""Which of the four strategies a goal type should get, by what its outcomes say."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from scipy.special import ndtr

from tasks.learn.beliefs import Learner, Observation, replay
from tasks.learn.features import Context
from tasks.learn.outcomes import OutcomeRow, hour_of_day, is_action, once_each

FEWEST_OUTCOMES = 5
SURE_RATIO = 0.8


@dataclass(frozen=True)
class StrategyChoice:
    """The strategy a goal type should get, why, and how probably each allowed one beats the proposed one."""

    strategy: str
    reason: str
    is_adapted: bool = False
    better_ratio: Mapping[str, float] = field(default_factory=dict)


def strategy_learner(rows: Iterable[OutcomeRow], actions: Learner | None = None) -> Learner:
    """Learn what strategies add, from outcomes in the order recorded.

    With `actions`, each outcome counts by what it achieved beyond what its action is believed to achieve
    for its goal type, so a strategy gets no credit for being used with good actions.
    """
    return replay(_observation(row, actions) for row in once_each(rows) if row.is_measured and is_action(row))


def _observation(row: OutcomeRow, actions: Learner | None) -> Observation:
    hour, expected = hour_of_day(row.at_s), 0.0
    if actions is not None:
        expected = float(actions.effects(Context(row.goal_type), [row.action])[0][0])
    achieved = row.effect_sd_units - expected
    return Observation(row.outcome_id, row.strategy, row.goal_type, hour, achieved, row.se_sd_units)


def adapt_strategy(
    rows: Iterable[OutcomeRow],
    goal_type: str,
    proposed: str,
    allowed: Collection[str],
    *,
    actions: Learner | None = None,
) -> StrategyChoice:
    """Return the strategy for a goal: the proposed one, unless outcomes say that another does better.

    `proposed` is what the goal's urgency suggests, `allowed` what the situation permits (a burning
    objective permits no waiting). Another replaces it once both were tried five times for the goal type and
    it is better with a probability of 80 %.
    """
    measured = [row for row in once_each(rows) if row.is_measured and is_action(row)]
    tried = {name: sum(row.strategy == name and row.goal_type == goal_type for row in measured) for name in allowed}
    rivals = [name for name in sorted(allowed) if name != proposed and tried[name] >= FEWEST_OUTCOMES]
    before = sum(row.strategy == proposed and row.goal_type == goal_type for row in measured)
    if before < FEWEST_OUTCOMES or not rivals:
        return StrategyChoice(
            proposed, f"{before} outcomes of {proposed} for {goal_type}, and too few of others, to judge by"
        )
    learner, context = strategy_learner(measured, actions), Context(goal_type)
    better = {}
    for name in rivals:
        gain, doubt = learner.gain(context, name, proposed)
        better[name] = float(ndtr(gain / doubt))
    best = max(rivals, key=lambda name: (better[name], name))
    if better[best] < SURE_RATIO:
        return StrategyChoice(
            proposed, f"{best} beats {proposed} with a probability of {better[best]:.0%}: not enough", False, better
        )
    return StrategyChoice(best, f"{best} beat {proposed} with a probability of {better[best]:.0%}", True, better)
