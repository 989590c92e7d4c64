"""Confine a process to fewer CPUs; a load that ran on all of them is bounded by those left to it."""

from __future__ import annotations

import os
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
from handlers.support.processes import Usage, end_drill_target, find, start_drill_target, threads_of, with_children

if TYPE_CHECKING:
    import psutil

    from storage.records import Candidate, Goal

ROUNDS = 5
"""A process may start threads while it is being confined; after so many looks it counts as confined."""


def has_affinity() -> bool:
    """Tell whether this system lets CPUs be assigned at all."""
    return hasattr(os, "sched_setaffinity")


@process_action(
    name="limit_process_affinity",
    undo_permitted=has_affinity,
    risk="medium",
    cooldown_s=600.0,
    rate_limits=("6/hour", "30/day"),
    cost=0.1,
    expected_effect={"cpu_used_ratio": -1.0, "load1_per_core": -0.3},
    options={"cpus": "how many CPUs to leave; by default half of them"},
    example_params={"cpus": 1, "include_children": True},
)
def limit_process_affinity(params: Params, context: ActionContext) -> ActionResult:
    """Confine an allowed process with all its threads, and its children if asked, to its first CPUs."""
    target = target_or_refusal(params, context)
    if isinstance(target, ActionResult):
        return target
    if not has_affinity():
        return ActionResult(False, "This system cannot limit a process to CPUs.")
    keep = _kept_cpus(target, params)
    include_children = bool(params.get("include_children"))
    to_change = _outside(_affinities(with_children(target, include_children)), keep)
    if not to_change:
        return ActionResult(True, f"{label(params)} is already limited to CPU(s) {sorted(keep)}.", skipped=True)
    if context.dry_run:
        what = f"limit {len(to_change)} thread(s) of {label(params)} to CPU(s) {sorted(keep)}"
        return ActionResult(True, f"Dry run: would {what}.")
    changed = 0
    for _ in range(ROUNDS):
        changed += _set_all(dict.fromkeys(to_change, keep))
        to_change = _outside(_affinities(with_children(target, include_children)), keep)
        if not to_change:
            break
    evidence = {"cpus": sorted(keep), "threads": changed, "still_outside": len(to_change)}
    detail = f"Limited {changed} thread(s) of {label(params)} to CPU(s) {sorted(keep)}."
    return ActionResult(success=changed > 0 and not to_change, detail=detail, evidence=evidence)


@limit_process_affinity.capture
def _capture(params: Params, context: ActionContext) -> dict[str, Any]:
    return {"affinity": {str(thread): sorted(cpus) for thread, cpus in _affinities(family_of(params)).items()}}


@limit_process_affinity.check
def _check(params: Params, before: Params, context: ActionContext) -> CheckAnswer:
    family, earlier = family_of(params), _earlier(before)
    if not family or family[0].pid not in earlier:
        return "unknown"
    keep = _first(earlier[family[0].pid], params)
    now = _affinities(family)
    if not _outside(now, keep):
        return "succeeded"
    unchanged = all(now[thread] == earlier[thread] for thread in now.keys() & earlier.keys())
    return "skipped" if unchanged else "unknown"


@limit_process_affinity.undo
def _undo(params: Params, before: Params, context: ActionContext) -> ActionResult:
    target = find(params)
    if target is None:
        return has_ended(params, "restore")
    earlier = _earlier(before)
    if target.pid not in earlier:
        return ActionResult(False, f"The earlier CPUs of {label(params)} were not recorded.")
    restored = 0
    for _ in range(ROUNDS):
        now = _affinities(family_of(params))
        # What was started later inherited the confinement: it gets what the process itself had.
        cpus_before = {thread: earlier.get(thread, earlier[target.pid]) for thread in now}
        changes = {thread: cpus for thread, cpus in cpus_before.items() if cpus != now[thread]}
        if context.dry_run:
            return ActionResult(True, f"Dry run: would restore {len(changes)} thread(s) of {label(params)}.")
        if not changes:
            break
        restored += _set_all(changes)
    return ActionResult(True, f"Restored the CPUs of {restored} thread(s) of {label(params)}.")


@limit_process_affinity.propose
def _propose(goal: Goal, context: ActionContext) -> list[Candidate]:
    if not has_affinity():
        return []

    def extra(process: psutil.Process) -> dict[str, Any] | None:
        cpus = max((len(cpus) for cpus in _affinities([process]).values()), default=0)
        if cpus < 2:
            return None
        return {"cpus": int(context.options.get("cpus", cpus // 2)), "include_children": True}

    return propose_busiest("limit_process_affinity", context, extra, _freed)


def _freed(item: Usage, params: dict[str, Any]) -> dict[str, float]:
    """Return the share of all CPUs that a process loses which uses more of them than it will have."""
    beyond_cores = max(0.0, item.cpu_cores - params["cpus"])
    return {"cpu_used_ratio": -beyond_cores / (os.cpu_count() or 1)} if beyond_cores else {}


@limit_process_affinity.drill
def _drill(context: ActionContext) -> dict[str, Any] | None:
    return {**start_drill_target(), "cpus": 1} if has_affinity() else None


@limit_process_affinity.clear
def _clear(params: Params, context: ActionContext) -> None:
    end_drill_target(params)


def _kept_cpus(target: psutil.Process, params: Params) -> frozenset[int]:
    return _first(_affinities([target]).get(target.pid, frozenset()), params)


def _first(cpus: frozenset[int], params: Params) -> frozenset[int]:
    return frozenset(sorted(cpus)[: max(1, int(params.get("cpus", 1)))])


def _earlier(before: Params) -> dict[int, frozenset[int]]:
    return {int(thread): frozenset(cpus) for thread, cpus in before.get("affinity", {}).items()}


def _outside(affinities: dict[int, frozenset[int]], keep: frozenset[int]) -> list[int]:
    return [thread for thread, cpus in affinities.items() if not cpus <= keep]


def _affinities(family: list[psutil.Process]) -> dict[int, frozenset[int]]:
    affinities = {}
    for process in family:
        for thread in threads_of(process):
            try:
                affinities[thread] = frozenset(os.sched_getaffinity(thread))
            except (ProcessLookupError, PermissionError):
                continue
    return affinities


def _set_all(cpus_by_thread: dict[int, frozenset[int]]) -> int:
    changed = 0
    for thread, cpus in cpus_by_thread.items():
        try:
            os.sched_setaffinity(thread, cpus)
            changed += 1
        except (ProcessLookupError, PermissionError):
            continue
    return changed
