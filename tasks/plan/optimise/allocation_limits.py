"""What has been taken in a round, and whether a further column fits with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tasks.plan.optimise.columns import Column

ROUNDING = 1e-9
"""So much more than the room there is may be spent: a sum of floats is no better than that."""


@dataclass(frozen=True)
class Limits:
    """What holds over all columns: the most actions in each slot, less those committed already (n_slots,).

    `costs` is by budget how much running cost per hour may be added in all.
    """

    room: tuple[int, ...]
    costs: Mapping[str, float] = field(default_factory=dict)

    def less(self, columns: Iterable[Column]) -> Limits:
        """Return what is left once some columns are taken."""
        room, costs = list(self.room), dict(self.costs)
        for column in columns:
            room[column.slot] -= 1
            for budget, cost in column.costs:
                costs[budget] -= cost
        return Limits(tuple(room), costs)


class Allocation:
    """Columns taken together, indexed by what they take."""

    def __init__(self, limits: Limits, columns: Iterable[Column] = ()) -> None:
        self.limits = limits
        self.columns: list[Column] = []
        self._slots: Counter[int] = Counter()
        self._served: dict[str, Column] = {}
        self._resources: dict[tuple[str, int], list[Column]] = {}
        self._costs: Counter[str] = Counter()
        for column in columns:
            self.add(column)

    def add(self, column: Column) -> None:
        """Take a column."""
        self.columns.append(column)
        self._slots[column.slot] += 1
        self._served.update(dict.fromkeys(column.serves, column))
        for resource in column.resources:
            self._resources.setdefault(resource, []).append(column)
        self._costs.update(dict(column.costs))

    def clash(self, column: Column) -> str | None:
        """Return what keeps a column from being added, None where it fits."""
        if self._slots[column.slot] >= self.limits.room[column.slot]:
            return f"slot {column.slot} is full"
        for goal_id in column.serves:
            if goal_id in self._served:
                return f"{self._served[goal_id].action} already serves one of its goals"
        for resource in column.resources:
            for other in self._resources.get(resource, ()):
                if abs(other.slot - column.slot) < resource[1]:
                    return f"{other.action} uses {resource[0].partition(':')[2]}"
        for budget, cost in column.costs:
            if self._costs[budget] + cost > self.limits.costs[budget] + ROUNDING:
                return f"the budget of {budget} has no room for it"
        return None
