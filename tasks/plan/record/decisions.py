"""Write a round down: one decision a goal with everything that was weighed, and what follows from it."""

from __future__ import annotations

from collections.abc import Sequence

from storage.records import NOTHING, Action, Alternative, Autonomy, Candidate, Decision, GoalView, Plan
from tasks.plan.optimise.allocation_limits import Allocation
from tasks.plan.optimise.columns import Blocked, Column
from tasks.plan.optimise.draw import Draw
from tasks.plan.optimise.round import Round
from tasks.plan.problem import Dropped, PlanResult
from tasks.plan.record.actions import decision_id, information_actions, plan_of, steps_of
from tasks.plan.record.choices import late_choice, late_said
from tasks.plan.record.explain import (
    contradictions,
    explain_act,
    explain_nothing,
    explain_wait,
    reasons_of,
    runner_up,
    shared_amounts,
    weighed,
)
from tasks.text import number, percent


def write(round_: Round, dropped: Sequence[Dropped]) -> PlanResult:
    """Return the result of a round."""
    decisions = {view.goal.goal_id: decision_of(round_, view) for view in round_.views}
    acts = {
        column.goal_id: _acts(round_, column, decisions[column.goal_id])
        for column in round_.taken.columns
        if round_.commits(column)
    }
    notes = information_actions(round_.problem, round_.views)
    plans: list[Plan] = []
    for view in round_.views:
        goal_id = view.goal.goal_id
        column = round_.served_by.get(goal_id)
        mine = [*(acts.get(column.goal_id, ()) if column else ()), notes.get(goal_id)]
        ids = [act.action_id for act in mine if act is not None]
        if ids:
            plans.append(plan_of(round_.problem, view, decisions[goal_id], ids))
    actions_by_id = {act.action_id: act for act in notes.values()}
    return PlanResult(
        plans=tuple(plans),
        decisions=tuple(decisions.values()),
        actions=(*(act for steps in acts.values() for act in steps), *actions_by_id.values()),
        dropped=tuple(dropped),
        utility=round_.best_utility,
    )


def decision_of(round_: Round, view: GoalView) -> Decision:
    """Return what was decided for one goal, with the probability of it, over what, and why."""
    goal_id = view.goal.goal_id
    column = round_.served_by.get(goal_id)
    draw = round_.draws[column.goal_id if column else goal_id]
    refused = [each for each in round_.blocked if each.goal_id == goal_id]
    late = late_choice(round_.problem, view, draw)
    # What stands in the way of a goal's other columns is what was taken for the other goals.
    others = Allocation(round_.limits, (each for each in round_.taken.columns if goal_id not in each.serves))
    return Decision(
        decision_id=decision_id(round_.problem, view),
        goal_id=goal_id,
        at=round_.problem.tick,
        chosen=_alternative(column, draw) if column else _nothing(draw),
        alternatives=_alternatives(round_, goal_id, draw, column, refused, others),
        strategy=round_.strategies[goal_id][0],
        explanation=" ".join(
            [
                _explanation(round_, goal_id, draw, column, refused),
                *contradictions(round_.problem, view),
                *shared_amounts(round_.problem, view),
                *late_said(late),
            ]
        ),
        seed=draw.seed,
        late=late,
        blocked_by=(*reasons_of(refused), *_bound_by(round_, goal_id, column, others)),
    )


def _acts(round_: Round, column: Column, decision: Decision) -> list[Action]:
    view = next(view for view in round_.views if view.goal.goal_id == column.goal_id)
    return steps_of(
        round_.problem,
        view,
        column.candidate,
        strategy=decision.strategy,
        slot=column.slot,
        propensity=decision.chosen.propensity,
    )


