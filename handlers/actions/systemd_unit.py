"""Start, stop, restart or reload a unit of systemd, of the system or of the user that foreact runs as."""

from __future__ import annotations

import os
import re
import time
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handlers.contract.action import ActionContext, CheckAnswer, Params
from handlers.contract.registration import action
from handlers.contract.results import ActionResult
from handlers.support.programs import Ran, RunLimits, run_program

if TYPE_CHECKING:
    from pydantic import BaseModel

    from storage.records import Candidate, Goal

VERBS = ("restart", "start", "stop", "reload")
OPPOSITES = {"start": "stop", "stop": "start"}
SHOWN = ("LoadState", "ActiveState", "SubState", "InvocationID")
UNIT = re.compile(r"[A-Za-z0-9_][\w:.\\@-]*")
REMEDY = "Set unit, or a pattern under units, for [actions.systemd_unit] in foreact.toml."
NEEDS_RIGHTS = "Run foreact as a user who may do this: a rule of polkit can allow it, docs/acting.md shows one."
SETTLE_S = 1.0
LIMITS = RunLimits(timeout_s=60.0)


class _RefusedError(Exception):
    """What is asked for is not allowed or cannot be; the message says why."""


def _can_be_undone(options: Params) -> bool:
    return options.get("verb") in OPPOSITES


def _model(options: Params) -> type[BaseModel]:
    from pydantic import Field, create_model

    named = Field(None, max_length=255, description="the unit, as in web.service; the configured one where left out")
    return create_model("UnitParameters", unit=(str | None, named))


@action(
    name="systemd_unit",
    default_level="approve",
    undo_with=_can_be_undone,
    risk="high",
    timeout_s=90.0,
    cooldown_s=900.0,
    rate_limits=("3/hour", "12/day"),
    latency_s=30.0,
    cost=0.2,
    explains_dry_run=True,
    needs=("unit", "units"),
    parameters=_model,
    options={
        "unit": "the unit that is proposed, as in web.service",
        "units": "glob patterns of other units that parameters may name",
        "verb": "restart, start, stop or reload; restart. Only start and stop can be undone",
        "scope": "system or user; system",
        "settle_s": "seconds after which a unit must still be up; 1",
        "runtime_folder": "where the user's manager listens; /run/user/ID",
    },
    example_params={"unit": "web.service"},
)
def systemd_unit(params: Params, context: ActionContext) -> ActionResult:
    """Have systemd start, stop, restart or reload an allowed unit, and look whether it is up afterwards."""
    verb = _verb(context)
    try:
        unit = _unit(params, context)
        before = _state(unit, context)
    except (_RefusedError, FileNotFoundError) as refusal:
        return ActionResult(False, f"Refused: {refusal}", skipped=not context.options.get("unit"))
    if (verb, before["ActiveState"]) in {("start", "active"), ("stop", "inactive")}:
        return ActionResult(True, f"{unit} is {before['ActiveState']} already.", skipped=True)
    if context.dry_run:
        return ActionResult(True, f"Dry run: would {verb} {unit}, which is {before['ActiveState']}.")
    return _carried_out(verb, unit, context)


@systemd_unit.capture
def _capture(params: Params, context: ActionContext) -> dict[str, Any]:
    if not (context.options.get("unit") or context.options.get("units")):
        return {}
    return {"state": _state(_unit(params, context), context)}


@systemd_unit.check
def _check(params: Params, before: Params, context: ActionContext) -> CheckAnswer:
    verb, earlier = _verb(context), before["state"]
    now = _state(_unit(params, context), context)
    is_up = now["ActiveState"] == "active"
    if verb == "reload":
        return "unknown"
    if verb == "restart":
        is_new = now["InvocationID"] != earlier["InvocationID"]
        return "succeeded" if is_new and is_up else "skipped" if not is_new else "unknown"
    return "succeeded" if is_up == (verb == "start") else "skipped"


