"""Set how many runs may go on at once: in a work pool, a work queue, of a deployment, or by a global limit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from handlers.contract.action import AMOUNT, ActionContext, CheckAnswer, Params
from handlers.contract.registration import action
from handlers.contract.results import ActionResult, CallFailedError
from handlers.support.counts import CountRange, step_of

if TYPE_CHECKING:
    from pydantic import BaseModel

    from storage.records import Candidate, Goal

LEAST, MOST = 1, 50
WHERE = ("work_pool", "work_queue", "deployment", "global_limit")


def _model(options: Params) -> type[BaseModel]:
    return CountRange.of(options, LEAST, MOST).model(
        "ConcurrencyParameters", "how many runs may go on at once", "how many more, fewer where it is negative"
    )


@action(
    name="prefect_concurrency",
    default_level="approve",
    risk="medium",
    timeout_s=60.0,
    cooldown_s=300.0,
    goal_types=("DEADLINE",),
    metrics=("prefect_run_age_seconds",),
    rate_limits=("6/hour", "30/day"),
    latency_s=60.0,
    cost=0.05,
    explains_dry_run=True,
    needs=WHERE,
    parameters=_model,
    options={
        "work_pool": "the pool whose limit is set",
        "work_queue": "or the queue, as pool/queue",
        "deployment": "or the deployment, as flow/deployment",
        "global_limit": "or the global concurrency limit, by name",
        "least": "lowest limit that may be set; 1",
        "most": "highest limit that may be set; 50",
        "by": "how many more are proposed where no amounts are planned",
        "api_url": "another Prefect server than the one foreact runs on",
        "api_key": "its key",
    },
    example_params={"amount": 4},
)
def prefect_concurrency(params: Params, context: ActionContext) -> ActionResult:
    """Set one concurrency limit of a Prefect server; what runs already runs on."""
    if not _is_configured(context):
        return ActionResult(False, f"Refused: none of {', '.join(WHERE)} is configured for it.", skipped=True)
    from handlers.support.prefect_levers import limit_dial, prefect_server

    with prefect_server(context.options) as server:
        dial = limit_dial(server, context.options)
        now = dial.value(server)
        wanted = _wanted(now, params, context.options)
        if wanted == now:
            return ActionResult(True, f"{dial.label} is {now} already.", skipped=True)
        if context.dry_run:
            return ActionResult(True, f"Dry run: would set {dial.label} from {_told(now)} to {wanted}.")
        dial.set(server, wanted)
        return ActionResult(
            True, f"Set {dial.label} from {_told(now)} to {wanted}.", undo={"limit": now, "set_to": wanted}
        )


@prefect_concurrency.capture
def _capture(params: Params, context: ActionContext) -> dict[str, Any]:
    if not _is_configured(context):
        return {}
    now = _now(context)
    return {"limit": now, "set_to": _wanted(now, params, context.options)}


@prefect_concurrency.check
def _check(params: Params, before: Params, context: ActionContext) -> CheckAnswer:
    now = _now(context)
    if now == before.get("set_to"):
        return "succeeded"
    return "skipped" if now == before.get("limit") else "unknown"


@prefect_concurrency.undo
def _undo(params: Params, before: Params, context: ActionContext) -> ActionResult:
    """Set the limit back, or take it away where there was none; what somebody else set since is theirs."""
    if "set_to" not in before:
        return ActionResult(True, "Nothing was set.", skipped=True)
    from handlers.support.prefect_levers import limit_dial, prefect_server

    earlier = before["limit"]
    with prefect_server(context.options) as server:
        dial = limit_dial(server, context.options)
        now = dial.value(server)
        if now == earlier:
            return ActionResult(True, f"{dial.label} is {_told(earlier)} again.", skipped=True)
        if now != before["set_to"]:
            return ActionResult(True, f"{dial.label} was set to {_told(now)} since; it is left so.", skipped=True)
        if context.dry_run:
            return ActionResult(True, f"Dry run: would set {dial.label} back to {_told(earlier)}.")
        dial.set(server, earlier)
        return ActionResult(True, f"Set {dial.label} back from {now} to {_told(earlier)}.")


@prefect_concurrency.propose
def _propose(goal: Goal, context: ActionContext) -> list[Candidate]:
    from storage.records import Candidate

    options = context.options
    where = next((name for name in WHERE if options.get(name)), None)
    if where is None:
        return []
    return [Candidate(action="prefect_concurrency", params=step_of(options), target=f"{where}:{options[where]}")]


def _is_configured(context: ActionContext) -> bool:
    return any(context.options.get(name) for name in WHERE)


def _now(context: ActionContext) -> int | None:
    from handlers.support.prefect_levers import limit_dial, prefect_server

    with prefect_server(context.options) as server:
        return limit_dial(server, context.options).value(server)


def _wanted(now: int | None, params: Params, options: Params) -> int:
    if params.get(AMOUNT) is not None:
        return int(params[AMOUNT])
    if params.get("by") is None:
        raise CallFailedError("Refused: nobody says how many: set `sets` and `amounts`, or by.")
    if now is None:
        raise CallFailedError("Refused: there is no limit yet, so none can be raised or lowered; set one first.")
    return CountRange.of(options, LEAST, MOST).moved(now, int(params["by"]))


def _told(limit: int | None) -> str:
    return "no limit" if limit is None else str(limit)
