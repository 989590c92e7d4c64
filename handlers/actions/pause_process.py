"""Stop a process for a while (SIGSTOP) and let it go on (SIGCONT)."""

from __future__ import annotations

import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

from handlers.contract.action import ActionContext, CheckAnswer, Params
from handlers.contract.results import ActionResult
from handlers.support.process_actions import (
    PROCESS_METRICS,
    family_of,
    has_ended,
    label,
    process_action,
    propose_busiest,
    target_or_refusal,
)
from handlers.support.processes import end_drill_target, find, identity, start_drill_target, with_children

if TYPE_CHECKING:
    import psutil

    from storage.records import Candidate, Goal


SETTLING_S = 1.0
RESUME_AFTER_S = 1_800.0


@process_action(
    name="pause_process",
    metrics=(*PROCESS_METRICS, "memory_*", "disk_*_per_second", "network_*"),
    risk="high",
    cooldown_s=900.0,
    rate_limits=("3/hour", "7/day"),
    cost=0.3,
    expected_effect={"cpu_used_ratio": -1.5, "load1_per_core": -1.5},
    options={"resume_after_s": "seconds after which a pause ends by itself; 1800"},
    example_params={"include_children": True},
)
def pause_process(params: Params, context: ActionContext) -> ActionResult:
    """Pause an allowed process, and its children if asked, until it is undone or half an hour has passed."""
    target = target_or_refusal(params, context)
    if isinstance(target, ActionResult):
        return target
    family = with_children(target, bool(params.get("include_children")))
    if context.dry_run:
        return ActionResult(True, f"Dry run: would pause {label(params)}, {len(family)} process(es) in all.")
    resume_after_s = float(context.options.get("resume_after_s", RESUME_AFTER_S))
    timer = _resume_later([process.pid for process in family], resume_after_s)
    paused = _signal_all(family, signal.SIGSTOP)
    detail = f"Paused {label(params)}, {len(paused)} process(es) in all."
    return ActionResult(True, detail, evidence={"paused": paused}, undo={"timer": timer})


@pause_process.capture
def _capture(params: Params, context: ActionContext) -> dict[str, Any]:
    return {"processes": [{**identity(process), "was_paused": _is_paused(process)} for process in family_of(params)]}


@pause_process.check
def _check(params: Params, before: Params, context: ActionContext) -> CheckAnswer:
    states = {_is_paused(process) for process in family_of(params)}
    if states == {True}:
        return "succeeded"
    return "skipped" if states == {False} else "unknown"


@pause_process.undo
def _undo(params: Params, before: Params, context: ActionContext) -> ActionResult:
    before_by_pid = {entry["pid"]: entry for entry in before.get("processes", [])}
    if not context.dry_run:
        _end_timer(before.get("timer"))
    family = family_of(params)
    if not family:
        return has_ended(params, "resume")
    to_resume = [p for p in family if _is_paused(p) and not before_by_pid.get(p.pid, {}).get("was_paused")]
    if context.dry_run:
        return ActionResult(True, f"Dry run: would resume {len(to_resume)} process(es) of {label(params)}.")
    resumed = _signal_all(to_resume, signal.SIGCONT)
    return ActionResult(True, f"Resumed {len(resumed)} process(es) of {label(params)}.", evidence={"resumed": resumed})


@pause_process.propose
def _propose(goal: Goal, context: ActionContext) -> list[Candidate]:
    def extra(process: psutil.Process) -> dict[str, Any] | None:
        return None if _is_paused(process) else {"include_children": True}

    return propose_busiest("pause_process", context, extra)


@pause_process.drill
def _drill(context: ActionContext) -> dict[str, Any]:
    return start_drill_target()


@pause_process.clear
def _clear(params: Params, context: ActionContext) -> None:
    end_drill_target(params)


def _is_paused(process: psutil.Process) -> bool:
    import psutil

    try:
        return bool(process.status() == psutil.STATUS_STOPPED)
    except psutil.Error:
        return False


def _resume_later(pids: list[int], after_s: float) -> dict[str, Any]:
    """See to it that a pause ends even if foreact does not live to end it; returns the identity of what waits for it.

    Continuing a running process changes nothing.
    """
    import psutil

    wait_then_continue = '(sleep "$0"; kill -CONT "$@") > /dev/null 2>&1 & echo $!'
    started = subprocess.run(
        ["/bin/sh", "-c", wait_then_continue, str(after_s), *map(str, pids)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        check=True,
    )
    return identity(psutil.Process(int(started.stdout)))


def _end_timer(timer: dict[str, Any] | None) -> None:
    """End what would continue the process later: it would cut the next pause short."""
    import psutil

    try:
        waiting = find(timer) if timer else None
        for process in [waiting, *waiting.children(recursive=True)] if waiting else []:
            process.kill()
    except psutil.NoSuchProcess:
        pass


def _signal_all(processes: list[psutil.Process], number: signal.Signals) -> list[int]:
    """Signal each process and wait a moment until the system has carried it out; returns the pids it reached."""
    import psutil

    reached = []
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue
        reached.append(process)
    give_up_s = time.monotonic() + SETTLING_S
    while time.monotonic() < give_up_s and any(_is_paused(p) is (number == signal.SIGCONT) for p in reached):
        time.sleep(0.005)
    return [process.pid for process in reached]