@systemd_unit.undo
def _undo(params: Params, before: Params, context: ActionContext) -> ActionResult:
    verb = _verb(context)
    if verb not in OPPOSITES or "state" not in before:
        return ActionResult(False, f"A {verb} cannot be undone.")
    try:
        unit = _unit(params, context)
        now, earlier = _state(unit, context)["ActiveState"], before["state"]["ActiveState"]
    except (_RefusedError, FileNotFoundError) as refusal:
        return ActionResult(False, f"Refused: {refusal}")
    if (now == "active") == (earlier == "active"):
        return ActionResult(True, f"{unit} is {now}, as it was.", skipped=True)
    if context.dry_run:
        return ActionResult(True, f"Dry run: would {OPPOSITES[verb]} {unit}.")
    return _carried_out(OPPOSITES[verb], unit, context)


@systemd_unit.propose
def _propose(goal: Goal, context: ActionContext) -> list[Candidate]:
    from storage.records import Candidate

    if not context.options.get("unit"):
        return []
    unit = _unit({}, context)
    return [Candidate(action="systemd_unit", params={"unit": unit}, target=f"unit:{unit}")]


def _carried_out(verb: str, unit: str, context: ActionContext) -> ActionResult:
    ran = _systemctl(context, verb, "--", unit)
    if not ran.is_good:
        remedy = (
            f" {NEEDS_RIGHTS}" if re.search("authentication required|Access denied|not authorized", ran.output) else ""
        )
        return ActionResult(False, f"systemctl {verb} {unit} {ran.sentence} {ran.output}{remedy}".strip())
    # A program that fails at once was started all the same, as systemctl sees it.
    time.sleep(float(context.options.get("settle_s", SETTLE_S)) if verb != "stop" else 0)
    now = _state(unit, context)
    is_as_meant = (now["ActiveState"] == "active") == (verb != "stop")
    detail = f"systemctl {verb} {unit}: it is {now['ActiveState']} ({now['SubState']})."
    if not is_as_meant:
        detail += f" `journalctl --unit {unit}` tells more."
    return ActionResult(is_as_meant, detail, evidence={"state": now})


def _state(unit: str, context: ActionContext) -> dict[str, str]:
    """Return what systemd says of a unit; _RefusedError where it knows none of the name, or does not answer."""
    ran = _systemctl(context, "show", f"--property={','.join(SHOWN)}", "--", unit)
    if not ran.is_good:
        raise _RefusedError(f"systemd does not answer: {ran.output or ran.sentence}")
    said = dict(line.split("=", 1) for line in ran.output.splitlines() if "=" in line)
    if said.get("LoadState") != "loaded":
        raise _RefusedError(f"the unit {unit} is {said.get('LoadState', 'unknown')}. {REMEDY}")
    return {name: said.get(name, "") for name in SHOWN}


def _systemctl(context: ActionContext, *words: str) -> Ran:
    options = context.options
    folder = str(options.get("runtime_folder") or f"/run/user/{os.getuid()}")
    is_own = options.get("scope", "system") == "user"
    argv = ["systemctl", *(["--user"] if is_own else []), "--no-ask-password", "--no-pager", *words]
    return run_program(argv, LIMITS, {"XDG_RUNTIME_DIR": folder} if is_own else {})


def _verb(context: ActionContext) -> str:
    verb = str(context.options.get("verb", "restart"))
    if verb not in VERBS:
        raise ValueError(f"verb = {verb!r} is none of {', '.join(VERBS)}")
    return verb


def _unit(params: Params, context: ActionContext) -> str:
    """Return the unit that is meant, if it may be acted on; _RefusedError says why not."""
    default = str(context.options.get("unit") or "")
    unit = _whole(str(params.get("unit") or default))
    if not unit:
        raise _RefusedError(f"no unit is configured. {REMEDY}")
    if not UNIT.fullmatch(unit):
        raise _RefusedError(f"{unit!r} is no name of a unit.")
    patterns = [str(pattern) for pattern in context.options.get("units") or ()]
    if unit != _whole(default) and not any(fnmatchcase(unit, pattern) for pattern in patterns):
        raise _RefusedError(f"the unit {unit} is not allowed. {REMEDY}")
    if _runs_us(unit):
        raise _RefusedError(f"the unit {unit} runs foreact itself.")
    return unit


def _whole(unit: str) -> str:
    return f"{unit}.service" if unit and "." not in unit else unit


def _runs_us(unit: str) -> bool:
    try:
        groups = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return False
    return any(unit in group.rpartition(":")[2].split("/") for group in groups)
