"""Let runs that wait start earlier, or let those of a less urgent deployment wait longer."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from handlers.contract.action import ActionContext, CheckAnswer, Params
from handlers.contract.registration import action
from handlers.contract.results import ActionResult, CallFailedError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from storage.records import Candidate, Goal

WITHIN_S = 3_600.0
MOST_S = 86_400.0


def _model(options: Params) -> type[BaseModel]:
    from pydantic import Field, create_model

    most = float(options.get("most_s", MOST_S))
    by = Field(float(options.get("by_s", 0)), ge=-most, le=most, description="seconds later; earlier if negative")
    return create_model("RescheduleParameters", by_s=(float, by))


@action(
    name="prefect_reschedule",
    default_level="approve",
    risk="medium",
    timeout_s=60.0,
    cooldown_s=600.0,
    goal_types=("DEADLINE",),
    metrics=("prefect_run_age_seconds",),
    rate_limits=("6/hour", "30/day"),
    latency_s=60.0,
    cost=0.1,
    explains_dry_run=True,
    needs=("deployment",),
    parameters=_model,
    options={
        "deployment": "the deployment, as flow/deployment, whose runs are moved",
        "by_s": "by how many seconds they start later, earlier where it is negative",
        "within_s": "runs that are to start within so many seconds are moved; 3600",
        "most_s": "most seconds that parameters may name; 86400",
        "api_url": "another Prefect server than the one foreact runs on",
        "api_key": "its key",
    },
    example_params={"by_s": 1800},
)
def prefect_reschedule(params: Params, context: ActionContext) -> ActionResult:
    """Move the start of every run of a deployment that waits and is near; one that has begun is left alone.

    A move ends by itself: runs that the schedule makes later are not touched. Nothing starts before now.
    """
    if not context.options.get("deployment"):
        return ActionResult(False, "Refused: no deployment is configured for it.", skipped=True)
    name, moves = str(context.options["deployment"]), _moves(params, context)
    if not moves:
        return ActionResult(True, f"No run of {name} waits that could be moved.", skipped=True)
    if context.dry_run:
        return ActionResult(True, f"Dry run: would move {len(moves)} run(s) of {name}: {_told(moves)}.")
    failed = _move(moves, "to", context)
    done = {run: move for run, move in moves.items() if run not in failed}
    detail = f"Moved {len(done)} run(s) of {name}: {_told(done)}."
    if failed:
        detail += f" {len(failed)} could not be moved: {next(iter(failed.values()))}."
    return ActionResult(bool(done), detail, evidence={"moves": done, "failed": failed}, undo={"moves": done})


@prefect_reschedule.capture
def _capture(params: Params, context: ActionContext) -> dict[str, Any]:
    return {"moves": _moves(params, context)} if context.options.get("deployment") else {}


@prefect_reschedule.check
def _check(params: Params, before: Params, context: ActionContext) -> CheckAnswer:
    """Look where the runs stand: a run that has begun tells nothing any more."""
    starts = _starts(before["moves"], context)
    at = {key: sum(starts[run] == _moment(before["moves"][run][key]) for run in starts) for key in ("from", "to")}
    if starts and at["to"] == len(starts):
        return "succeeded"
    return "skipped" if starts and at["from"] == len(starts) else "unknown"


@prefect_reschedule.undo
def _undo(params: Params, before: Params, context: ActionContext) -> ActionResult:
    """Let runs that still wait start when they were to; those that have begun cannot begin again."""
    done = before.get("moves") or {}
    starts = _starts(done, context)
    moves = {run: done[run] for run, start in starts.items() if start == _moment(done[run]["to"])}
    if not moves:
        return ActionResult(True, "No run that was moved still waits where it was moved to.", skipped=True)
    if context.dry_run:
        return ActionResult(True, f"Dry run: would move {len(moves)} run(s) back.")
    failed = _move(moves, "from", context)
    detail = f"Moved {len(moves) - len(failed)} run(s) back."
    return ActionResult(not failed, detail, evidence={"failed": failed})


@prefect_reschedule.propose
def _propose(goal: Goal, context: ActionContext) -> list[Candidate]:
    from storage.records import Candidate

    options = context.options
    if not options.get("deployment") or not options.get("by_s"):
        return []
    params = {"by_s": float(options["by_s"])}
    return [Candidate(action="prefect_reschedule", params=params, target=f"deployment:{options['deployment']}")]


def _moves(params: Params, context: ActionContext) -> dict[str, dict[str, str]]:
    """Return from when to when each run is to be moved, by its id."""
    from handlers.support.prefect_levers import later, prefect_server, start_of, waiting_within

    by_s = float(params.get("by_s") or context.options.get("by_s") or 0)
    if by_s == 0:
        raise CallFailedError("Refused: nobody says by how much: set by_s.")
    until = context.tick + timedelta(seconds=float(context.options.get("within_s", WITHIN_S)))
    with prefect_server(context.options) as server:
        runs = waiting_within(server, str(context.options["deployment"]), until)
    planned = {str(run["id"]): (start_of(run), later(run, by_s, context.tick)) for run in runs}
    # One that is late already cannot start any earlier.
    useful = {run: (start, to) for run, (start, to) in planned.items() if (to > start) == (by_s > 0)}
    return {run: {"from": start.isoformat(), "to": to.isoformat()} for run, (start, to) in useful.items()}


def _move(moves: dict[str, dict[str, str]], key: str, context: ActionContext) -> dict[str, str]:
    """Move runs; returns by id why one could not be."""
    from handlers.support.prefect_levers import prefect_server, scheduled_at

    failed = {}
    with prefect_server(context.options) as server:
        for run, move in moves.items():
            if server.run(run)["state_type"] != "SCHEDULED":
                failed[run] = "it has begun"
            elif reason := server.set_state(run, scheduled_at(_moment(move[key]))):
                failed[run] = reason
    return failed


def _starts(moves: dict[str, dict[str, str]], context: ActionContext) -> dict[str, datetime]:
    """Return when those of the runs that still wait are to start."""
    from handlers.support.prefect_levers import prefect_server, start_of

    with prefect_server(context.options) as server:
        found = {run: server.run(run) for run in moves}
    return {run: start_of(each) for run, each in found.items() if each["state_type"] == "SCHEDULED"}


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _told(moves: dict[str, dict[str, str]]) -> str:
    first = next(iter(moves.values()), None)
    return f"{_moment(first['from']):%H:%M} to {_moment(first['to']):%H:%M} UTC, the first" if first else "none"
