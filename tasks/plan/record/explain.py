"""Say why: what was chosen, what came next, what stood in the way, in plain English."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from storage.records import NOTHING, Candidate, FloatArray, GoalView, Objective, Strategy
from tasks.drivers.responses import on_grid
from tasks.plan.optimise.allocation_limits import Allocation, Limits
from tasks.plan.optimise.columns import Blocked, Column
from tasks.plan.optimise.draw import Draw
from tasks.plan.optimise.solve import solve_greedy, solve_milp
from tasks.plan.problem import PlanProblem
from tasks.plan.valuation.amounts import amount_of
from tasks.plan.valuation.priors import declared_effect, effect_of
from tasks.plan.valuation.stepped_amounts import step_for, step_story
from tasks.text import limit, moment, number, percent, span, unit_of, value

_SURE = 0.995
"""From this chance on it was no draw that decided."""


def runner_up(
    problem: PlanProblem,
    worthy: Sequence[Column],
    solution: Sequence[Column],
    limits: Limits,
    chosen: Column,
) -> tuple[Column | None, float]:
    """Return what the goal would get, and the utility lost overall, if what was chosen were forbidden.

    The programme is solved again without the chosen action for this goal. Goals that share nothing with it but the
    slots keep what they have, which makes the loss an upper bound where slots are short, and exact otherwise.
    """
    near = neighbours(worthy, chosen.goal_id)
    fixed = [each for each in solution if not near & set(each.serves)]
    beside = Allocation(limits, fixed)
    rest = [
        each
        for each in worthy
        if each.goal_id in near
        and not (chosen.goal_id in each.serves and each.offer == chosen.offer)
        and beside.clash(each) is None
    ]
    used = Counter(each.slot for each in fixed)
    room = Limits(tuple(room - used[slot] for slot, room in enumerate(limits.room)))
    picked = [rest[index] for index in (solve_milp if problem.method == "milp" else solve_greedy)(rest, room)]
    instead = next((each for each in picked if chosen.goal_id in each.serves), None)
    before = sum(each.value for each in solution if near & set(each.serves))
    return instead, max(0.0, before - sum(each.value for each in picked))


def neighbours(columns: Sequence[Column], goal_id: str) -> set[str]:
    """Return a goal and those that want a resource it could use."""
    resources = {each for column in columns if column.goal_id == goal_id for each in column.resources}
    sharing = (each for each in columns if not resources.isdisjoint(each.resources))
    return {goal_id}.union(*(each.serves for each in sharing))


def explain_act(
    problem: PlanProblem,
    view: GoalView,
    draw: Draw,
    strategy: tuple[Strategy, str],
    risk: float,
    instead: Column | None,
    lost: float,
) -> str:
    """Return the explanation of an action that was chosen."""
    column = draw.column
    assert column is not None
    when = "now" if column.slot == 0 else f"at {moment(problem.slot_at(column.slot))}"
    parts = [f"{named(problem, column.candidate)} {when}: {_because(problem, view, column, risk)}"]
    if column.candidate.steps:
        parts.append(_in_steps(problem, view, column.candidate))
    if len(column.serves) > 1:
        parts.append(f"It serves {len(column.serves)} goals at once.")
    if draw.wanted != draw.action:
        parts.append(f"By value alone it would have been {draw.wanted}; this was drawn in order to learn.")
    if instead is not None:
        other = named(problem, instead.candidate)
        parts.append(f"The next best is {other}, worth {number(lost, 3)} less.")
    else:
        parts.append(f"Doing nothing is worth {number(lost, 3)} less.")
    parts.append(f"Strategy {strategy[0].value}: {strategy[1]}.")
    if draw.propensity < 1.0:
        parts.append(f"It was drawn with a probability of {percent(draw.propensity)}.")
    return " ".join(parts)


def _in_steps(problem: PlanProblem, view: GoalView, candidate: Candidate) -> str:
    """Say what is done in which order, why not one of it alone, and what becomes of it where a step fails."""
    names = [step.action for step in candidate.steps]
    alone = [effect_of(problem, step, view.goal) for step in candidate.steps]
    together, doubt = problem.pair_beliefs.together(view.goal.goal_type, names, alone)
    apart = ", ".join(f"{name} {number(mean, 2)}" for name, (mean, _) in zip(names, alone, strict=True))
    return (
        f"It is a sequence of {len(names)} steps: alone they are believed to do {apart}, together "
        f"{number(together, 2)} ± {number(doubt, 2)} sd. Each is checked before the next begins; if one fails, those "
        "before are undone."
    )


def _because(problem: PlanProblem, view: GoalView, column: Column, risk: float) -> str:
    story = amount_story(problem, view, column.candidate)
    if story is not None:
        return f"{story} Compared with the present amount it saves {number(column.value)} per step{_costs(column)}."
    stepped = step_story(problem, view, column.candidate)
    if stepped is not None:
        return stepped
    left = float(column.worth.risk_left[column.slot])
    return f"it is expected to lower the risk from {number(risk, 3)} to {number(left, 3)}{_costs(column)}."


def weighed(problem: PlanProblem, columns: Iterable[Column]) -> str:
    """Return what each way would save and cost, best first, for a person who is asked."""
    best: dict[str, Column] = {}
    for column in sorted(columns, key=lambda each: -each.value):
        best.setdefault(column.offer, column)
    said = [
        f"{named(problem, each.candidate)} saves {number(each.worth.own_gain[each.slot])}, "
        f"costs {number(each.candidate.cost)}{_harms(each)}"
        for each in best.values()
    ]
    return f"To weigh: {'; '.join(said)}; nothing saves and costs nothing."


def _harms(column: Column) -> str:
    harm = float(column.worth.own_gain[column.slot] - column.worth.gain[column.slot])
    harmed = " and ".join(column.worth.harmed)
    return f" and harms {harmed} by {number(harm)}" if harm > 0 and harmed else ""


def contradictions(problem: PlanProblem, view: GoalView) -> list[str]:
    """Say of which actions what they declare for a goal's metric is the opposite of what was measured, each once."""
    said = dict[str, None]()
    for candidate in problem.candidates.get(view.goal.goal_id, ()):
        declared = declared_effect(candidate, view.goal, problem.series_sd.get(view.goal.series or ""))
        if not declared:
            continue
        mean, sd = problem.beliefs.effect(candidate.action, view.goal, candidate.target)
        if mean * declared < 0 and abs(mean) > 2 * sd:
            meant, found = ("help", "harm") if declared > 0 else ("harm", "help")
            words = f"{candidate.action} is declared to {meant} but was measured to {found}: the measurement counts."
            said[words] = None
    return list(said)


