"""What others propose: checked like an act of the loop's own, recorded as one, and judged by what it changes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from threading import Lock
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, best_match
from referencing import Registry
from referencing.exceptions import Unresolvable

from api import queries
from api.commands.operator import BY_HAND, tend
from api.facade import Facade
from api.models.proposals import ProposalIn, Proposed
from handlers import ActionHandler
from handlers.contract.action import AMOUNT
from handlers.contract.parameters import checked
from storage.actions import ActionView
from storage.errors import ForeactError
from storage.records import (
    Action,
    Alternative,
    Autonomy,
    Decision,
    GoalView,
    Objective,
    Strategy,
    stable_id,
)
from tasks.authority import (
    NOT_HEARD_FOR,
    as_allowed_now,
    as_it_stands,
    counts_for,
    level_in_force,
    proposer_level,
)
from tasks.configured_actions import configured_actions
from tasks.goals.family import leads_to_act
from tasks.learn.proposers import ON_TRIAL
from tasks.objectives.in_force import objectives_in_force

MOST_AT_ONCE = 3
"""How many proposals of one may be open, or wait for their effect to be measured."""


_ONE_AT_A_TIME = Lock()
"""How many are open is counted and one more written without another in between."""


def propose(facade: Facade, goal_id: str, body: ProposalIn, proposer: str) -> Proposed:
    """Take down a proposal, and start it where its action, its proposer and the mode allow it to run by itself.

    Raises a refusal that says what is wrong with it; nothing is then recorded.
    """
    goal = facade.store.goals.get(goal_id)
    if goal is None:
        raise queries.goals.unknown_goal(goal_id)
    _refuse_useless(facade, proposer)
    # This asks Prefect, which may take its time: others need not wait for that.
    handler = _usable(facade, goal, body.action)
    with _ONE_AT_A_TIME:
        view, is_new = _taken_down(facade, goal, handler, body, proposer)
    started, note = None, ""
    stands = _as_it_stands(facade, view)
    if is_new and stands.action.level is Autonomy.AUTO:
        started, note = tend(facade, view.action.action_id, "proposal")
    return _answer(facade, stands, is_new, started, note)


def _as_it_stands(facade: Facade, view: ActionView) -> ActionView:
    return as_it_stands(facade.in_force, configured_actions(facade.in_force), facade.store, view)


def _taken_down(
    facade: Facade, goal: GoalView, handler: ActionHandler, body: ProposalIn, proposer: str
) -> tuple[ActionView, bool]:
    """Return the action of a proposal, and whether it is new: the same one twice is one."""
    goal_id = goal.goal.goal_id
    offer = _offered(facade, goal_id, handler.name, body.params)
    params = offer.params if offer else _valid(handler, body.params)
    for view in facade.store.actions.of_goal(goal_id):
        is_open = view.receipt is None and facade.clock() < view.action.expires_at
        if is_open and (view.action.name, view.action.params) == (handler.name, params):
            return view, False
    _refuse_too_many(facade, proposer)
    return _record(facade, goal, handler, offer, params, body.reason, proposer), True


def _refuse_useless(facade: Facade, proposer: str) -> None:
    standing = proposer_level(facade.store, proposer)
    if standing.level is not Autonomy.OBSERVE:
        return
    until = f"{standing.since + NOT_HEARD_FOR:%Y-%m-%d %H:%M} UTC"
    raise ForeactError(
        "proposer_refused",
        f"Proposals of {proposer} are refused until {until}: {standing.reason}.",
        "It can go on reading. A person who trusts it again gives it a key of another name.",
        status=403,
    )


def _usable(facade: Facade, goal: GoalView, name: str) -> ActionHandler:
    """Return the action that is proposed for a goal; raises a refusal where it is not one that could serve it now."""
    available = queries.goals.actions_here(facade)
    handler = available.get(name)
    listed = "GET /api/autonomous/actions?available=true lists them."
    if handler is None:
        raise ForeactError("action_not_registered", f"There is no action {name[:100]!r} here.", listed, status=422)
    if not goal.is_open:
        detail = f"{goal.goal.goal_id} is {goal.state}: there is nothing more to do for it."
        raise ForeactError("goal_closed", detail, "GET /api/autonomous/goals lists the open ones.", status=409)
    if (trouble := _why_not(handler, goal, facade)) is not None:
        raise ForeactError("action_not_for_goal", f"{name} {trouble}", listed, status=422)
    return handler


def _why_not(handler: ActionHandler, goal: GoalView, facade: Facade) -> str | None:
    if not handler.enabled:
        return "is switched off in foreact.toml."
    if not handler.is_ready:
        return f"is not set up: foreact.toml sets none of {', '.join(handler.needs)} for it."
    if not handler.serves(goal.goal):
        return f"is not meant for {goal.goal.goal_type} goals on {goal.goal.series or 'no series'}."
    if not handler.informs_only and not leads_to_act(goal, facade.store.goals.open()):
        return "would change something, but this goal only reports."
    return None


def _valid(handler: ActionHandler, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters with their defaults; raises `parameters_invalid`, which does not repeat the values."""
    refused = partial(ForeactError, "parameters_invalid", status=422)
    remedy = "GET /api/autonomous/actions?available=true shows the schema of its parameters."
    try:
        schema = handler.parameter_schema
        unknown = sorted(given.keys() - schema.get("properties", {}).keys())
        if unknown and not schema.get("additionalProperties", False):
            raise refused(f"{handler.name} has no parameter {unknown[0][:100]!r}.", remedy)
        json.dumps(given, allow_nan=False)
        params = checked(handler.parameters, given, handler.option_values)
        # With a registry of its own it fetches nothing from an address that a schema names.
        error = best_match(Draft202012Validator(schema, registry=Registry()).iter_errors(dict(given)))
    except (ValueError, SchemaError, Unresolvable, RecursionError) as trouble:
        raise refused(f"{handler.name}: {str(trouble).splitlines()[0]}", remedy) from None
    if error is not None:
        where = ".".join(map(str, error.absolute_path)) or "its parameters"
        raise refused(f"{handler.name}: {where} must fit {error.validator} of the schema.", remedy)
    if handler.amounts and params.get(AMOUNT) not in handler.amounts:
        first, last = handler.amounts[0], handler.amounts[-1]
        raise refused(f"{handler.name} sets one of its allowed amounts, from {first:g} to {last:g}.", remedy)
    return params


