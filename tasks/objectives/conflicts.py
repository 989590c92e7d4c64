"""Wishes that cannot all be fulfilled, said before anything is done about them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations, product

from storage.records import Goal, Objective, metric_of
from tasks.text import limit, unit_of, value


@dataclass(frozen=True)
class Conflict:
    """Two goals, or two objectives, that pull one metric in opposite directions.

    `is_contradiction`: both can never hold at once; otherwise there is room between them, and they compete.
    """

    left: str
    right: str
    metric: str
    statement: str
    is_contradiction: bool


def conflicts(goals: Iterable[Goal]) -> tuple[Conflict, ...]:
    """Return the pairs of goals that want one series lower and higher at once."""
    bounded = [goal for goal in goals if goal.series is not None and goal.bound is not None]
    pairs = []
    for left, right in combinations(bounded, 2):
        if left.series != right.series or left.side == right.side:
            continue
        below, above = (left, right) if left.side == "below" else (right, left)
        assert below.bound is not None
        assert above.bound is not None
        assert left.series is not None
        is_contradiction = below.bound < above.bound
        unit = unit_of(left.series)
        bounds = f"{limit('below', below.bound, unit)} and {limit('above', above.bound, unit)}"
        verdict = "which is impossible" if is_contradiction else "so what helps one harms the other"
        statement = f"{left.series} should be {bounds}, {verdict}."
        pairs.append(Conflict(left.goal_id, right.goal_id, left.series, statement, is_contradiction))
    return tuple(pairs)


def contradictions(objectives: Iterable[Objective]) -> tuple[Conflict, ...]:
    """Return the pairs of objectives that no value of their metric can satisfy: below 10 and above 20.

    Only objectives on the values themselves count: a peak use of at least .2 leaves room for a value under it.
    """
    pairs = []
    for left, right in _opposed([objective for objective in objectives if objective.kind.limits_values]):
        below, above = (left, right) if left.side == "below" else (right, left)
        is_same = left.matches(right.metric) or right.matches(left.metric)
        if is_same and below.bound < above.bound:
            unit = unit_of(below.measured)
            statement = (
                f"{below.name} wants {below.metric} {limit('below', below.bound, unit)}, {above.name} wants it "
                f"{limit('above', above.bound, unit)}: no value is both under {value(below.bound, unit)} and over "
                f"{value(above.bound, unit)}."
            )
            pairs.append(Conflict(below.name, above.name, left.metric, statement, True))
    return tuple(pairs)


def _opposed(objectives: Sequence[Objective]) -> list[tuple[Objective, Objective]]:
    """Return the pairs of opposite sides that name one metric, in the order given: of a thousand mostly none."""
    sides: dict[str, tuple[list[int], list[int]]] = {}
    for place, each in enumerate(objectives):
        for name in {metric_of(each.metric), metric_of(each.measured)}:
            sides.setdefault(name, ([], []))[each.side == "above"].append(place)
    pairs = {(min(pair), max(pair)) for below, above in sides.values() for pair in product(below, above)}
    return [(objectives[left], objectives[right]) for left, right in sorted(pairs)]
