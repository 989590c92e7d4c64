"""What the actions on processes have in common: who is proposed, and how a refusal reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from handlers.contract.action import ActionContext, Params, RunHook
from handlers.contract.registration import ActionBuilder, action
from handlers.contract.results import ActionResult
from handlers.support.processes import NotAllowedError, Usage, allowed, find, find_allowed, usage, with_children

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
EXAMPLE_PARAMS = {"pid": 4242, "create_time": 1700000000.0, "name": "batch-job"}
OVER_S = 0.2
MIN_CPU_CORES = 0.2
MAX_PROPOSALS = 3


def process_action(
    *, options: dict[str, str], example_params: dict[str, Any], **traits: Any
) -> Callable[[RunHook], ActionBuilder]:
    """Register an action on a process: what all of them share, with its own traits, `options` and `example_params`."""
    shared: dict[str, Any] = {
        "metrics": PROCESS_METRICS,
        "default_level": "approve",
        "timeout_s": 10.0,
        "latency_s": 1.0,
        "explains_dry_run": True,
        "needs": ("allow_names",),
        "options": PROCESS_OPTIONS | options,
        "example_params": EXAMPLE_PARAMS | example_params,
    }
    return action(**shared | traits)


def family_of(params: Params) -> list[psutil.Process]:
    """Return the process that is meant, first, and its children if asked; none where it has ended."""
    target = find(params)
    return with_children(target, bool(params.get("include_children"))) if target else []


def has_ended(params: Params, what: str) -> ActionResult:
    """Return the result of an undo that finds its process gone."""
    return ActionResult(True, f"{label(params)} has ended: there is nothing to {what}.", skipped=True)


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
    usages: list[Usage] = context.memo[key]
    return usages


def target_or_refusal(params: Params, context: ActionContext) -> psutil.Process | ActionResult:
    """Return the process to act on, or the failed result that says why it may not be acted on."""
    try:
        return find_allowed(params, context.options)
    except (NotAllowedError, ValueError) as refusal:
        return ActionResult(success=False, detail=f"Refused: {refusal}")


def label(params: Params) -> str:
    """Return how a process is called in a sentence."""
    return f"{params.get('name', 'process')} (pid {params.get('pid')})"
