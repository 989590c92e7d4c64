"""Run any Prefect deployment as an action: whatever a flow can do, the loop can do."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from handlers.contract.action import AMOUNT, ActionContext, CheckAnswer, Params, amount_in
from handlers.contract.registration import action
from handlers.contract.results import ActionResult

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun

    from storage.records import Candidate, Goal

REMEDY = "Add its name, as in 'flow/deployment', to deployments under [actions.run_deployment] in foreact.toml."


@action(
    name="run_deployment",
    default_level="approve",
    risk="medium",
    timeout_s=60.0,
    cooldown_s=600.0,
    rate_limits=("6/hour", "30/day"),
    latency_s=60.0,
    cost=0.1,
    explains_dry_run=True,
    needs=("deployment", "for_goal_types"),
    options={
        "deployment": "the deployment to run by default, as in flow/deployment",
        "deployments": "glob patterns of other deployments that parameters may name",
        "for_goal_types": "table of goal type = deployment; overrides the default",
        "parameters": "parameters of runs that are proposed",
        "amount_parameter": "the flow's parameter that gets the planned amount; amount",
    },
    example_params={"deployment": "scale/production", "parameters": {"replicas": 3}},
)
def run_deployment(params: Params, context: ActionContext) -> ActionResult:
    """Start a run of an allowed deployment and do not wait for it; the action's id keeps it a single run.

    An amount that the planner chose (`sets` and `amounts` in the configuration) is one more parameter of the run.
    """
    name = _deployment(params, context)
    refusal = _why_not(name, context)
    if refusal:
        return ActionResult(False, f"Refused: {refusal}", skipped=not name)
    if context.dry_run:
        with_amount = "".join(f" with {parameter} {value:g}" for parameter, value in _amount(params, context).items())
        return ActionResult(True, f"Dry run: would start a run of {name}{with_amount}.")
    from prefect.exceptions import ObjectNotFound

    try:
        run = _start(name, dict(params.get("parameters") or {}) | _amount(params, context), context)
    except ObjectNotFound:
        return ActionResult(False, f"There is no deployment {name}. Deploy it, or correct the name.")
    return ActionResult(
        True,
        f"Started run {run.name} of {name}.",
        evidence={"deployment": name, "flow_run_id": str(run.id), "flow_run_name": run.name},
    )


@run_deployment.check
def _check(params: Params, before: Params, context: ActionContext) -> CheckAnswer:
    """Look for the run that bears the action's id."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterIdempotencyKey

    same_key = FlowRunFilter(idempotency_key=FlowRunFilterIdempotencyKey(any_=[_key(context)]))
    with get_client(sync_client=True) as client:
        return "succeeded" if client.read_flow_runs(flow_run_filter=same_key, limit=1) else "skipped"


@run_deployment.propose
def _propose(goal: Goal, context: ActionContext) -> list[Candidate]:
    """Propose what the configuration maps to the goal's type, or its one default."""
    from storage.records import Candidate

    for_types = context.options.get("for_goal_types") or {}
    name = str(for_types.get(goal.goal_type.value) or context.options.get("deployment") or "")
    if not name:
        return []
    parameters = dict(context.options.get("parameters") or {})
    params = {"deployment": name, "parameters": parameters}
    return [Candidate(action="run_deployment", params=params, target=f"deployment:{name}")]


def _start(name: str, parameters: dict[str, Any], context: ActionContext) -> FlowRun:
    from prefect.deployments import run_deployment as start

    # The call answers at once or, inside a running event loop, with something to await.
    run: Any = start(
        name=name,
        parameters=parameters,
        timeout=0,
        as_subflow=False,
        idempotency_key=_key(context),
        tags=["foreact", f"goal:{context.goal_id}"],
    )
    from handlers.contract.results import resolve

    started: FlowRun = resolve(run)
    return started


def _amount(params: Params, context: ActionContext) -> dict[str, float]:
    planned = amount_in(params)
    return {str(context.options.get("amount_parameter") or AMOUNT): planned[AMOUNT]} if planned else {}


def _key(context: ActionContext) -> str:
    return f"foreact-{context.action_id}"


def _deployment(params: Params, context: ActionContext) -> str:
    return str(params.get("deployment") or context.options.get("deployment") or "")


def _why_not(name: str, context: ActionContext) -> str:
    if not name:
        return f"no deployment is named. {REMEDY}"
    options = context.options
    deployments = [*(options.get("deployments") or ()), *(options.get("for_goal_types") or {}).values()]
    if name == options.get("deployment") or any(fnmatchcase(name, str(pattern)) for pattern in deployments):
        return ""
    return f"the deployment {name} is not allowed. {REMEDY}"
