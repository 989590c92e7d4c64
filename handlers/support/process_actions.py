"""What the actions on processes have in common: who is proposed, and how a refusal reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from handlers.contract.action import ActionContext, Params
from handlers.contract.results import ActionResult
from handlers.support.processes import NotAllowedError, Usage, allowed, find_allowed, usage

if TYPE_CHECKING:
    import psutil

    from storage.records import Candidate

PROCESS_METRICS = ("cpu_*", "load*", "*latency*", "*duration*", "*response_time*")
PROCESS_OPTIONS = {
    "allow_names": "glob patterns of the process names that may be acted on; none by default",
    "allow_owners": "users whose processes may be acted on; by default the user that foreact runs as",
    "allow_commands": "glob patterns of which the whole command line must match one; by default any",
    "over_s": "seconds over which CPU use is looked at before a process is proposed; 0.2",
    "min_cpu_cores": "cores that a process must use to be proposed; 0.2",
    "max_proposals": "how many processes are proposed at most; 3",
}
OVER_S = 0.2
MIN_CPU_CORES = 0.2
MAX_PROPOSALS = 3


def propose_busiest(
    action: str,
    context: ActionContext,
    extra: Callable[[psutil.Process], dict[str, Any] | None],
    change: Callable[[Usage, dict[str, Any]], dict[str, float]] = lambda item, params: {},
) -> list[Candidate]:
    """Propose the action on the busiest allowed processes.

    `extra` gives further parameters, None to pass a process over; `change` says what the action on it would change, by
    metric and in the metric's unit, where the present use tells.
    """
    from storage.records import Candidate

    options = context.options
    at_least = float(options.get("min_cpu_cores", MIN_CPU_CORES))
    candidates = []
    for item in _usage_of_allowed(context):
        further = extra(item.process) if item.cpu_cores >= at_least else None
        if further is None:
            continue
        evidence = item.evidence()
        params = {key: evidence[key] for key in ("pid", "create_time", "name")} | further
        target = f"process:{item.name}:{item.process.pid}"
        candidates.append(
            Candidate(
                action=action, params=params, target=target, evidence=evidence, expected_change=change(item, further)
            )
        )
    return candidates[: int(options.get("max_proposals", MAX_PROPOSALS))]


def _usage_of_allowed(context: ActionContext) -> list[Usage]:
    options = context.options
    key = repr([(name, options.get(name)) for name in ("allow_names", "allow_commands", "allow_owners", "over_s")])
    if key not in context.memo:
        processes = allowed(options)
        context.memo[key] = usage(processes, float(options.get("over_s", OVER_S))) if processes else []
    found: list[Usage] = context.memo[key]
    return found


def target_or_refusal(params: Params, context: ActionContext) -> psutil.Process | ActionResult:
    """Return the process to act on, or the failed result that says why it may not be acted on."""
    try:
        return find_allowed(params, context.options)
    except (NotAllowedError, ValueError) as refusal:
        return ActionResult(success=False, detail=f"Refused: {refusal}")


def label(params: Params) -> str:
    """Return how a process is called in a sentence."""
    return f"{params.get('name', 'process')} (pid {params.get('pid')})"
