"""What could be done when: the columns of the programme, and why the others are missing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np

from storage.records import Autonomy, Candidate, FloatArray, GoalType, GoalView, Strategy, selects
from tasks.interventions.declared_facts import unmet
from tasks.plan.problem import PlanProblem
from tasks.plan.valuation.amounts import amount_of
from tasks.plan.valuation.running_cost import cost_after, priced_amount
from tasks.plan.valuation.stepped_amounts import step_for, why_not
from tasks.plan.valuation.value import Valuer, Worth, offer_key
from tasks.text import moment


class Column(NamedTuple):
    """One candidate in one slot, for one goal or several: taken or not. There are many, hence a tuple.

    `value` is what it adds over doing nothing, over all goals it serves, its cost paid once. `resources` are what no
    other may use within a number of slots, `offer` is what is done, whenever and for whom. `costs` are the running
    costs per hour that it adds, by the budget that they count against.
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
    costs: tuple[tuple[str, float], ...] = ()

    @property
    def action(self) -> str:
        """Return the action's name."""
        return self.candidate.action

    @property
    def charged(self) -> float:
        """Return what its cost takes from its value."""
        return float(self.worth.gain[self.slot]) - self.own_value

    @property
    def loss(self) -> str:
        """Say what is wrong with it where its value is below nothing."""
        does_harm = float(self.worth.gain[self.slot]) < 0
        if not does_harm:
            return "cost more than it saves"
        harmed = f", to {' and '.join(self.worth.harmed)}" if self.worth.harmed else ""
        return f"do more harm than good{harmed}"


@dataclass(frozen=True)
class Partner:
    """Another goal of a collaborative group, and what may be done for it.

    `capacity` is what its amounts are of: they are planned on the losses of every objective on it, its own included.
    """

    goal_id: str
    valuer: Valuer
    offers: frozenset[str]
    capacity: str | None = None


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
        worth = valuer.worth(candidate) if slots else None
        if worth is not None and np.isneginf(worth.gain).all():
            blocked.append(Blocked(view.goal.goal_id, candidate, _out_of_reach(problem, view, candidate)))
        elif worth is not None:
            columns += _columns(problem, view, worth, candidate, slots, partners)
    return _not_in_place_of_better(problem, view, columns, blocked)


def _not_in_place_of_better(
    problem: PlanProblem, view: GoalView, columns: list[Column], blocked: list[Blocked]
) -> tuple[list[Column], list[Blocked]]:
    """Leave out what is believed worse than an action that waits for an answer, for another goal on this series."""
    for each in problem.standing:
        is_others = each.goal_id != view.goal.goal_id and each.series is not None and each.series == view.goal.series
        if not each.waits or not is_others:
            continue
        offer = offer_key(each.candidate)
        promised = max((column.value for column in columns if column.offer == offer), default=0.0)
        worse = [column for column in columns if column.value < promised and column.offer != offer]
        reason = f"{each.action} is believed better and waits for an answer"
        blocked += [Blocked(view.goal.goal_id, one.candidate, reason) for one in {c.offer: c for c in worse}.values()]
        columns = [column for column in columns if column not in worse]
    return columns, blocked


def _columns(
    problem: PlanProblem,
    view: GoalView,
    worth: Worth,
    candidate: Candidate,
    slots: Sequence[int],
    partners: Sequence[Partner],
) -> Iterator[Column]:
    goal_id, key = view.goal.goal_id, offer_key(candidate)
    joint = [(partner, partner.valuer.worth(candidate).own_gain) for partner in partners if key in partner.offers]
    resources, costs = resources_of(problem, view, candidate), added_costs(problem, view, candidate)
    # What harms a partner is charged already, as harm to a guarded bound.
    helped = np.maximum(np.array([gain for _, gain in joint]).reshape(len(joint), problem.n_slots), 0.0)
    enough = helped >= np.array([_least_help(problem, each) for each, _ in joint])[:, None]
    own = worth.gain - charged(problem, view, candidate.cost)
    capacity = capacity_of(problem, view)
    is_counted = np.array([capacity is not None and each.capacity == capacity for each, _ in joint], dtype=bool)
    value = own + helped[~is_counted].sum(axis=0)
    if worth.is_planned:
        # The plan of amounts has looked at every moment already: of each amount the first and the best are enough.
        slots = sorted({slots[0], max(slots, key=lambda slot: value[slot])})
    values, own_values, helps = value.tolist(), own.tolist(), enough.T.tolist()
    for slot in slots:
        if math.isfinite(values[slot]):
            others = [partner.goal_id for (partner, _), is_helped in zip(joint, helps[slot], strict=True) if is_helped]
            serves = (goal_id, *others)
            yield Column(goal_id, serves, candidate, slot, values[slot], own_values[slot], worth, resources, key, costs)


