"""Choices as they were logged, as arrays: the state, what could be drawn, what was, and what came until the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import cos, pi, sin

import numpy as np

from storage.decisions import LoggedChoice
from storage.records import NOTHING, FloatArray, IntArray
from tasks.excess import AT_BOUND, SLOPE, excess_of

EXCESS_LIMITS_SD = (-2.0, 4.0)


@dataclass(frozen=True)
class LateState:
    """Where a choice stands: how far its metric is beyond the bound (sd), the hour of day, 0 to 24, and recent acts.

    `recent` counts by action those on its series, each less with every hour since.
    """

    excess_sd: float
    hour: float
    recent: Mapping[str, float] = field(default_factory=dict)

    @staticmethod
    def of(choice: LoggedChoice) -> LateState:
        """Return the state that a choice was logged with."""
        return LateState(choice.excess_sd, choice.hour, choice.recent)


@dataclass(frozen=True)
class ChoiceLog:
    """Choices of one goal type: `n` of them, ascending in time, over `arms`, the first of which is doing nothing.

    `features` is (n, n_arms, n_features), `drawn` and `usual` (n, n_arms) are the shares drawn from and those of the
    planner alone, `chosen` (n,) the place of what was drawn. `reward` (n,) is minus what it cost until the next choice
    on the same series, in hours of severity 1 broken, `kept` (n,) by how much what comes after it counts less, and
    `following` (n,) the place of that next choice, -1 where there is none. `at_s` (n,) are epoch seconds.
    """

    arms: tuple[str, ...]
    features: FloatArray
    drawn: FloatArray
    usual: FloatArray
    chosen: IntArray
    reward: FloatArray
    kept: FloatArray
    following: IntArray
    at_s: FloatArray

    def __len__(self) -> int:
        return len(self.chosen)

    @property
    def day(self) -> IntArray:
        """Return the day of each choice (n,), counted in UTC: what lies in one shares its weather."""
        return np.asarray(self.at_s // 86_400, dtype=np.int64)


def features_of(state: LateState, arms: Sequence[str]) -> FloatArray:
    """Return what tells each arm apart in a state (n_arms, n_features).

    All arms share how far the metric is beyond its bound, the hour and recent acts; each has what it does by itself,
    after others of its kind, and the farther the metric is beyond.
    """
    excess = float(np.clip(state.excess_sd, *EXCESS_LIMITS_SD)) / 2
    angle, acting = 2 * pi * state.hour / 24, [arm for arm in arms if arm != NOTHING]
    recent = [state.recent.get(arm, 0.0) for arm in acting]
    shared = [1.0, excess, sin(angle), cos(angle), *recent]
    rows = np.zeros((len(arms), len(shared) + 3 * len(acting)))
    rows[:, : len(shared)] = shared
    for row, arm in enumerate(arms):
        if arm != NOTHING:
            place = acting.index(arm)
            start = len(shared) + 3 * place
            rows[row, start : start + 3] = 1.0, recent[place], excess
    return rows


def losses_of_values(values: FloatArray, choice: LoggedChoice) -> FloatArray:
    """Return what each value costs while it lasts, as the planner counts: half just beyond the bound, all from 2 sd on.

    `values` are (n_steps,); NaN where nothing was recorded. Of severity 1 at most 1.
    """
    excess = excess_of(values, choice.bound, choice.side, choice.sd)
    with np.errstate(invalid="ignore"):
        loss = np.where(excess > 0, np.minimum(AT_BOUND + SLOPE * excess, 1.0), 0.0)
    return np.asarray(np.where(np.isfinite(values), choice.severity * loss, np.nan))


def log_of(
    choices: Sequence[LoggedChoice], values: Mapping[str, tuple[FloatArray, FloatArray]], horizon_s: float
) -> ChoiceLog:
    """Return choices as arrays; those after which nothing was recorded are left out.

    `values` are by series its moments (epoch seconds, ascending) and what was measured then, each (n_steps,). What
    comes `horizon_s` after a choice counts 1/e, and what comes later than that without a further choice nothing.
    """
    arms = (NOTHING, *sorted({arm for each in choices for arm in each.drawn} - {NOTHING}))
    by_series: dict[str, list[LoggedChoice]] = {}
    for each in sorted(choices, key=lambda each: each.at):
        by_series.setdefault(each.series, []).append(each)
    rows = [row for mine in by_series.values() for row in _rows_of(mine, values, horizon_s)]
    rows.sort(key=lambda row: (row.at_s, row.choice.series))
    place = {row.choice.choice_id: number for number, row in enumerate(rows)}
    return ChoiceLog(
        arms,
        np.stack([features_of(LateState.of(row.choice), arms) for row in rows])
        if rows
        else np.empty((0, len(arms), 0)),
        np.array([[row.choice.drawn.get(arm, 0.0) for arm in arms] for row in rows]).reshape(-1, len(arms)),
        np.array([[row.choice.usual.get(arm, 0.0) for arm in arms] for row in rows]).reshape(-1, len(arms)),
        np.array([arms.index(row.choice.chosen) for row in rows], dtype=np.int64),
        np.array([row.reward for row in rows]),
        np.array([row.kept for row in rows]),
        np.array([place.get(row.following, -1) for row in rows], dtype=np.int64),
        np.array([row.at_s for row in rows]),
    )


@dataclass(frozen=True)
class _Row:
    choice: LoggedChoice
    at_s: float
    reward: float
    kept: float
    following: str


def _rows_of(
    mine: Sequence[LoggedChoice], values: Mapping[str, tuple[FloatArray, FloatArray]], horizon_s: float
) -> list[_Row]:
    """Return the choices on one series, in order of time, each with what it came to until the next."""
    rows = []
    ends = [(one, other.at.timestamp(), other.choice_id) for one, other in pairwise(mine)]
    for choice, next_s, following in [*ends, *((each, np.inf, "") for each in mine[-1:])]:
        at_s = choice.at.timestamp()
        cost = _cost_between(choice, values.get(choice.series), at_s, min(next_s, at_s + horizon_s), horizon_s)
        if cost is not None:
            act_h = choice.cost * choice.horizon_s / 3_600
            rows.append(_Row(choice, at_s, -cost - act_h, float(np.exp((at_s - next_s) / horizon_s)), following))
    return rows


def _cost_between(
    choice: LoggedChoice, seen: tuple[FloatArray, FloatArray] | None, since_s: float, until_s: float, horizon_s: float
) -> float | None:
    """Return what a metric cost in (since, until], in hours of severity 1, what comes later less; None if not seen.

    Where steps are missing, the others stand for them.
    """
    if seen is None:
        return None
    first, last = np.searchsorted(seen[0], (since_s, until_s), side="right")
    losses = losses_of_values(seen[1][first:last], choice)
    is_seen = np.isfinite(losses)
    if not is_seen.any():
        return None
    fading = np.exp((since_s - seen[0][first:last]) / horizon_s)[is_seen]
    return float((until_s - since_s) / 3_600 * (losses[is_seen] @ fading) / len(fading))
