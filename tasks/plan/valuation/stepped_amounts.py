"""Candidates that set an amount without a response: of all amounts the next step alone may be taken."""

from __future__ import annotations

from handlers.contract.action import AMOUNT
from storage.records import Candidate, GoalType, GoalView, metric_of
from tasks.drivers.amount_steps import Move
from tasks.drivers.settable_amounts import AmountStep, unit_cost_of
from tasks.plan.problem import PlanProblem

_RELIEF = 0.5


def step_for(problem: PlanProblem, view: GoalView, candidate: Candidate) -> AmountStep | None:
    """Return the step that a candidate's amount is to take; None where it sets none, or a response plans it."""
    sets, objective = problem.traits_of(candidate.action).sets, problem.objective_of(view)
    if sets is None or AMOUNT not in candidate.params:
        return None
    is_planned = objective is not None and objective.capacity == sets and objective.name in problem.responses
    return None if is_planned else problem.steps.get(sets)


def gain_of(problem: PlanProblem, view: GoalView, candidate: Candidate, step: AmountStep) -> float | None:
    """Return what a candidate is worth to a goal where it is the step that the goal asks for; None where it is not."""
    if why_not(problem, view, candidate, step) is not None:
        return None
    if step.move is Move.GIVE_BACK:
        return abs(step.now - step.to) * unit_cost_of(problem.traits_of(candidate.action))
    # What a step saves is not known: half of what is at stake, so that it goes before what is believed to do less.
    return _RELIEF * problem.severity_of(view) * view.goal.probability


def why_not(problem: PlanProblem, view: GoalView, candidate: Candidate, step: AmountStep) -> str | None:
    """Return why a candidate's amount may not be set now; None where it is the next step."""
    is_about_amount = view.goal.series is not None and step.sets in {view.goal.series, metric_of(view.goal.series)}
    is_saving = view.goal.goal_type is GoalType.COST_REDUCTION and is_about_amount
    if view.goal.objective not in step.objectives and not is_about_amount and step.objectives:
        return f"{step.sets} is stepped for {', '.join(step.objectives)} alone"
    if step.move not in {Move.RELIEVE, Move.GIVE_BACK}:
        return _with_help(problem, view, step)
    if is_saving is not (step.move is Move.GIVE_BACK):
        other = "is to relieve another goal" if is_saving else "gives back what is not needed, which no bound asks for"
        return f"the next step of {step.sets} {other}"
    return None if candidate.params[AMOUNT] == step.to else step.reason


def step_story(problem: PlanProblem, view: GoalView, candidate: Candidate) -> str | None:
    """Return why an amount takes its step, and what would let it be planned, in plain English; None for others."""
    step = step_for(problem, view, candidate)
    if step is None or step.to == step.now:
        return None
    return _with_help(problem, view, step) + "."


def _with_help(problem: PlanProblem, view: GoalView, step: AmountStep) -> str:
    objective = problem.objective_of(view)
    if objective is None or objective.name not in step.objectives:
        return step.reason
    help_ = (
        "its data fit no response yet"
        if objective.driver is not None
        else f"name `driver` and `capacity` of the objective {objective.name}, so that it can be planned ahead"
    )
    return f"{step.reason} (what it changes of {objective.measured} is not known: {help_})"