def _out_of_reach(problem: PlanProblem, view: GoalView, candidate: Candidate) -> str:
    step = step_for(problem, view, candidate)
    if step is not None:
        return why_not(problem, view, candidate, step) or step.reason
    objective = problem.objective_of(view)
    capacity, amount = str(capacity_of(problem, view)), amount_of(problem, objective, candidate)
    if amount is None:
        return "what it would set is not known"
    if objective is None or objective.driver not in problem.paths:
        return "what drives its metric has no forecast yet, so nobody can tell which amount is the better"
    now, most_up = problem.capacities.get(capacity, amount), problem.traits_of(candidate.action).most_up
    if amount == now:
        return f"{capacity} is already at {amount:g}"
    if amount < now:
        return f"less {capacity} would not carry what is to come"
    if amount - now > most_up:
        return f"{capacity} rises by at most {most_up:g} at a time"
    if view.goal.goal_type is GoalType.COST_REDUCTION:
        return f"this goal gives back {capacity} and adds none"
    return f"more {capacity} would make a bound worse that is broken, or is about to be"


def _least_help(problem: PlanProblem, partner: Partner) -> float:
    return 1e-12 if partner.capacity is not None else max(problem.margin * partner.valuer.risk, 1e-12)


def charged(problem: PlanProblem, view: GoalView, cost: float) -> FloatArray:
    """Return what a cost is charged in each slot (n_slots,), by the weight that the goal's objective gives to costs.

    Less for later, at most 10 % less: what is not done yet may still prove unnecessary.
    """
    objective = problem.objective_of(view)
    weight = objective.cost_weight if objective else 1.0
    return cost * weight * (1.0 - 0.1 * np.arange(problem.n_slots) / problem.n_slots)


def resources_of(problem: PlanProblem, view: GoalView, candidate: Candidate) -> tuple[tuple[str, int], ...]:
    """Return what a candidate takes, and for how many slots nothing else may take it.

    Its target for one slot; the goal's series until its measurement window is over, since two actions in one window
    cannot be told apart; and itself on this target for its cooldown. A driven series is exempt from the second, and so
    is the step of an amount: load does not wait for measurements.
    """
    settle = max(1, math.ceil(problem.settle_s / problem.slot_s))
    taken: list[tuple[str, int]] = []
    for each in candidate.steps or (candidate,):
        target = each.target or each.action
        cooldown = max(1, math.ceil(problem.traits_of(each.action).cooldown_s / problem.slot_s))
        taken += [(f"target:{target}", 1), (f"cooldown:{each.action}:{target}", cooldown)]
    if view.goal.series is not None and not _is_of_amount(problem, view, candidate):
        taken.append((f"series:{view.goal.series}", settle))
    return tuple(taken)


def added_costs(problem: PlanProblem, view: GoalView, candidate: Candidate) -> tuple[tuple[str, float], ...]:
    """Return by budget what a candidate adds to its running cost per hour, beyond what is set aside for its objective.

    What is given back adds nothing, and makes room from the next turn on: it may fail.
    """
    if not problem.cost_rooms:
        return ()
    after, amount = cost_after(problem, view, candidate), priced_amount(problem, problem.objective_of(view))
    if after is None or amount is None or after <= amount[1]:
        return ()
    name = view.goal.objective or ""
    return tuple(
        (room.budget, max(0.0, after - amount[1] - room.spared.get(name, 0.0)))
        for room in problem.cost_rooms
        if name in room.objectives
    )


def _forbidden(problem: PlanProblem, view: GoalView, candidate: Candidate) -> str | None:
    level = problem.level(view.goal.goal_type, candidate.action)
    if level is Autonomy.OBSERVE:
        return f"its autonomy level for {view.goal.goal_type.value} is observe"
    lacking = _lacking(problem, candidate)
    if lacking is not None:
        return lacking
    guarded = _guard_in_trouble(problem, view)
    if guarded is not None:
        return guarded
    if not all(map(math.isfinite, [candidate.cost, candidate.latency_s, *candidate.expected_effect.values()])):
        return "its cost, latency or expected effect is not a number"
    return None


