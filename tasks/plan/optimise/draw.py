"""Draw what is done for a goal, with a probability that is known and kept."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from storage.records import NOTHING, FloatArray, GoalView
from tasks.plan.optimise.columns import Column
from tasks.plan.problem import PlanProblem

_SEVERE = 0.9
_REACH = 0.01


@dataclass(frozen=True)
class Draw:
    """What was drawn for a goal: a column or None for nothing.

    `propensities` are by action name and sum to one, `options` names the variant that each action stood for in the draw
    (its offer), `wanted` is what the valuation alone would have said.
    """

    column: Column | None
    propensities: Mapping[str, float]
    options: Mapping[str, str]
    wanted: str
    seed: int

    @property
    def action(self) -> str:
        """Return the name of what was drawn."""
        return self.column.action if self.column else NOTHING

    @property
    def propensity(self) -> float:
        """Return the probability with which it was drawn."""
        return self.propensities[self.action]


def draw_for(
    problem: PlanProblem,
    view: GoalView,
    options: Mapping[str, Column],
    best_action: str,
    *,
    worthwhile_cost: float,
    is_certain: bool = False,
) -> Draw:
    """Draw among one column of each action and doing nothing.

    `best_action` is what the valuation says. Where exploring is safe it is mixed with the beliefs' propensities
    over the actions that may be tried; doing nothing keeps its floor where the severity allows, so that what an action
    changes can be told from what would have happened anyway. The logged propensities are those drawn from. With
    `is_certain` nothing is left to chance.
    """
    names = [NOTHING, *sorted(options)]
    seed = draw_seed(problem, view)
    shares = np.array([float(name == best_action) for name in names])
    floor = problem.nothing_floor if view.goal.severity < _SEVERE else 0.0
    if not is_certain:
        if problem.explore and not is_burning(problem):
            mine = [name for name in names[1:] if _may_try(problem, options[name], worthwhile_cost)]
            # Where no holdout is wanted nothing is left undone in order to learn, however uncertain the actions are.
            may_abstain = floor > 0 or best_action == NOTHING
            shares = _mixed(problem, view, names, [NOTHING, *mine] if may_abstain else mine, shares, seed)
        shares = _with_floor(shares, floor)
    position = min(int(np.searchsorted(np.cumsum(shares), unit_of(seed), side="right")), len(names) - 1)
    drawn = names[position] if shares[position] > 0 else names[int(np.argmax(shares))]
    return Draw(
        column=options.get(drawn),
        propensities={name: float(share) for name, share in zip(names, shares, strict=True)},
        options={name: column.offer for name, column in options.items()},
        wanted=best_action,
        seed=seed,
    )


def is_burning(problem: PlanProblem) -> bool:
    """Tell whether a severe objective is broken now: then nothing is tried out."""
    goals = (view.goal for view in problem.goals if view.is_open)
    return any(goal.severity >= _SEVERE and bool(goal.because.get("is_broken_now")) for goal in goals)


def draw_seed(problem: PlanProblem, view: GoalView) -> int:
    """Return the seed of a goal's draw: the same through one measurement window.

    Otherwise doing nothing on purpose would last one cycle only, and nothing could be measured from it.
    """
    age_s = (problem.tick - view.goal.created_at).total_seconds()
    window = int(max(0.0, age_s) // problem.settle_s)
    text = f"{problem.seed}:{view.goal.goal_id}:{window}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def unit_of(seed: int) -> float:
    """Return a uniform number in [0, 1) for a seed."""
    return float(np.random.default_rng(seed).random())


def _may_try(problem: PlanProblem, column: Column, worthwhile_cost: float) -> bool:
    traits = problem.traits_of(column.action)
    # What wears off before the breach, or works after it, changes nothing whatever its effect: nothing is learned.
    reaches = bool(abs(column.worth.own_gain[column.slot]) > _REACH * worthwhile_cost)
    return reaches and traits.may_be_explored and column.candidate.cost <= worthwhile_cost and column.slot == 0


def _mixed(
    problem: PlanProblem,
    view: GoalView,
    names: Sequence[str],
    mine: Sequence[str],
    shares: FloatArray,
    seed: int,
) -> FloatArray:
    if not set(mine) - {NOTHING}:
        return shares
    hour = problem.tick.hour + problem.tick.minute / 60
    learned = np.asarray(problem.beliefs.propensities(view.goal.goal_type, mine, hour, seed), dtype=float)
    learned = np.where(np.isfinite(learned), np.maximum(learned, 0.0), 0.0)
    if learned.sum() <= 0:
        return shares
    spread = np.zeros(len(names))
    spread[[names.index(name) for name in mine]] = learned / learned.sum()
    return (1 - problem.explore_ratio) * shares + problem.explore_ratio * spread


def _with_floor(shares: FloatArray, floor: float) -> FloatArray:
    """Return shares summing to one in which the first, doing nothing, has at least the floor."""
    shares = shares / shares.sum()
    if shares[0] >= floor:
        return np.asarray(shares)
    raised = shares * (1 - floor) / (1 - shares[0])
    raised[0] = floor
    return np.asarray(raised)