def _explanation(round_: Round, goal_id: str, draw: Draw, column: Column | None, refused: Sequence[Blocked]) -> str:
    problem, strategy, valuer = round_.problem, round_.strategies[goal_id], round_.valuers[goal_id]
    view = valuer.view
    if column is None:
        best = max(round_.columns_for(goal_id), key=lambda each: each.value, default=None)
        return explain_nothing(problem, view, draw, best, valuer.risk, refused)
    if column.goal_id != goal_id:
        return f"{column.action}, chosen for a weightier goal, serves this one as well."
    if not round_.commits(column):
        return explain_wait(problem, column, strategy, refused)
    instead, lost = runner_up(problem, round_.worthy, round_.solution, round_.limits, column)
    said = explain_act(problem, view, draw, strategy, valuer.outlook.risk, instead, lost)
    is_asked = problem.level(view.goal.goal_type, column.action) is not Autonomy.AUTO
    return f"{said} {weighed(problem, round_.columns_for(goal_id))}" if is_asked else said


def _bound_by(round_: Round, goal_id: str, chosen: Column | None, others: Allocation) -> tuple[str, ...]:
    """Return what kept better columns of a goal from being taken."""
    value = chosen.value if chosen else 0.0
    better = [each for each in round_.columns_for(goal_id) if each.value > value and round_.is_worth_it(each)]
    reasons = ((each, others.clash(each)) for each in better)
    return tuple(dict.fromkeys(f"{each.action}: {reason}" for each, reason in reasons if reason))


def _alternatives(
    round_: Round, goal_id: str, draw: Draw, chosen: Column | None, refused: Sequence[Blocked], others: Allocation
) -> tuple[Alternative, ...]:
    """Return every candidate not taken, at its best slot, best first; then doing nothing."""
    best: dict[str, Column] = {}
    for column in round_.columns_for(goal_id):
        other = best.get(column.offer)
        best[column.offer] = column if other is None or column.value > other.value else other
    if chosen is not None:
        best.pop(chosen.offer, None)
    listed = [_alternative(each, draw, _why_not(round_, each, others)) for each in best.values()]
    listed += [_refused(each) for each in refused if each.is_wholly]
    nothing = [] if chosen is None else [_nothing(draw, "it would not change the risk")]
    return (*sorted(listed, key=lambda each: -each.value), *nothing)


def _alternative(column: Column, draw: Draw, reason: str = "") -> Alternative:
    # An action is drawn by name; of its variants only the one that stood in the draw could have been taken.
    could_be = draw.options.get(column.action) == column.offer
    return Alternative(
        action=column.action,
        params=column.candidate.params,
        target=column.candidate.target,
        value=column.value,
        propensity=draw.propensities[column.action] if could_be else 0.0,
        gain=column.value + column.charged,
        cost=column.charged,
        slot=column.slot,
        reason=reason,
        steps=_titles(column.candidate),
    )


def _titles(candidate: Candidate) -> tuple[str, ...]:
    titles = (step.action if step.target == step.action else f"{step.action} {step.target}" for step in candidate.steps)
    return tuple(title.strip() for title in titles)


def _refused(blocked: Blocked) -> Alternative:
    return Alternative(
        action=blocked.candidate.action,
        params=blocked.candidate.params,
        target=blocked.candidate.target,
        value=0.0,
        propensity=0.0,
        reason=blocked.reason,
        steps=_titles(blocked.candidate),
    )


def _nothing(draw: Draw, reason: str = "") -> Alternative:
    return Alternative(action=NOTHING, value=0.0, propensity=draw.propensities[NOTHING], reason=reason)


def _why_not(round_: Round, column: Column, others: Allocation) -> str:
    in_the_way = others.clash(column)
    if in_the_way is not None:
        return in_the_way
    if column.value <= 0:
        return f"it is expected to {column.loss}"
    if column.worth.is_planned and not round_.is_worth_it(column):
        return f"it saves too little over the present amount: {number(column.worth.needed)} per step is required"
    if not round_.is_worth_it(column):
        return f"it removes less than {percent(round_.problem.margin)} of the risk that it could remove"
    return "another action was worth more, or was drawn"
