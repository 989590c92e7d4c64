"""What the actions on processes have in common: who is proposed, and how a refusal reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from handlers.actions_api import ActionContext, Params
from handlers.processes import NotAllowedError, allowed, find_allowed, usage
from handlers.results import ActionResult

if TYPE_CHECKING:
    import psutil

    from storage.records import Candidate

PROCESS_METRICS = ("cpu_*", "load*", "*latency*", "*duration*", "*response_time*")
PROCESS_GOALS = (
    "RESOURCE_OPTIMIZATION",
    "PERFORMANCE_TARGET",
    "CAPACITY_PLANNING",
    "BOTTLENECK_PREVENTION",
    "COST_REDUCTION",
    "SLA_MAINTENANCE",
    "PATTERN_ADAPTATION",
)
OVER_S = 0.2
MIN_CPU_CORES = 0.2
MAX_PROPOSALS = 3


def propose_busiest(
    action: str, context: ActionContext, extra: Callable[[psutil.Process], dict[str, Any] | None]
) -> list[Candidate]:
    """Propose the action on the busiest allowed processes; `extra` gives further parameters, None to pass over."""
    from storage.records import Candidate

    options = context.options
    over_s = float(options.get("over_s", OVER_S))
    at_least = float(options.get("min_cpu_cores", MIN_CPU_CORES))
    candidates = []
    processes = allowed(options)
    for item in usage(processes, over_s) if processes else []:
        further = extra(item.process) if item.cpu_cores >= at_least else None
        if further is None:
            continue
        evidence = item.evidence()
        params = {key: evidence[key] for key in ("pid", "create_time", "name")} | further
        target = f"process:{item.name}:{item.process.pid}"
        candidates.append(Candidate(action=action, params=params, target=target, evidence=evidence))
    return candidates[: int(options.get("max_proposals", MAX_PROPOSALS))]


def target_or_refusal(params: Params, context: ActionContext) -> psutil.Process | ActionResult:
    """Return the process to act on, or the failed result that says why it may not be acted on."""
    try:
        return find_allowed(params, context.options)
    except (NotAllowedError, ValueError) as refusal:
        return ActionResult(success=False, detail=f"Refused: {refusal}")


def label(params: Params) -> str:
    """Return how a process is called in a sentence."""
    return f"{params.get('name', 'process')} (pid {params.get('pid')})"
