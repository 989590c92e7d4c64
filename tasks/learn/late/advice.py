"""What was learned of late effects, in the words of the planner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from storage.records import Goal, GoalType
from tasks.learn.late.choice_log import LateState
from tasks.learn.late.fitted_q import LatePolicy, LateWord, word_of

TRIED_SHARE = 0.1
"""How often each arm that may be tried is drawn at least where the learned policy may be admitted."""


@dataclass(frozen=True)
class LateAdvice:
    """The learned policies by goal type, those that may choose, and where each goal stands, by its id.

    With `tries` arms that may be tried keep a share: what is never done again can teach nothing that comes late.
    """

    policies: Mapping[GoalType, LatePolicy] = field(default_factory=dict)
    admitted: frozenset[GoalType] = frozenset()
    states: Mapping[str, LateState] = field(default_factory=dict)
    tries: bool = False

    def may_choose(self, goal: Goal) -> bool:
        """Tell whether what was learned is done for a goal, rather than only said."""
        return self.tries and goal.goal_type in self.admitted

    def word(self, goal: Goal, usual: Mapping[str, float]) -> LateWord | None:
        """Return what was learned of a choice for a goal that the planner would draw from `usual`, if anything."""
        policy, state = self.policies.get(goal.goal_type), self.states.get(goal.goal_id)
        return word_of(policy, state, usual) if policy is not None and state is not None else None
