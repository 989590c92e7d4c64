"""Let the runs of one work queue go before those of the others in its pool, or send a deployment to another queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from handlers.contract.action import ActionContext, CheckAnswer, Params
from handlers.contract.registration import action
from handlers.contract.results import ActionResult, CallFailedError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from handlers.support.prefect_levers import PrefectServer
    from storage.records import Candidate, Goal

DEPLOYMENT_QUEUE = "deployment"
"""The key of a captured state under which a deployment's queue stands; all others are queues with their priority."""


def _model(options: Params) -> type[BaseModel]:
    from pydantic import Field, create_model

    return create_model(
        "PriorityParameters",
        priority=(int, Field(int(options.get("priority", 1)), ge=1, le=1_000, description="1 goes first")),
    )


@action(
    name="prefect_priority",
    default_level="approve",
    risk="low",
    timeout_s=60.0,
    cooldown_s=300.0,
    goal_types=("DEADLINE",),
    metrics=("prefect_run_age_seconds",),
    rate_limits=("6/hour", "30/day"),
    latency_s=60.0,
    cost=0.02,
    explains_dry_run=True,
    needs=("work_queue",),
    parameters=_model,
    options={
        "work_queue": "the queue, as pool/queue",
        "priority": "the priority that it gets; 1, which goes first",
        "deployment": "a deployment, as flow/deployment, that is sent to the queue instead; its later runs go there",
        "api_url": "another Prefect server than the one foreact runs on",
        "api_key": "its key",
    },
    example_params={"priority": 1},
)
def prefect_priority(params: Params, context: ActionContext) -> ActionResult:
    """Give a work queue another priority in its pool, or a deployment another queue; runs that wait are reordered.

    Which queue goes first counts where the pool has a concurrency limit or its worker one.
    """
    if not context.options.get("work_queue"):
        return ActionResult(False, "Refused: no work_queue is configured for it.", skipped=True)
    from handlers.support.prefect_levers import prefect_server

    with prefect_server(context.options) as server:
        before, wanted = _seen(server, context.options), _wanted(params, context.options)
        if wanted.items() <= before.items():
            return ActionResult(True, f"{_told(wanted, context)} already.", skipped=True)
        if context.dry_run:
            return ActionResult(True, f"Dry run: {_told(wanted, context)} then.")
        _set(server, wanted, context.options)
        return ActionResult(True, f"{_told(wanted, context)} now.", evidence={"before": before})


@prefect_priority.capture
def _capture(params: Params, context: ActionContext) -> dict[str, Any]:
    if not context.options.get("work_queue"):
        return {}
    from handlers.support.prefect_levers import prefect_server

    with prefect_server(context.options) as server:
        return {"seen": _seen(server, context.options), "wanted": _wanted(params, context.options)}


@prefect_priority.check
def _check(params: Params, before: Params, context: ActionContext) -> CheckAnswer:
    from handlers.support.prefect_levers import prefect_server

    with prefect_server(context.options) as server:
        now = _seen(server, context.options)
    if before["wanted"].items() <= now.items():
        return "succeeded"
    return "skipped" if now == before["seen"] else "unknown"


@prefect_priority.undo
def _undo(params: Params, before: Params, context: ActionContext) -> ActionResult:
    """Put every queue of the pool back to its place: setting one may have moved others."""
    if "seen" not in before:
        return ActionResult(True, "Nothing was set.", skipped=True)
    from handlers.support.prefect_levers import prefect_server

    with prefect_server(context.options) as server:
        now = _seen(server, context.options)
        # A queue that was deleted meanwhile has no place to go back to.
        earlier = {name: value for name, value in before["seen"].items() if name in now}
        if earlier.items() <= now.items():
            return ActionResult(True, "All is in its place again.", skipped=True)
        if context.dry_run:
            return ActionResult(True, f"Dry run: would put back {earlier}.")
        _set(server, earlier, context.options)
        return ActionResult(True, f"Put back {', '.join(f'{name}: {value}' for name, value in earlier.items())}.")


@prefect_priority.propose
def _propose(goal: Goal, context: ActionContext) -> list[Candidate]:
    from storage.records import Candidate

    options = context.options
    if not options.get("work_queue"):
        return []
    what = options.get("deployment") or options["work_queue"]
    return [Candidate(action="prefect_priority", params={}, target=f"priority:{what}")]


def _seen(server: PrefectServer, options: Params) -> dict[str, Any]:
    """Return what can be set as it is: the queue of the deployment, or the priorities of the pool's queues."""
    from handlers.support.prefect_levers import priorities, queue_of

    pool, queue = queue_of(options)
    if not options.get("deployment"):
        found = priorities(server, pool)
        if queue not in found:
            raise CallFailedError(f"There is no work queue {queue} in {pool}; it has {', '.join(sorted(found))}.")
        return found
    deployment = server.deployment(str(options["deployment"]))
    if deployment.get("work_pool_name") != pool:
        raise CallFailedError(f"{options['deployment']} runs in {deployment.get('work_pool_name')}, not in {pool}.")
    return {DEPLOYMENT_QUEUE: deployment.get("work_queue_name")}


def _wanted(params: Params, options: Params) -> dict[str, Any]:
    from handlers.support.prefect_levers import queue_of

    queue = queue_of(options)[1]
    if options.get("deployment"):
        return {DEPLOYMENT_QUEUE: queue}
    return {queue: int(params.get("priority", 1))}


def _set(server: PrefectServer, wanted: Params, options: Params) -> None:
    from handlers.support.prefect_levers import queue_of, set_priorities

    pool = queue_of(options)[0]
    if not options.get("deployment"):
        set_priorities(server, pool, wanted)
        return
    found = server.deployment(str(options["deployment"]))["id"]
    body = {"work_pool_name": pool, "work_queue_name": wanted[DEPLOYMENT_QUEUE]}
    server.ask("PATCH", f"/deployments/{found}", body)


def _told(wanted: Params, context: ActionContext) -> str:
    options = context.options
    if options.get("deployment"):
        return f"{options['deployment']} goes to work queue {wanted[DEPLOYMENT_QUEUE]}"
    return f"Work queue {options['work_queue']} has priority {next(iter(wanted.values()))}"