def shared_amounts(problem: PlanProblem, view: GoalView) -> list[str]:
    """Say which actions that may be taken for a goal set one and the same amount, each amount once."""
    setting: dict[str, dict[str, None]] = {}
    for candidate in problem.candidates.get(view.goal.goal_id, ()):
        sets = problem.traits_of(candidate.action).sets
        if sets is not None:
            setting.setdefault(sets, {})[candidate.action] = None
    return [
        f"{' and '.join(names)} set {sets} alike: it is one amount, and one of them is taken."
        for sets, names in setting.items()
        if len(names) > 1
    ]


def explain_wait(
    problem: PlanProblem, column: Column, strategy: tuple[Strategy, str], blocked: Sequence[Blocked]
) -> str:
    """Return the explanation of an action that is best done later and not committed yet."""
    mine = [each for each in blocked if each.candidate == column.candidate]
    until = f" (until then: {'; '.join(each.reason for each in mine)})" if mine else ""
    return (
        f"Wait: {named(problem, column.candidate)} is worth most in {span(column.slot * problem.slot_s)} and is "
        f"decided then{until}. Strategy {strategy[0].value}: {strategy[1]}."
    )


def explain_nothing(
    problem: PlanProblem, view: GoalView, draw: Draw, best: Column | None, risk: float, blocked: Sequence[Blocked]
) -> str:
    """Return the explanation of doing nothing."""
    if draw.wanted != NOTHING and draw.propensity >= _SURE:
        return (
            f"Nothing: {draw.wanted} would save so little that by what is believed of it doing nothing is as good; the "
            f"risk of doing nothing is {number(risk)}."
        )
    if draw.wanted != NOTHING:
        return (
            f"Nothing, on purpose, drawn with a probability of {percent(draw.propensity)}: this shows how much of the "
            f"effect of {draw.wanted} happens anyway."
        )
    wholly = [each for each in blocked if each.is_wholly]
    if best is None and wholly:
        return "Nothing: no action is allowed now: " + "; ".join(reasons_of(wholly)) + "."
    if best is None and view.goal.informs:
        return "Nothing: this goal informs. The goal of an objective that it endangers says what to do."
    if best is None:
        return "Nothing: no registered action proposes anything for this goal; `foreact doctor` lists the actions."
    is_step = best is not None and step_for(problem, view, best.candidate) is not None
    is_stay = best.worth.is_planned and not is_step and not best.worth.harmed
    if is_stay and best.value < max(best.worth.needed, 1e-12):
        return _stay(problem, view, best)
    if risk <= 0:
        return "Nothing: no simulated future breaks the bound within the horizon."
    if best.value <= 0:
        return (
            f"Nothing: even the best candidate, {named(problem, best.candidate)}, is expected to {best.loss}, "
            f"by {number(-best.value)}; the risk of doing nothing is {number(risk)}."
        )
    if best.value >= best.worth.needed:
        return f"Nothing: {named(problem, best.candidate)} gives way to weightier goals."
    return (
        f"Nothing: the best candidate, {named(problem, best.candidate)}, is worth {number(best.value)}; the "
        f"risk of doing nothing is {number(risk)}, and acting requires {number(best.worth.needed)}, a margin of "
        f"{percent(problem.margin)} of what it could save."
    )


