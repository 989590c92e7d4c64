"""Choose columns: a binary programme, and the greedy choice that stands in for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storage.records import FloatArray
from tasks.plan.columns import Column
from tasks.plan.taken import Limits

_TIME_LIMIT_S = 0.5
_GAP_RATIO = 0.005
_PASSES = 3
_WORTH_A_TRY = 0.6


@dataclass(frozen=True)
class Programme:
    """Columns and constraints in numbers: maximise value·x, matrix·x ≤ most, x binary.

    `values` is (n_columns,), `matrix` (n_rows, n_columns) of zeros and ones, `most` (n_rows,), `goals` the number
    of the goal of each column.
    """

    values: FloatArray
    matrix: NDArray[np.bool_]
    most: NDArray[np.int64]
    goals: NDArray[np.int64]

    def holds(self, chosen: Sequence[int]) -> bool:
        """Tell whether a choice keeps every constraint."""
        return bool((self.matrix[:, list(chosen)].sum(axis=1) <= self.most).all())

    def total(self, chosen: Iterable[int]) -> float:
        """Return the value of a choice."""
        return float(sum(self.values[index] for index in chosen))


def programme_of(columns: Sequence[Column], limits: Limits) -> Programme:
    """Return the constraints that can bind: one action a goal, room in each slot, every resource for its time."""
    numbers = {goal_id: number for number, goal_id in enumerate(dict.fromkeys(each.goal_id for each in columns))}
    rows = [(members, most) for members, most in _rows(columns, limits) if len(members) > most]
    matrix = np.zeros((len(rows), len(columns)), dtype=bool)
    for row, (members, _) in enumerate(rows):
        matrix[row, members] = True
    return Programme(
        values=np.array([column.value for column in columns], dtype=float),
        matrix=matrix,
        most=np.array([most for _, most in rows], dtype=np.int64),
        goals=np.array([numbers[column.goal_id] for column in columns], dtype=np.int64),
    )


def _rows(columns: Sequence[Column], limits: Limits) -> Iterator[tuple[list[int], int]]:
    by_goal: dict[str, list[int]] = {}
    by_slot: dict[int, list[int]] = {}
    by_resource: dict[tuple[str, int], list[int]] = {}
    for index, column in enumerate(columns):
        by_slot.setdefault(column.slot, []).append(index)
        for goal_id in column.serves:
            by_goal.setdefault(goal_id, []).append(index)
        for resource in column.resources:
            by_resource.setdefault(resource, []).append(index)
    yield from ((members, 1) for members in by_goal.values())
    yield from ((members, limits.room[slot]) for slot, members in by_slot.items())
    for (_, spacing), members in by_resource.items():
        yield from ((run, 1) for run in _runs(spacing, members, columns))


def _runs(spacing: int, members: Sequence[int], columns: Sequence[Column]) -> Iterator[list[int]]:
    """Return the columns of every run of `spacing` slots, of which one may be taken; runs within the last are left out.

    A resource that only one goal wants needs none: it takes one action anyway.
    """
    if len({columns[index].goal_id for index in members}) < 2:
        return
    last: set[int] = set()
    for start in sorted({columns[index].slot for index in members}):
        run = [index for index in members if start <= columns[index].slot < start + spacing]
        if not set(run) <= last:
            yield run
            last = set(run)


def solve_milp(columns: Sequence[Column], limits: Limits) -> list[int]:
    """Return the columns of greatest total value, as indices.

    Where every goal's best column can be taken, that is the answer and no solver is asked. Otherwise a time-indexed
    binary programme (Pritsker, Watters and Wolfe 1969, "Multiproject scheduling with limited resources") goes to HiGHS,
    to within half a percent. The greedy choice stands in where that finds nothing in half a second.
    """
    useful = [index for index, column in enumerate(columns) if column.value > 0]
    if not useful:
        return []
    programme = programme_of([columns[index] for index in useful], limits)
    best = _best_each(programme)
    picked = best if programme.holds(best) else _solve(programme)
    return [useful[index] for index in (picked if picked is not None else _greedy(programme))]


def solve_greedy(columns: Sequence[Column], limits: Limits) -> list[int]:
    """Return columns taken in order of value as far as they fit, then improved by exchanges that pay."""
    useful = [index for index, column in enumerate(columns) if column.value > 0]
    if not useful:
        return []
    return [useful[index] for index in _greedy(programme_of([columns[index] for index in useful], limits))]


def utility(columns: Sequence[Column], chosen: Iterable[int]) -> float:
    """Return the total value of chosen columns."""
    return float(sum(columns[index].value for index in chosen))


def _solve(programme: Programme) -> list[int] | None:
    # Imported here: a quarter of a second that only contended plans should pay.
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_array

    # Without presolve: on programmes of this size it takes longer than it saves.
    result = milp(
        -programme.values,
        constraints=LinearConstraint(csr_array(programme.matrix.astype(float)), ub=programme.most.astype(float)),
        integrality=np.ones(len(programme.values), dtype=np.int64),
        bounds=Bounds(0, 1),
        options={"time_limit": _TIME_LIMIT_S, "mip_rel_gap": _GAP_RATIO, "presolve": False},
    )
    return None if result.x is None else [int(index) for index in np.flatnonzero(result.x > 0.5)]


def _best_each(programme: Programme) -> list[int]:
    order = np.argsort(-programme.values, kind="stable")
    _, first = np.unique(programme.goals[order], return_index=True)
    return sorted(int(order[position]) for position in first)


def _greedy(programme: Programme) -> list[int]:
    chosen = _filled(programme, [])
    for _ in range(_PASSES):
        better = _exchanged(programme, chosen)
        if programme.total(better) <= programme.total(chosen) + 1e-12:
            return sorted(chosen)
        chosen = better
    return sorted(chosen)


def _filled(programme: Programme, chosen: list[int]) -> list[int]:
    """Return a choice with the most valuable column added as long as one fits."""
    chosen = list(chosen)
    is_open = np.ones(len(programme.values), dtype=bool)
    is_open[chosen] = False
    while True:
        is_full = programme.matrix[:, chosen].sum(axis=1) >= programme.most
        is_open &= ~programme.matrix[is_full].any(axis=0)
        if not is_open.any():
            return chosen
        best = int(np.argmax(np.where(is_open, programme.values, -np.inf)))
        is_open[best] = False
        chosen.append(best)


def _exchanged(programme: Programme, chosen: list[int]) -> list[int]:
    """Return a choice after exchanging columns for one that is worth more than those it pushes out, then refilling."""
    for index in np.argsort(-programme.values, kind="stable"):
        if int(index) in chosen:
            continue
        out = _pushed_out(programme, chosen, int(index))
        if programme.values[index] < _WORTH_A_TRY * programme.total(out):
            continue
        kept = [each for each in chosen if each not in out]
        trial = _filled(programme, [*kept, int(index)])
        if programme.total(trial) > programme.total(chosen) + 1e-12:
            chosen = trial
    return chosen


def _pushed_out(programme: Programme, chosen: Sequence[int], index: int) -> set[int]:
    """Return the cheapest of the chosen columns in each constraint that a further column would break."""
    mine = programme.matrix[programme.matrix[:, index]]
    held = mine[:, list(chosen)]
    tight = held.sum(axis=1) >= programme.most[programme.matrix[:, index]]
    values = programme.values[list(chosen)]
    return {chosen[int(np.argmin(np.where(row, values, np.inf)))] for row in held[tight] if row.any()}
