"""Report where the memory is and what could be freed; nothing is changed."""

from __future__ import annotations

from typing import Any

from handlers.contract.action import ActionContext, Params
from handlers.contract.registration import action
from handlers.contract.results import ActionResult

GIBIBYTE = 2**30


@action(
    name="free_memory_report",
    goal_types=(),
    metrics=("memory_*", "swap_*"),
    default_level="auto",
    risk="low",
    timeout_s=20.0,
    cooldown_s=600.0,
    rate_limits=("6/hour",),
    informs_only=True,
    explains_dry_run=True,
    options={"count": "how many programs to name; 5"},
    example_params={"count": 5},
)
def free_memory_report(params: Params, context: ActionContext) -> ActionResult:
    """Say how the memory is divided, which processes hold most of it, and what the system could take back."""
    import psutil

    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    count = int(params.get("count", context.options.get("count", 5)))
    by_program = _by_program()
    reclaimable = int(getattr(memory, "cached", 0) + getattr(memory, "buffers", 0))
    evidence = {
        "total_bytes": memory.total,
        "available_bytes": memory.available,
        "used_ratio": round(1 - memory.available / memory.total, 4),
        "reclaimable_cache_bytes": reclaimable,
        "swap_used_bytes": swap.used,
        "swap_total_bytes": swap.total,
        "largest_programs": by_program[:count],
    }
    detail = (
        f"{memory.available / GIBIBYTE:.1f} of {memory.total / GIBIBYTE:.1f} GiB are available; "
        f"the system can free up to {reclaimable / GIBIBYTE:.1f} GiB of cache by itself."
    )
    if by_program:
        first = by_program[0]
        held = first["memory_bytes"] / GIBIBYTE
        detail += f" {first['name']} uses most: {held:.1f} GiB in {first['process_count']} process(es)."
    return ActionResult(success=True, detail=detail, evidence=evidence)


def _by_program() -> list[dict[str, Any]]:
    """Return resident memory by program name, largest first; pages that processes share count in each."""
    import psutil

    totals: dict[str, dict[str, Any]] = {}
    for process in psutil.process_iter(["pid", "name", "memory_info"]):
        memory, name = process.info["memory_info"], process.info["name"] or "?"
        if memory is None or memory.rss == 0:
            continue
        entry = totals.setdefault(name, {"name": name, "memory_bytes": 0, "process_count": 0, "largest_pid": None})
        if memory.rss > entry.get("_largest", -1):
            entry["_largest"], entry["largest_pid"] = memory.rss, process.info["pid"]
        entry["memory_bytes"] += memory.rss
        entry["process_count"] += 1
    ranked = sorted(totals.values(), key=lambda entry: -entry["memory_bytes"])
    return [{key: value for key, value in entry.items() if not key.startswith("_")} for entry in ranked]
