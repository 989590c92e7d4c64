"""Let a process give way to others by a higher nice value; it still uses every idle cycle."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handlers.contract.action import ActionContext, CheckAnswer, Params
from handlers.contract.results import ActionResult
from handlers.support.process_actions import (
    family_of,
    has_ended,
    label,
    process_action,
    propose_busiest,
    target_or_refusal,
)
from handlers.support.processes import end_drill_target, start_drill_target, threads_of, with_children

if TYPE_CHECKING:
    import psutil

    from storage.records import Candidate, Goal

CAP_SYS_NICE = 23
DEFAULT_NICE = 10


def may_lower_nice() -> bool:
    """Tell whether this process may take a nice value back to 0: by capability, by limit or as root."""
    if sys.platform != "linux":
        return os.geteuid() == 0
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NICE)
    if soft >= 20 or soft == resource.RLIM_INFINITY:
        return True
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> CAP_SYS_NICE & 1)
    return os.geteuid() == 0


@process_action(
    name="renice_process",
    undo_permitted=may_lower_nice,
    risk="low",
    cooldown_s=600.0,
    rate_limits=("6/hour", "30/day"),
    cost=0.02,
    expected_effect={"cpu_used_ratio": -0.3, "load1_per_core": -0.3, "*latency*": -0.5},
    options={"nice": "the nice value to set, 0 to 19; 10"},
    example_params={"nice": 10},
)
def renice_process(params: Params, context: ActionContext) -> ActionResult:
    """Raise the nice value of an allowed process so that others go first; never lower it."""
    target = target_or_refusal(params, context)
    if isinstance(target, ActionResult):
        return target
    nice = _wanted(params, context)
    family = with_children(target, bool(params.get("include_children")))
    lower = {thread: value for thread, value in _nice_values(family).items() if value < nice}
    if not lower:
        return ActionResult(True, f"{label(params)} already has nice {nice} or more.", skipped=True)
    if context.dry_run:
        return ActionResult(True, f"Dry run: would set nice {nice} on {len(lower)} thread(s) of {label(params)}.")
    changed, refused = _set_all(dict.fromkeys(lower, nice))
    evidence = {"nice": nice, "threads": changed, "refused": refused}
    detail = f"Set nice {nice} on {changed} thread(s) of {label(params)}."
    if refused:
        detail += f" The system refused it for {refused}."
    return ActionResult(success=changed > 0, detail=detail, evidence=evidence)


@renice_process.capture
def _capture(params: Params, context: ActionContext) -> dict[str, Any]:
    values = _nice_values(family_of(params))
    return {"nice": {str(thread): value for thread, value in values.items()}, "undo_permitted": may_lower_nice()}


@renice_process.check
def _check(params: Params, before: Params, context: ActionContext) -> CheckAnswer:
    now = _nice_values(family_of(params))
    if not now:
        return "unknown"
    if min(now.values()) >= _wanted(params, context):
        return "succeeded"
    earlier = {int(thread): value for thread, value in before.get("nice", {}).items()}
    unchanged = all(now[thread] == earlier[thread] for thread in now.keys() & earlier.keys())
    return "skipped" if earlier and unchanged else "unknown"


@renice_process.undo
def _undo(params: Params, before: Params, context: ActionContext) -> ActionResult:
    family = family_of(params)
    if not family:
        return has_ended(params, "restore")
    now = _nice_values(family)
    earlier = {int(thread): int(value) for thread, value in before.get("nice", {}).items()}
    # Threads that came later inherited the raised value: they get what the process itself had.
    fallback = earlier.get(family[0].pid)
    nice_before = {thread: earlier.get(thread, fallback) for thread in now}
    changes = {t: value for t, value in nice_before.items() if value is not None and value != now[t]}
    if context.dry_run:
        return ActionResult(True, f"Dry run: would restore nice on {len(changes)} thread(s) of {label(params)}.")
    changed, refused = _set_all(changes)
    if refused:
        why = "lowering a nice value needs root, CAP_SYS_NICE or a raised RLIMIT_NICE"
        return ActionResult(False, f"Could not restore nice on {refused} thread(s) of {label(params)}: {why}.")
    return ActionResult(True, f"Restored nice on {changed} thread(s) of {label(params)}.")


@renice_process.propose
def _propose(goal: Goal, context: ActionContext) -> list[Candidate]:
    nice = _wanted({}, context)

    def extra(process: psutil.Process) -> dict[str, Any] | None:
        values = _nice_values([process]).values()
        return {"nice": nice} if values and min(values) < nice else None

    return propose_busiest("renice_process", context, extra)


@renice_process.drill
def _drill(context: ActionContext) -> dict[str, Any] | None:
    return {**start_drill_target(), "nice": 5} if may_lower_nice() else None


@renice_process.clear
def _clear(params: Params, context: ActionContext) -> None:
    end_drill_target(params)


def _wanted(params: Params, context: ActionContext) -> int:
    return max(0, min(19, int(params.get("nice", context.options.get("nice", DEFAULT_NICE)))))


def _nice_values(family: list[psutil.Process]) -> dict[int, int]:
    values = {}
    for process in family:
        for thread in threads_of(process):
            try:
                values[thread] = os.getpriority(os.PRIO_PROCESS, thread)
            except ProcessLookupError:
                continue
    return values


def _set_all(nice_by_thread: dict[int, int]) -> tuple[int, int]:
    """Set nice values by thread; returns how many were set and how many the system refused."""
    changed = refused = 0
    for thread, value in nice_by_thread.items():
        try:
            os.setpriority(os.PRIO_PROCESS, thread, value)
            changed += 1
        except ProcessLookupError:
            continue
        except PermissionError:
            refused += 1
    return changed, refused
