"""What could be done when: the columns of the programme, and why the others are missing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from storage.records import Autonomy, Candidate, GoalView, Strategy
from tasks.goals.text import moment
from tasks.plan.problem import PlanProblem
from tasks.plan.value import Valuer, Worth, offer_key


@dataclass(frozen=True)
class Column:
    """One candidate in one slot, for one goal or several: taken or not.

    `value` is what it adds over doing nothing, over all goals it serves, its cost paid once. `resources` are what no
    other may use within a number of slots, `offer` is what is done, whenever and for whom.
    """

    goal_id: str
    serves: tuple[str, ...]
    candidate: Candidate
    slot: int
    value: float
    own_value: float
    worth: Worth
    resources: tuple[tuple[str, int], ...]
    offer: str

    @property
    def action(self) -> str:
        """Return the action's name."""
        return self.candidate.action


@dataclass(frozen=True)
class Partner:
    """Another goal of a collaborative group, and what may be done for it."""

    goal_id: str
    valuer: Valuer
    offers: frozenset[str]


@dataclass(frozen=True)
class Blocked:
    """A candidate, or some of its slots, that may not be taken, and why."""

    goal_id: str
    candidate: Candidate
    reason: str
    is_wholly: bool = True


def columns_of(
    problem: PlanProblem,
    view: GoalView,
    valuer: Valuer,
    strategy: Strategy,
    partners: Sequence[Partner],
) -> tuple[list[Column], list[Blocked]]:
    """Return a goal's columns and what was left out.

    `partners` are the other goals of its collaborative group: a candidate that they have as well helps them too, and
    serves those for which it would be worth taking.
    """
    columns: list[Column] = []
    blocked: list[Blocked] = []
    for candidate in problem.candidates.get(view.goal.goal_id, ()):
        if problem.traits_of(candidate.action).informs_only:
            continue
        reason = _forbidden(problem, view, candidate)
        if reason is not None:
            blocked.append(Blocked(view.goal.goal_id, candidate, reason))
            continue
        slots, reasons = _open_slots(problem, view, candidate, strategy)
        blocked += [Blocked(view.goal.goal_id, candidate, each, not slots) for each in reasons]
        if slots:
            columns += _columns(problem, view, valuer, candidate, slots, partners)
    return columns, blocked


def _columns(
    problem: PlanProblem,
    view: GoalView,
    valuer: Valuer,
    candidate: Candidate,
    slots: Sequence[int],
    partners: Sequence[Partner],
) -> Iterator[Column]:
    worth = valuer.worth(candidate)
    key = offer_key(candidate)
    joint = [(partner, partner.valuer.worth(candidate).own_gain) for partner in partners if key in partner.offers]
    objective = problem.objective_of(view)
    cost = candidate.cost * (objective.cost_weight if objective else 1.0)
    resources = resources_of(problem, view, candidate)
    for slot in (each for each in slots if np.isfinite(worth.gain[each])):
        own = float(worth.gain[slot]) - cost * _cost_share(problem, slot)
        # What harms a partner is charged already, as harm to a guarded bound.
        helped = [(partner, float(gain[slot])) for partner, gain in joint if gain[slot] > 0]
        served = [each.goal_id for each, gain in helped if gain >= problem.margin * each.valuer.risk]
        serves = (view.goal.goal_id, *served)
        value = own + sum(gain for _, gain in helped)
        yield Column(view.goal.goal_id, serves, candidate, slot, value, own, worth, resources, key)


def _cost_share(problem: PlanProblem, slot: int) -> float:
    """Charge less for later: what is not done yet may still prove unnecessary. At most 10 % less."""
    return 1.0 - 0.1 * slot / problem.n_slots


def resources_of(problem: PlanProblem, view: GoalView, candidate: Candidate) -> tuple[tuple[str, int], ...]:
    """Return what a candidate takes, and for how many slots nothing else may take it.

    Its target for one slot; the goal's series until its measurement window is over, since two actions in one window
    cannot be told apart; and itself on this target for its cooldown. A driven series is exempt from the second: what an
    amount changes is known from its response, and load does not wait for measurements.
    """
    target = candidate.target or candidate.action
    settle = max(1, math.ceil(problem.settle_s / problem.slot_s))
    cooldown = max(1, math.ceil(problem.traits_of(candidate.action).cooldown_s / problem.slot_s))
    taken = [(f"target:{target}", 1), (f"cooldown:{candidate.action}:{target}", cooldown)]
    if view.goal.series is not None and not _is_driven(problem, view):
        taken.append((f"series:{view.goal.series}", settle))
    return tuple(taken)


def _forbidden(problem: PlanProblem, view: GoalView, candidate: Candidate) -> str | None:
    level = problem.level(view.goal.goal_type, candidate.action)
    if level is Autonomy.OBSERVE:
        return f"its autonomy level for {view.goal.goal_type.value} is observe"
    if not all(map(math.isfinite, [candidate.cost, candidate.latency_s, *candidate.expected_effect.values()])):
        return "its cost, latency or expected effect is not a number"
    return None


def _open_slots(
    problem: PlanProblem, view: GoalView, candidate: Candidate, strategy: Strategy
) -> tuple[list[int], list[str]]:
    """Return the slots that a candidate may take, and the reasons against the others."""
    wanted = range(1) if strategy is Strategy.IMMEDIATE else range(problem.n_slots)
    refusals = {slot: _refusal(problem, view, candidate, slot) for slot in wanted}
    slots = [slot for slot, reason in refusals.items() if reason is None]
    return slots, sorted({reason for reason in refusals.values() if reason is not None})


def _refusal(problem: PlanProblem, view: GoalView, candidate: Candidate, slot: int) -> str | None:
    start = problem.slot_at(slot)
    end = problem.slot_at(slot + 1)
    target = candidate.target or candidate.action
    for first, last in problem.maintenance:
        if first < end and start < last:
            return f"a maintenance window lasts until {moment(last)}"
    cool = problem.cooldown_until.get((candidate.action, candidate.target))
    if cool is not None and start < cool:
        return f"it cools down until {moment(cool)}"
    for commitment in problem.standing:
        if not commitment.start < end or not start < commitment.until:
            continue
        if not commitment.is_started and commitment.goal_id == view.goal.goal_id:
            continue
        is_same_series = commitment.series is not None and commitment.series == view.goal.series
        if is_same_series and not _is_driven(problem, view):
            return (
                f"{commitment.action} is still being measured on {commitment.series} until {moment(commitment.until)}"
            )
        if (commitment.target or commitment.action) == target and start < _slot_end(problem, commitment.start):
            return f"{target} is taken by {commitment.action}"
    return None


def _is_driven(problem: PlanProblem, view: GoalView) -> bool:
    objective = problem.objective_of(view)
    return objective is not None and objective.name in problem.responses


def _slot_end(problem: PlanProblem, start: datetime) -> datetime:
    return start + timedelta(seconds=problem.slot_s)


def busy_slots(problem: PlanProblem, kept_ids: frozenset[str]) -> list[int]:
    """Return how many actions are committed in each slot: those begun lately or kept from earlier plans."""
    counts = [0] * problem.n_slots
    for commitment in problem.standing:
        if not commitment.is_started and commitment.action_id not in kept_ids:
            continue
        slot = math.floor((commitment.start - problem.tick).total_seconds() / problem.slot_s)
        if 0 <= slot < problem.n_slots:
            counts[slot] += 1
    return counts