def _refuse_too_many(facade: Facade, proposer: str) -> None:
    """Raise `too_many_proposals` where as many of one are open or unmeasured as may be.

    While it is on trial no more are under way than are left of it, so that a useless proposer ends there.
    """
    mine = {each.action.action_id: each for each in facade.store.actions.proposed()}
    mine = {action_id: each for action_id, each in mine.items() if each.action.proposed_by == proposer}
    unmeasured = {each.action.action_id for each in facade.store.actions.unmeasured()}
    now = facade.clock()
    open_ids = [
        action_id
        for action_id, each in mine.items()
        if action_id in unmeasured or (each.receipt is None and now < each.action.expires_at)
    ]
    measured = sum(
        each.touched is not None and action_id not in unmeasured and counts_for(facade.store, each.action)
        for action_id, each in mine.items()
    )
    allowed = min(MOST_AT_ONCE, ON_TRIAL - measured) if measured < ON_TRIAL else MOST_AT_ONCE
    if len(open_ids) < allowed:
        return
    raise ForeactError(
        "too_many_proposals",
        f"{len(open_ids)} proposals of {proposer} wait for an answer or for their effect to be measured; "
        f"{allowed} may at once.",
        f"GET /api/autonomous/actions/{open_ids[0]} shows how the first of them stands.",
        status=429,
    )


