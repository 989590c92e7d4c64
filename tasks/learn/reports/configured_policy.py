"""What a configuration would have drawn in situations that were logged with the value of every alternative."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from storage.records import NOTHING, Alternative

SEVERE = 0.9
"""From this severity on nothing is left undone on purpose."""


@dataclass(frozen=True)
class ConfiguredPolicy:
    """What of a configuration decides what is drawn: the acts it allows by goal type and their costs, and the holdout.

    An action is allowed for the goal types named with it, for all where none is; one that is not named is not. `costs`
    has those that take the place of the cost that was logged. What is not among `known` either is no matter of the
    configuration, and allowed.
    """

    goal_types: Mapping[str, frozenset[str]]
    costs: Mapping[str, float]
    holdout_ratio: float
    known: frozenset[str]

    def allows(self, action: str, goal_type: str) -> bool:
        """Tell whether it would take an action for a goal of a type."""
        types = self.goal_types.get(action, None if action in self.known else frozenset())
        return types is not None and (not types or goal_type in types)


def shares_of(
    policy: ConfiguredPolicy, weighed: Sequence[Alternative], goal_type: str, severity: float
) -> dict[str, float]:
    """Return the probability of each arm: what is worth most after its cost is taken, but for the holdout.

    `weighed` is all that was weighed, what was chosen included, each with its gain as it was logged. What would be
    tried in order to learn is left out, as is what could not be done at all. Where nothing is worth its cost, nothing
    is done.
    """
    values = {NOTHING: 0.0}
    for each in weighed:
        if each.action == NOTHING or each.gain is None or not policy.allows(each.action, goal_type):
            continue
        value = each.gain - policy.costs.get(each.action, each.cost or 0.0)
        values[each.action] = max(value, values.get(each.action, value))
    best = max(sorted(values), key=lambda name: (values[name], name == NOTHING))
    floor = policy.holdout_ratio if severity < SEVERE else 0.0
    if best == NOTHING:
        return {NOTHING: 1.0}
    return {NOTHING: floor, best: 1.0 - floor} if floor > 0 else {best: 1.0}
