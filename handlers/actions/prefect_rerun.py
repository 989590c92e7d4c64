"""Run a flow run again that failed, or cancel one that hangs and run it again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from handlers.contract.action import ActionContext, Params
from handlers.contract.registration import action
from handlers.contract.results import ActionResult, CallFailedError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from handlers.support.prefect_levers import PrefectServer
    from storage.records import Candidate, Goal

ENDED_BADLY = ("FAILED", "CRASHED", "CANCELLED")
UNDER_WAY = ("RUNNING", "PENDING", "CANCELLING")
WAIT_S = 60.0
POLL_S = 0.5


def _model(options: Params) -> type[BaseModel]:
    from pydantic import Field, create_model

    told = "the run; the newest one of the deployment that failed, or that runs where running ones are cancelled"
    return create_model("RerunParameters", flow_run_id=(str | None, Field(None, max_length=36, description=told)))


@action(
    name="prefect_rerun",
    default_level="approve",
    risk="high",
    timeout_s=120.0,
    cooldown_s=900.0,
    goal_types=("DEADLINE",),
    metrics=("prefect_run_age_seconds",),
    rate_limits=("3/hour", "10/day"),
    latency_s=60.0,
    cost=0.2,
    explains_dry_run=True,
    needs=("deployment",),
    parameters=_model,
    options={
        "deployment": "the deployment, as flow/deployment, whose runs may be run again",
        "cancel_running": "true cancels a run that is under way first; false, the default, leaves it alone",
        "most_attempts": "how often one run may be run in all; 3",
        "wait_s": "seconds that a cancelled run gets to end; 60",
        "api_url": "another Prefect server than the one foreact runs on",
        "api_key": "its key",
    },
    example_params={"flow_run_id": "00000000-0000-0000-0000-000000000000"},
)
def prefect_rerun(params: Params, context: ActionContext) -> ActionResult:
    """Schedule a run anew, with its parameters; what it did before cannot be undone."""
    if not context.options.get("deployment"):
        return ActionResult(False, "Refused: no deployment is configured for it.", skipped=True)
    from handlers.support.prefect_levers import prefect_server, scheduled_at

    with prefect_server(context.options) as server:
        run = _run(server, params, context)
        if run is None:
            name = context.options["deployment"]
            return ActionResult(True, f"No run of {name} failed or hangs that could be run again.", skipped=True)
        name, is_under_way = f"{run['name']}", run["state_type"] in UNDER_WAY
        if context.dry_run:
            verb = "cancel and run" if is_under_way else "run"
            return ActionResult(True, f"Dry run: would {verb} {name} again, which is {run['state_name']}.")
        if is_under_way:
            _cancel(server, run, context)
        state = {**scheduled_at(context.tick), "name": "AwaitingRetry"}
        if reason := server.set_state(str(run["id"]), state, force=True):
            return ActionResult(False, f"{name} could not be run again: {reason}.")
        evidence = {"flow_run_id": str(run["id"]), "state_before": run["state_name"], "runs": run["run_count"]}
        return ActionResult(True, f"{name}, which was {run['state_name']}, runs again.", evidence=evidence)


@prefect_rerun.propose
def _propose(goal: Goal, context: ActionContext) -> list[Candidate]:
    from storage.records import Candidate

    options, told = context.options, goal.because.get("inputs") or {}
    name, run_id = options.get("deployment"), told.get("flow_run_id")
    if not name:
        return []
    # A goal that names a run is about one that has not ended: it is run again only where it may be cancelled first.
    if run_id and (told.get("deployment") != name or options.get("cancel_running") is not True):
        return []
    return [
        Candidate(action="prefect_rerun", params={"flow_run_id": run_id} if run_id else {}, target=f"deployment:{name}")
    ]


def _run(server: PrefectServer, params: Params, context: ActionContext) -> dict[str, Any] | None:
    """Return the run that is meant; CallFailedError says why it may not be run again."""
    options = context.options
    name, most = str(options["deployment"]), int(options.get("most_attempts", 3))
    deployment = server.deployment(name)["id"]
    states = ENDED_BADLY + (UNDER_WAY if options.get("cancel_running") is True else ())
    if params.get("flow_run_id"):
        run = server.run(str(params["flow_run_id"]))
        if run["deployment_id"] != deployment:
            raise CallFailedError(f"Refused: {run['name']} is no run of {name}.")
        if run["state_type"] not in states:
            return None
    else:
        # A run that failed before a later one went well is of no concern any more.
        newest = server.runs(deployment, (*ENDED_BADLY, *UNDER_WAY, "COMPLETED"), "START_TIME_DESC", 1)
        run = newest[0] if newest else {"state_type": "COMPLETED"}
        if run["state_type"] not in states:
            return None
    if int(run["run_count"]) >= most:
        raise CallFailedError(f"Refused: {run['name']} ran {run['run_count']} times already, most_attempts is {most}.")
    return dict(run)


def _cancel(server: PrefectServer, run: dict[str, Any], context: ActionContext) -> None:
    """Cancel a run and wait until its worker has ended it; CallFailedError where it does not end in time."""
    run_id, wait_s = str(run["id"]), float(context.options.get("wait_s", WAIT_S))
    if run["state_type"] != "CANCELLING" and (
        reason := server.set_state(run_id, {"type": "CANCELLING", "name": "Cancelling"})
    ):
        raise CallFailedError(f"{run['name']} could not be cancelled: {reason}.")
    give_up_s = time.monotonic() + wait_s
    while server.run(run_id)["state_type"] not in ENDED_BADLY:
        if time.monotonic() > give_up_s:
            raise CallFailedError(
                f"{run['name']} was asked to end and has not within {wait_s:g} s; it is not run again beside itself."
            )
        time.sleep(POLL_S)
