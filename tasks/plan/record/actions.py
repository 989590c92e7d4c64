"""Write down what was decided: actions and plans as records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from storage.records import Action, Autonomy, Candidate, Decision, GoalView, Plan, Strategy, stable_id
from tasks.plan.problem import PlanProblem
from tasks.plan.valuation.amounts import amount_of
from tasks.plan.valuation.stepped_amounts import step_for
from tasks.plan.valuation.value import offer_key


def action_of(
    problem: PlanProblem,
    view: GoalView,
    candidate: Candidate,
    *,
    strategy: Strategy,
    slot: int = 0,
    propensity: float = 1.0,
    level: Autonomy | None = None,
) -> Action:
    """Return the action that a decision leads to, with all that is needed to judge it afterwards.

    `level` is what it may do where it is a step of something else.
    """
    goal, objective = view.goal, problem.objective_of(view)
    is_aimed = _is_aimed(problem, view, candidate)
    level = level or problem.level(goal.goal_type, candidate.action)
    due_at = problem.slot_at(slot)
    waits_for_a_person = level is not Autonomy.AUTO
    lasts_s = problem.approval_expires_s if waits_for_a_person else max(problem.expires_s, 2 * problem.slot_s)
    return Action(
        action_id=stable_id(
            "action", decision_id(problem, view), candidate.action, candidate.target, sorted(candidate.params.items())
        ),
        name=candidate.action,
        goal_id=goal.goal_id,
        goal_type=goal.goal_type,
        plan_id=plan_id(problem, view),
        decision_id=decision_id(problem, view),
        params=dict(candidate.params),
        target=candidate.target,
        strategy=strategy,
        level=level,
        created_at=problem.tick,
        due_at=due_at,
        expires_at=due_at + timedelta(seconds=lasts_s),
        series=goal.series if is_aimed else None,
        side=goal.side,
        guards=objective.guards if objective and not problem.traits_of(candidate.action).informs_only else (),
        horizon_s=measured_for_s(problem, candidate),
        least_horizon_s=problem.traits_of(candidate.action).cut_after_s(candidate.latency_s, problem.settle_s),
        propensity=propensity,
        priority=goal.priority,
        bound=goal.bound,
        off_usual_sd=problem.off_usual_sd.get(goal.goal_id, 0.0),
        usual=problem.usual.get(goal.goal_id),
        forecast_cycle_id=problem.cycle_id,
    )


def steps_of(
    problem: PlanProblem, view: GoalView, candidate: Candidate, *, strategy: Strategy, slot: int, propensity: float
) -> list[Action]:
    """Return the actions that a candidate leads to: itself, or the steps of a sequence, each due after the one before.

    All steps have the level of the sequence, and the last is measured for all.
    """
    common: dict[str, Any] = {"strategy": strategy, "slot": slot, "propensity": propensity}
    if not candidate.steps:
        return [action_of(problem, view, candidate, **common)]
    level, names = problem.level(view.goal.goal_type, candidate.action), tuple(each.action for each in candidate.steps)
    sequence_id = stable_id("sequence", decision_id(problem, view), *map(offer_key, candidate.steps))
    acts = [action_of(problem, view, step, **common, level=level) for step in candidate.steps]
    return [
        act.model_copy(
            update={
                "sequence_id": sequence_id,
                "position": position,
                "steps": names,
                "due_at": act.due_at + timedelta(seconds=start_s),
                "expires_at": act.expires_at + timedelta(seconds=start_s),
                "dry_run": problem.traits_of(candidate.action).dry_run,
                "horizon_s": act.horizon_s
                if position + 1 < len(names)
                else measured_for_s(problem, candidate) - start_s,
            }
        )
        for position, (act, start_s) in enumerate(zip(acts, candidate.starts_s, strict=True))
    ]


def measured_for_s(problem: PlanProblem, candidate: Candidate) -> float:
    """Return how long after it an act is measured: from when it works, as long as it works or two hours of that."""
    return candidate.latency_s + problem.traits_of(candidate.action).measured_for_s(problem.settle_s)


def _is_aimed(problem: PlanProblem, view: GoalView, candidate: Candidate) -> bool:
    """Tell whether an action is to be judged by what it changes of the goal's metric against that metric's forecast.

    One that only informs changes none. What an amount changes is known from its response, or is seen step by step; and
    the forecast of a metric that amounts hold down has those amounts in it: to grow for a load that comes would look as
    if nothing was gained.
    """
    objective = problem.objective_of(view)
    is_planned = objective is not None and objective.name in problem.responses
    is_step = step_for(problem, view, candidate) is not None
    sets_amount = is_step or (is_planned and amount_of(problem, objective, candidate) is not None)
    return not problem.traits_of(candidate.action).informs_only and not sets_amount


def decision_id(problem: PlanProblem, view: GoalView) -> str:
    """Return the id of a goal's decision in this cycle."""
    return stable_id("decision", problem.cycle_id, view.goal.goal_id)


def plan_id(problem: PlanProblem, view: GoalView) -> str:
    """Return the id of a goal's plan in this cycle."""
    return stable_id("plan", problem.cycle_id, view.goal.goal_id)


def plan_of(problem: PlanProblem, view: GoalView, decision: Decision, action_ids: Sequence[str]) -> Plan:
    """Return a goal's plan."""
    return Plan(
        plan_id=plan_id(problem, view),
        goal_id=view.goal.goal_id,
        decision_id=decision.decision_id,
        created_at=problem.tick,
        strategy=decision.strategy,
        action_ids=tuple(action_ids),
        explanation=decision.explanation,
    )


def information_actions(problem: PlanProblem, views: Sequence[GoalView]) -> dict[str, Action]:
    """Return an information action by goal for each goal that had none yet; goals that want the same one share it.

    They change nothing, so they take no slot and no resource; cooldowns, maintenance and levels hold for them as well.
    """
    chosen: dict[str, Action] = {}
    by_offer: dict[tuple[str, str], Action] = {}
    for view in views:
        candidate = None if view.goal.goal_id in problem.informed else next(_offers(problem, view), None)
        if candidate is None:
            continue
        key = (candidate.action, candidate.target)
        if key not in by_offer:
            by_offer[key] = action_of(problem, view, candidate, strategy=Strategy.IMMEDIATE)
        chosen[view.goal.goal_id] = by_offer[key]
    return chosen


def _offers(problem: PlanProblem, view: GoalView) -> Iterator[Candidate]:
    """Return a goal's information candidates that may run now, cheapest first."""
    mine = problem.candidates.get(view.goal.goal_id, ())
    for candidate in sorted(mine, key=lambda each: (each.cost, each.action, each.target)):
        if not problem.traits_of(candidate.action).informs_only:
            continue
        cool = problem.cooldown_until.get((candidate.action, candidate.target))
        is_cool = cool is None or cool <= problem.tick
        is_open = not any(start <= problem.tick < end for start, end in problem.maintenance)
        if is_cool and is_open and problem.level(view.goal.goal_type, candidate.action) is not Autonomy.OBSERVE:
            yield candidate