def _record(
    facade: Facade,
    goal: GoalView,
    handler: ActionHandler,
    offer: Alternative | None,
    params: dict[str, Any],
    reason: str,
    proposer: str,
) -> ActionView:
    """Write a proposal down as a decision and an action, as a turn of the loop does."""
    now, store = facade.clock(), facade.store
    # What the newest plan did not weigh for this goal is a person's to allow, and all of it counts as one target.
    target = offer.target if offer else handler.target or handler.name
    level = min(
        level_in_force(store, goal.goal.goal_type, handler),
        Autonomy.AUTO if offer or handler.informs_only else Autonomy.APPROVE,
        proposer_level(store, proposer).level,
        key=lambda each: each.rank,
    )
    action = _action(facade, goal, handler, params, target, level, proposer, now)
    chosen = Alternative(action=handler.name, params=params, target=target, value=0.0, propensity=1.0, reason=reason)
    decision = Decision(
        decision_id=action.decision_id,
        goal_id=action.goal_id,
        at=now,
        chosen=chosen,
        alternatives=(),
        strategy=Strategy.IMMEDIATE,
        explanation=f"{proposer} proposed it: {reason}",
        seed=0,
    )
    cycle_id = action.forecast_cycle_id or BY_HAND

    def write() -> None:
        store.decisions.append([decision], [], cycle_id)
        store.actions.append([action], cycle_id)

    store.together(write)
    view = ActionView(action, None, None, None)
    detail = {
        "action": action.name,
        "target": target,
        "params": params,
        "goal": action.goal_id,
        "level": _as_it_stands(facade, view).action.level,
        "reason": reason,
    }
    store.audit.append(proposer, "propose action", action.action_id, detail)
    return view


def _offered(facade: Facade, goal_id: str, name: str, params: Mapping[str, Any]) -> Alternative | None:
    """Return what the newest plan for a goal weighed and could have taken, if it is what is proposed."""
    plans = (each for each in facade.store.decisions.of_goal(goal_id) if each.alternatives)
    planned = max(plans, key=lambda each: each.at, default=None)
    weighed = () if planned is None else (planned.chosen, *planned.alternatives)
    return next((each for each in weighed if each.value and (each.action, each.params) == (name, dict(params))), None)


def _action(
    facade: Facade,
    view: GoalView,
    handler: ActionHandler,
    params: dict[str, Any],
    target: str,
    level: Autonomy,
    proposer: str,
    now: datetime,
) -> Action:
    goal, options = view.goal, facade.in_force.executor
    objective = _objective_of(facade, view)
    sets_planned = handler.sets is not None and AMOUNT in params and objective is not None and objective.capacity
    lasts_s = options.approval_expires_seconds if level is not Autonomy.AUTO else _EXPIRES_S
    number = stable_id("proposal", goal.goal_id, proposer, handler.name, sorted(params.items()), now.isoformat())
    return Action(
        action_id=stable_id("action", number),
        name=handler.name,
        goal_id=goal.goal_id,
        goal_type=goal.goal_type,
        plan_id="",
        decision_id=stable_id("decision", number),
        params=params,
        target=target,
        level=level,
        created_at=now,
        due_at=now,
        expires_at=now + timedelta(seconds=lasts_s),
        series=None if handler.informs_only or sets_planned else goal.series,
        side=goal.side,
        guards=objective.guards if objective is not None and not handler.informs_only else (),
        horizon_s=handler.latency_s + handler.measured_for_s(options.measure_horizon_seconds),
        least_horizon_s=handler.cut_after_s(handler.latency_s, options.measure_horizon_seconds),
        priority=goal.priority,
        bound=goal.bound,
        forecast_cycle_id=facade.store.forecasts.latest_cycle() or "",
        proposed_by=proposer,
    )


_EXPIRES_S = 900.0


def _objective_of(facade: Facade, view: GoalView) -> Objective | None:
    known = objectives_in_force(facade.in_force, facade.store)
    return next((each for each in known if each.name == view.goal.objective), None)


def _answer(facade: Facade, view: ActionView, is_new: bool, started: str | None, trouble: str) -> Proposed:
    action, status = view.action, queries.goals.action_status(view, facade.clock())
    allowed = as_allowed_now(configured_actions(facade.in_force), facade.store, view).action.level
    sentences = [
        "It is taken down." if is_new else "It was proposed or planned already.",
        "It runs once every guard allows it." if status == "scheduled" else "",
        "A person must approve it before it runs." if status == "waiting for approval" else "",
        "The kill switch is on: nothing runs before it is off." if facade.in_force.kill_switch_path.exists() else "",
        trouble,
    ]
    return Proposed(
        action_id=action.action_id,
        goal_id=action.goal_id,
        status=status,
        level=allowed,
        proposed_by=action.proposed_by,
        flow_run_id=started,
        note=" ".join(each for each in sentences if each),
    )
