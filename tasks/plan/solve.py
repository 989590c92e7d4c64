"""Choose columns: a binary programme, and the greedy choice that stands in for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tasks.plan.columns import Column

_TIME_LIMIT_S = 0.5
_GAP_RATIO = 0.005


@dataclass(frozen=True)
class Limits:
    """What holds over all columns: the most actions a slot, less those committed already (n_slots,)."""

    room: tuple[int, ...]


@dataclass(frozen=True)
class Row:
    """One constraint: of these columns at most `most` may be chosen; `name` says what is scarce."""

    name: str
    members: tuple[int, ...]
    most: int


def rows_of(columns: Sequence[Column], limits: Limits) -> list[Row]:
    """Return the constraints that can bind: one action a goal, room in each slot, every resource for its time."""
    rows: list[Row] = []
    by_goal: dict[str, list[int]] = {}
    by_slot: dict[int, list[int]] = {}
    by_resource: dict[tuple[str, int], list[int]] = {}
    for index, column in enumerate(columns):
        by_slot.setdefault(column.slot, []).append(index)
        for goal_id in column.serves:
            by_goal.setdefault(goal_id, []).append(index)
        for resource in column.resources:
            by_resource.setdefault(resource, []).append(index)
    rows += [Row(f"goal:{goal_id}", tuple(members), 1) for goal_id, members in by_goal.items()]
    rows += [Row(f"slot:{slot}", tuple(members), limits.room[slot]) for slot, members in by_slot.items()]
    for (name, spacing), members in by_resource.items():
        rows += _spaced(name, spacing, members, columns)
    return [row for row in rows if len(row.members) > row.most]


def _spaced(name: str, spacing: int, members: Sequence[int], columns: Sequence[Column]) -> Iterable[Row]:
    """Return at most one in every run of `spacing` slots; runs that hold no more than the one before are left out."""
    if len({columns[index].goal_id for index in members}) < 2:
        return
    last: tuple[int, ...] = ()
    for start in sorted({columns[index].slot for index in members}):
        run = tuple(index for index in members if start <= columns[index].slot < start + spacing)
        if not set(run) <= set(last):
            yield Row(name, run, 1)
            last = run


def solve_milp(columns: Sequence[Column], limits: Limits) -> list[int]:
    """Return the columns of greatest total value, as indices.

    Where every goal's best column can be taken, that is the answer and no solver is asked. Otherwise a time-indexed
    binary programme (Pritsker, Watters and Wolfe 1969, "Multiproject scheduling with limited resources") goes to HiGHS.
    The greedy choice stands in where that finds nothing in half a second.
    """
    useful = [index for index, column in enumerate(columns) if column.value > 0]
    rows = rows_of([columns[index] for index in useful], limits)
    best = _best_each(columns, useful)
    if _fits(best, useful, rows):
        return best
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_array

    lengths = [len(row.members) for row in rows]
    data = (np.ones(sum(lengths)), np.concatenate([row.members for row in rows]), np.cumsum([0, *lengths]))
    matrix = csr_array(data, shape=(len(rows), len(useful)))
    result = milp(
        -np.array([columns[index].value for index in useful]),
        constraints=LinearConstraint(matrix, ub=np.array([row.most for row in rows])),
        integrality=np.ones(len(useful), dtype=np.int64),
        bounds=Bounds(0, 1),
        options={"time_limit": _TIME_LIMIT_S, "mip_rel_gap": _GAP_RATIO},
    )
    if result.x is None:
        return solve_greedy(columns, limits)
    return [index for index, taken in zip(useful, result.x, strict=True) if taken > 0.5]


def solve_greedy(columns: Sequence[Column], limits: Limits) -> list[int]:
    """Return columns taken in order of value, as long as each fits with those before."""
    order = sorted(
        (index for index, column in enumerate(columns) if column.value > 0),
        key=lambda index: (-columns[index].value, columns[index].slot, index),
    )
    taken: list[int] = []
    for index in order:
        if not clash(columns[index], [columns[each] for each in taken], limits):
            taken.append(index)
    return taken


def clash(column: Column, taken: Sequence[Column], limits: Limits) -> str | None:
    """Return what keeps a column from being added to others, None where it fits."""
    if sum(each.slot == column.slot for each in taken) >= limits.room[column.slot]:
        return f"slot {column.slot} holds as many actions as may run at once"
    for each in taken:
        if set(each.serves) & set(column.serves):
            return f"{each.action} serves one of its goals already"
        for name, spacing in each.resources:
            if abs(each.slot - column.slot) < spacing and (name, spacing) in column.resources:
                return f"{each.action} takes {name.partition(':')[2]}"
    return None


def utility(columns: Sequence[Column], chosen: Iterable[int]) -> float:
    """Return the total value of chosen columns."""
    return float(sum(columns[index].value for index in chosen))


def _best_each(columns: Sequence[Column], useful: Sequence[int]) -> list[int]:
    best: dict[str, int] = {}
    for index in useful:
        goal_id = columns[index].goal_id
        if goal_id not in best or columns[index].value > columns[best[goal_id]].value:
            best[goal_id] = index
    return list(best.values())


def _fits(chosen: Sequence[int], useful: Sequence[int], rows: Sequence[Row]) -> bool:
    place = {index: position for position, index in enumerate(useful)}
    taken = {place[index] for index in chosen}
    return all(sum(member in taken for member in row.members) <= row.most for row in rows)
