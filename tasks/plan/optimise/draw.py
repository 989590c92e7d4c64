"""Draw what is done for a goal, with a probability that is known and kept."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from storage.records import NOTHING, Autonomy, FloatArray, GoalView
from tasks.learn import TRIED_SHARE, LateWord
from tasks.plan.optimise.columns import Column
from tasks.plan.problem import PlanProblem
from tasks.plan.valuation.priors import effect_of
from tasks.plan.valuation.value import LEAST_WORTH, Valuer

_SEVERE = 0.9
_DRAWS = 300
_CURIOSITY = 0.5
_TRIAL_RATIO = 0.25
_RARE = 0.1
_GRID = 9
_CLEAR = 1.645


@dataclass(frozen=True)
class Draw:
    """What was drawn for a goal: a column or None for nothing.

    `propensities` are by action name and sum to one, `options` names the variant that each action stood for in the draw
    (its offer), `wanted` is what the valuation alone would have said, `usual` what would be drawn from without `late`,
    what was learned of effects that come late.
    """

    column: Column | None
    propensities: Mapping[str, float]
    options: Mapping[str, str]
    wanted: str
    seed: int
    usual: Mapping[str, float] = field(default_factory=dict)
    late: LateWord | None = None

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
    valuer: Valuer,
    options: Mapping[str, Column],
    best_action: str,
    *,
    is_certain: bool = False,
) -> Draw:
    """Draw among one column of each action and doing nothing.

    `best_action` is what the valuation says. Where exploring is safe the others that may be tried stand against it:
    each is drawn as often as it would be worth most, were its effect drawn from what is believed of it. So trying fades
    as effects become known, and where nothing can be gained nothing is tried. Doing nothing keeps its floor where the
    severity allows, so that what an action changes can be told from what would have happened anyway. The logged
    propensities are those drawn from. With `is_certain` nothing is left to chance.
    """
    names = [NOTHING, *sorted(options)]
    seed = draw_seed(problem, view)
    shares = np.array([float(name == best_action) for name in names])
    if not is_certain:
        others = [name for name in names[1:] if name != best_action]
        tried = [name for name in others if _may_try(problem, valuer, options[name], best_action)]
        if tried and not _must_wait(problem, view, best_action):
            shares = _shares_won(problem, valuer, names, options, best_action, tried, seed)
            harmless = [name for name in tried if not _surely_harms(problem, view, options[name])]
            shares = _with_tries(problem, shares, names, harmless)
        shares = _with_floor(shares, _floor(problem, view, names))
    usual = {name: float(share) for name, share in zip(names, shares, strict=True)}
    late = problem.late.word(view.goal, usual) if problem.late is not None else None
    if late is not None and problem.late is not None and problem.late.may_choose(view.goal):
        shares = np.array([late.shares[name] for name in names])
    position = min(int(np.searchsorted(np.cumsum(shares), unit_of(seed), side="right")), len(names) - 1)
    drawn = names[position] if shares[position] > 0 else names[int(np.argmax(shares))]
    return Draw(
        column=options.get(drawn),
        propensities={name: float(share) for name, share in zip(names, shares, strict=True)},
        options={name: column.offer for name, column in options.items()},
        wanted=best_action,
        seed=seed,
        usual=usual,
        late=late,
    )


def _floor(problem: PlanProblem, view: GoalView, names: Sequence[str]) -> float:
    """Return how often nothing is done at least where something could be."""
    if view.goal.severity >= _SEVERE or len(names) < 2:
        return 0.0
    return max(problem.nothing_floor, TRIED_SHARE if problem.late is not None and problem.late.tries else 0.0)


def _surely_harms(problem: PlanProblem, view: GoalView, column: Column) -> bool:
    mean, sd = effect_of(problem, column.candidate, view.goal)
    return mean < -_CLEAR * sd


def _with_tries(problem: PlanProblem, shares: FloatArray, names: Sequence[str], tried: Sequence[str]) -> FloatArray:
    """Return shares in which each action that may be tried keeps one, where what comes late is learned to be done."""
    if problem.late is None or not problem.late.tries:
        return shares
    least = np.array([TRIED_SHARE * (name in tried) for name in names])
    return np.asarray(least + (1.0 - least.sum()) * shares) if least.sum() < 0.5 else shares


def _must_wait(problem: PlanProblem, view: GoalView, best_action: str) -> bool:
    """Tell whether nothing is tried for a goal, as a severe objective is broken now.

    One that is broken itself is no reason to wait where nothing known helps it: it would stay broken.
    """
    burning = [each.goal.goal_id for each in problem.goals if each.is_open and _is_burning(each)]
    return bool(burning) and not (view.goal.goal_id in burning and best_action == NOTHING)


def _is_burning(view: GoalView) -> bool:
    return view.goal.severity >= _SEVERE and bool(view.goal.because.get("is_broken_now"))


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


def _may_try(problem: PlanProblem, valuer: Valuer, column: Column, best_action: str) -> bool:
    """Tell whether an action may be tried in order to learn: safe, cheap, at once, and so that it can be measured.

    What cannot be undone, or says of itself that its risk is medium, as whatever says nothing does, is tried only where
    a person has said "auto" of it and nothing known helps. One trial at a time: while an act on the goal's series, or
    one of the same action, is not measured yet, a further one would teach little. What is believed to break more than
    is at stake is not tried.
    """
    traits, series = problem.traits_of(column.action), valuer.view.goal.series
    is_last_resort = best_action == NOTHING and traits.risk != "high" and Autonomy(traits.level) is Autonomy.AUTO
    if not (problem.explore and (traits.may_be_explored or is_last_resort) and column.slot == 0):
        return False
    acts = [each.action for each in column.candidate.steps] or [column.action]
    is_measurable = not {*acts, series} & problem.unmeasured
    gain, charged = column.worth.own_gain[0], column.worth.own_gain[0] - column.own_value
    return bool(is_measurable and charged <= problem.margin * valuer.risk and gain >= -valuer.risk)


def _shares_won(
    problem: PlanProblem,
    valuer: Valuer,
    names: Sequence[str],
    options: Mapping[str, Column],
    best_action: str,
    tried: Sequence[str],
    seed: int,
) -> FloatArray:
    """Return how often each of `names` (n_names,) is worth most, over draws of what is believed of their effects.

    Thompson sampling on value: Thompson (1933, doi:10.1093/biomet/25.3-4.285), with the spread of the draws times
    `_CURIOSITY`. Doing nothing wins where no other saves `_TRIAL_RATIO` of its margin; where it may not be chosen in
    order to learn, it wins only if it is what the valuation says.
    """
    values = np.full((_DRAWS, len(names)), -np.inf)
    is_held_out = problem.nothing_floor > 0 and valuer.view.goal.severity < _SEVERE
    may_do_nothing = best_action == NOTHING or is_held_out
    values[:, 0] = 0.0 if may_do_nothing else -np.inf
    normal = np.random.default_rng([seed, 2]).standard_normal((_DRAWS, len(names)))
    for place, name in enumerate(names):
        if name == best_action != NOTHING or name in tried:
            drawn = _values_drawn(problem, valuer, options[name], normal[:, place])
            least = max(LEAST_WORTH, _TRIAL_RATIO * options[name].worth.needed)
            values[:, place] = np.where(drawn > least, drawn, -np.inf) if may_do_nothing else drawn
    won = np.bincount(values.argmax(axis=1), minlength=len(names)) / _DRAWS
    # A small chance at every turn is an act a day: what is seldom better than what would be done is not tried at all.
    else_done = np.maximum(values[:, 0], values[:, names.index(best_action)])
    rare = [place for place in map(names.index, tried) if np.mean(values[:, place] > else_done) < _RARE]
    won[rare] = 0.0
    return np.asarray(won / won.sum()) if won.sum() > 0 else np.array([float(name == best_action) for name in names])


def _values_drawn(problem: PlanProblem, valuer: Valuer, column: Column, normal: FloatArray) -> FloatArray:
    """Return what a column is worth were its effect each draw from what is believed of it (n_draws,)."""
    mean, sd = effect_of(problem, column.candidate, valuer.view.goal)
    effects = np.linspace(mean - 2.5 * sd, mean + 2.5 * sd, _GRID)
    gains = valuer.own_gains_at(column.candidate, column.slot, effects)
    charged = float(column.worth.own_gain[column.slot]) - column.value
    return np.interp(mean + _curiosity_about(problem, valuer, column) * sd * normal, effects, gains) - charged


def _curiosity_about(problem: PlanProblem, valuer: Valuer, column: Column) -> float:
    """Return how much of the doubt counts: all of it for a sequence that was never measured, since no part tells it."""
    names = [step.action for step in column.candidate.steps]
    is_new = names and not problem.pair_beliefs.count(valuer.view.goal.goal_type, names)
    return 1.0 if is_new else _CURIOSITY


def _with_floor(shares: FloatArray, floor: float) -> FloatArray:
    """Return shares summing to one in which the first, doing nothing, has at least the floor."""
    shares = shares / shares.sum()
    if shares[0] >= floor:
        return np.asarray(shares)
    raised = shares * (1 - floor) / (1 - shares[0])
    raised[0] = floor
    return np.asarray(raised)
