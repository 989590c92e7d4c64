"""Report the processes that use most CPU, memory and I/O; nothing is changed."""

from __future__ import annotations

from collections.abc import Callable

from handlers.contract.action import ActionContext, Params
from handlers.contract.registration import action
from handlers.contract.results import ActionResult


@action(
    name="analyze_processes",
    default_level="auto",
    risk="low",
    timeout_s=20.0,
    cooldown_s=300.0,
    rate_limits=("12/hour",),
    informs_only=True,
    explains_dry_run=True,
    options={"count": "how many processes to name; 5", "over_s": "seconds to look at them; 0.5"},
    example_params={"count": 5, "over_s": 0.5},
)
def analyze_processes(params: Params, context: ActionContext) -> ActionResult:
    """Name the top consumers of CPU, memory and I/O, with figures."""
    import psutil

    from handlers.support.processes import Usage, usage

    count = int(params.get("count", context.options.get("count", 5)))
    over_s = float(params.get("over_s", context.options.get("over_s", 0.5)))
    usages = usage(list(psutil.process_iter()), over_s)

    def top(key: Callable[[Usage], float]) -> list[dict[str, object]]:
        ranked = sorted(usages, key=key, reverse=True)[:count]
        return [item.evidence() for item in ranked if key(item) > 0]

    evidence = {
        "by_cpu": top(lambda item: item.cpu_cores),
        "by_memory": top(lambda item: float(item.memory_bytes)),
        "by_io": top(lambda item: item.io_bytes_per_second),
        "process_count": len(usages),
        "over_s": over_s,
    }
    busiest = usages[0] if usages else None
    detail = f"Looked at {len(usages)} processes."
    if busiest is not None and busiest.cpu_cores > 0:
        detail += f" {busiest.name} (pid {busiest.process.pid}) uses most CPU: {busiest.cpu_cores:.2f} cores."
    return ActionResult(success=True, detail=detail, evidence=evidence)
