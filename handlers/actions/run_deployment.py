"""Run any Prefect deployment as an action: whatever a flow can do, the loop can do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING, Any

from handlers.contract.action import AMOUNT, ActionContext, ActionHandler, CheckAnswer, Hooks, Params, amount_in
from handlers.contract.parameters import object_schema
from handlers.contract.registration import action
from handlers.contract.results import ActionResult
from storage.private import holds_secret

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
    from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError

    try:
        given = _parameters(context, secret=True) | dict(params.get("parameters") or {}) | _amount(params, context)
        run = _start(name, given, context)
    except ObjectNotFound:
        return ActionResult(False, f"There is no deployment {name}. Deploy it, or correct the name.")
    except PrefectHTTPStatusError as error:
        reason = " ".join(error.response.text.split())[:300]
        return ActionResult(False, f"Prefect does not start {name}, {error.response.status_code}: {reason}")
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
    params = {"deployment": name, "parameters": _parameters(context, secret=False)}
    return [Candidate(action="run_deployment", params=params, target=f"deployment:{name}")]


def action_of(deployment: str, summary: str, schema: Mapping[str, Any]) -> ActionHandler:
    """Return an action that runs one deployment, given as flow/deployment: the flow's parameters are its own.

    What they may be the server checks, by the schema that is shown here. It asks before it acts, as what cannot be
    undone does, until its level is configured. Raises ValueError where the schema is none.
    """
    parameters = object_schema(schema)
    missing = frozenset(parameters.get("required", ())) - frozenset(
        name for name, each in parameters["properties"].items() if "default" in each
    )
    hooks = Hooks(
        run=partial(_run_tagged, deployment), check=_check, propose=partial(_propose_tagged, deployment, missing)
    )
    return replace(
        run_deployment.handler,
        name=deployment.partition("/")[2],
        summary=summary or f"Run the deployment {deployment}.",
        hooks=hooks,
        needs=(),
        options={name: run_deployment.handler.options[name] for name in ("parameters", "amount_parameter")},
        parameters=parameters,
        example_params={},
        source="",
    )


def _run_tagged(deployment: str, params: Params, context: ActionContext) -> Any:
    own = replace(context, options={**context.options, "deployment": deployment})
    parameters = {name: value for name, value in params.items() if name != AMOUNT}
    return run_deployment({"deployment": deployment, "parameters": parameters, **amount_in(params)}, own)


def _propose_tagged(deployment: str, missing: frozenset[str], goal: Goal, context: ActionContext) -> list[Candidate]:
    """Propose a run with the configured parameters, where these and the defaults are all that it needs."""
    from storage.records import Candidate

    params = _parameters(context, secret=False)
    planned = {str(context.options.get("amount_parameter") or AMOUNT)}
    if missing - params.keys() - _parameters(context, secret=True).keys() - planned:
        return []
    return [Candidate(action=deployment, params=params, target=f"deployment:{deployment}")]


def _parameters(context: ActionContext, *, secret: bool) -> dict[str, Any]:
    """Return the configured parameters that a decision may show, or those that come in only as the run is started."""
    configured = (context.options.get("parameters") or {}).items()
    return {name: each for name, each in configured if holds_secret(each) is secret}


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