def _lacking(problem: PlanProblem, candidate: Candidate) -> str | None:
    """Return which facts a candidate requires that do not hold; None where it may begin, as every sequence may."""
    own = problem.declared.get(candidate.action)
    missing = unmet(problem.facts_held, own.requires) if own and not candidate.steps else ()
    return f"it requires {' and '.join(missing)}, which is not so now" if missing else None


def _guard_in_trouble(problem: PlanProblem, view: GoalView) -> str | None:
    """Return which guard of a goal's objective has a weightier open goal; None where all are well.

    A forecast may add protection on its own authority; to take it away, what it protects must be seen to be well.
    """
    objective = problem.objective_of(view)
    if objective is None or not objective.guards:
        return None
    for other in problem.goals:
        is_weightier = other.is_open and other.goal.severity > view.goal.severity
        series = other.goal.series or ""
        if is_weightier and any(selects(guard, series) for guard in objective.guards):
            return f"a weightier goal is open on the guard metric {series}"
    return None


def _open_slots(
    problem: PlanProblem, view: GoalView, candidate: Candidate, strategy: Strategy
) -> tuple[list[int], list[str]]:
    """Return the slots that a candidate may take, and the reasons against the others."""
    slot_range = range(1) if strategy is Strategy.IMMEDIATE else range(problem.n_slots)
    closed = _closures(problem, view, candidate)
    refusals = {slot: _refusal(problem, closed, slot) for slot in slot_range}
    slots = [slot for slot, reason in refusals.items() if reason is None]
    return slots, sorted({reason for reason in refusals.values() if reason is not None})


def _closures(problem: PlanProblem, view: GoalView, candidate: Candidate) -> list[tuple[datetime, datetime, str]]:
    """Return the spans (start, end) in which a candidate may not begin, and why."""
    closed = [(start, end, f"a maintenance window lasts until {moment(end)}") for start, end in problem.maintenance]
    parts = candidate.steps or (candidate,)
    for part in parts:
        cool = problem.cooldown_until.get((part.action, part.target))
        if cool is not None:
            name = part.action if candidate.steps else "it"
            closed.append((problem.tick, cool, f"{name} is in its cooldown until {moment(cool)}"))
        ends = problem.in_force_until.get((part.action, view.goal.series or ""))
        if ends is not None:
            closed.append((problem.tick, ends, f"the last {part.action} works until {moment(ends)}"))
    doubted = problem.doubted_until.get(f"{view.goal.goal_type}:{candidate.action}")
    if doubted is not None and problem.level(view.goal.goal_type, candidate.action) is Autonomy.AUTO:
        reason = f"its last acts seem to harm: they are measured and over first, by {moment(doubted)} at the latest"
        closed.append((problem.tick, doubted, reason))
    targets = {part.target or part.action for part in parts}
    sets = problem.traits_of(candidate.action).sets
    for each in problem.standing:
        if each.rises_until is not None and each.sets == sets:
            reason = f"the last increase of {sets} by {each.action} works from {moment(each.rises_until)}"
            closed.append((each.start, each.rises_until, reason))
        if not each.is_started and each.goal_id == view.goal.goal_id:
            continue
        if each.series is not None and each.series == view.goal.series and not _is_of_amount(problem, view, candidate):
            reason = f"{each.action} is still being measured on {each.series} until {moment(each.until)}"
            closed.append((each.start, each.until, reason))
        elif (target := each.target or each.action) in targets:
            slot_end = each.start + timedelta(seconds=problem.slot_s)
            closed.append((each.start, slot_end, f"{target} is in use by {each.action}"))
    return closed


def _refusal(problem: PlanProblem, closed: Sequence[tuple[datetime, datetime, str]], slot: int) -> str | None:
    if not closed:
        return None
    start, end = problem.slot_at(slot), problem.slot_at(slot + 1)
    return next((reason for first, last, reason in closed if first < end and start < last), None)


def _is_of_amount(problem: PlanProblem, view: GoalView, candidate: Candidate) -> bool:
    return capacity_of(problem, view) is not None or step_for(problem, view, candidate) is not None


def capacity_of(problem: PlanProblem, view: GoalView) -> str | None:
    """Return the series of whose amount a goal's plan is; None where its objective is not driven."""
    objective = problem.objective_of(view)
    return objective.capacity if objective is not None and objective.name in problem.responses else None


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