def reasons_of(blocked: Sequence[Blocked]) -> tuple[str, ...]:
    """Return one line per candidate and reason, each once."""
    lines = dict.fromkeys(f"{each.candidate.action}: {each.reason}" for each in blocked)
    return tuple(lines)


def _stay(problem: PlanProblem, view: GoalView, best: Column) -> str:
    """Return why the amount that is there is kept."""
    objective = problem.objective_of(view)
    assert objective is not None
    now = problem.capacities[str(objective.capacity)]
    other = f"{named(problem, best.candidate)} is next best, at {number(best.value)} per step compared with no change"
    return (
        f"Nothing: {objective.capacity} stays at {number(now, 3)}. {forecast_story(problem, objective, now)} {other}."
    )


def _costs(column: Column) -> str:
    return f", at a cost of {number(column.candidate.cost)}" if column.candidate.cost else ""


_LEVELS = (0.05, 0.95)


def named(problem: PlanProblem, candidate: Candidate) -> str:
    """Return an action with its amount and its target, as people would say it."""
    amount = candidate.params.get("amount") if problem.traits_of(candidate.action).sets else None
    to = f" to {number(amount, 3)}" if isinstance(amount, int | float) else ""
    target = candidate.target
    return candidate.action + to + (f" on {target}" if target and target != candidate.action else "")


def amount_story(problem: PlanProblem, view: GoalView, candidate: Candidate) -> str | None:
    """Return what an amount changes for a goal, in plain English; None where the candidate sets none."""
    objective = problem.objective_of(view)
    amount = amount_of(problem, objective, candidate)
    if objective is None or amount is None or objective.name not in problem.responses:
        return None
    now = problem.capacities[str(objective.capacity)]
    change = f"{objective.capacity} goes from {number(now, 3)} to {number(amount, 3)}"
    if amount > now and candidate.latency_s:
        change += f", which works after {span(candidate.latency_s)}"
    return f"{change}. {forecast_story(problem, objective, now, amount)}"


def forecast_story(problem: PlanProblem, objective: Objective, *amounts: float) -> str:
    """Return what the driver does within the horizon, and the worst of the metric at each amount."""
    driver = problem.paths.get(str(objective.driver))
    if driver is None or driver.size == 0:
        return f"There is no forecast of {objective.driver}."
    step_s = problem.step_s[str(objective.driver)]
    ahead = driver[:, : max(1, min(driver.shape[1], round(objective.horizon_s / step_s)))]
    worst = np.max if objective.side == "below" else np.min
    response, unit = on_grid(problem.responses[objective.name], step_s), unit_of(objective.measured)
    reached = [
        f"{_range(worst(response.metric(ahead, np.array(amount)), axis=1), unit)} at {number(amount, 3)}"
        for amount in dict.fromkeys(amounts)
    ]
    if objective.driver == objective.capacity:
        return f"It should be {limit(objective.side, objective.bound, unit)}."
    extreme = "highest" if objective.side == "below" else "lowest"
    return (
        f"Within {span(ahead.shape[1] * step_s)} the {extreme} value of {objective.driver} is "
        f"{_range(worst(ahead, axis=1), unit_of(str(objective.driver)))} "
        f"(90 % of the paths); {objective.measured} then reaches {', '.join(reached)}; it should be "
        f"{limit(objective.side, objective.bound, unit)}."
    )


def _range(values: FloatArray, unit: str) -> str:
    low, high = (value(float(bound), unit, digits=3) for bound in np.quantile(values, _LEVELS))
    return low if low == high else f"{low} to {high}"
