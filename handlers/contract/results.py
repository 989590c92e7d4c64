"""What a handler hands back, and how anything else it hands back is turned into a plain failure."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class ActionResult:
    """How an act went, in the handler's own words.

    `impact` is what the handler claims to have changed, per metric; the measurement decides, not the claim.
    `undo` holds what only the act itself could know for undoing it (an id, a folder).
    `skipped` says that there was nothing to do, or that it could not apply here.
    """

    success: bool
    detail: str = ""
    impact: dict[str, float] = field(default_factory=dict)
    evidence: dict[str, Any] = field(default_factory=dict)
    undo: dict[str, Any] | None = None
    skipped: bool = False


class CallFailedError(Exception):
    """A call that did not do what it was for; the message says what and how to mend it, `status` is None unanswered.

    An act or an undo that lets it pass has failed, in these words.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        """Say what went wrong."""
        super().__init__(message)
        self.status = status


def explain(error: BaseException, who: str = "The handler") -> str:
    """Say in one line what a handler, or something else, raised."""
    kind = type(error).__name__
    if isinstance(error, MemoryError):
        error.__traceback__ = None  # what its frames hold is given back: to say this takes memory too
        return f"{who} needed more memory than it may take ({kind})."
    text = " ".join(str(error).split())[:500]
    return f"{who} raised {kind}: {text}" if text else f"{who} raised {kind}."


def resolve(value: Any) -> Any:
    """Await what an async handler returned, also where an event loop is already running in this thread."""
    if not inspect.isawaitable(value):
        return value
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    async def finish() -> Any:
        return await value

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(finish())
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(asyncio.run, finish()).result()


def to_result(value: Any) -> ActionResult:
    """Turn what a handler returned into a result; rubbish becomes a failed one that says what was wrong."""
    if isinstance(value, ActionResult):
        problem = _problem(value.success, value.impact)
        return replace(value, success=False, impact={}, detail=problem) if problem else value
    if not isinstance(value, Mapping):
        return _rubbish(f"{type(value).__name__} instead of a dict with 'success'")
    if "success" not in value:
        return _rubbish(f"a dict without 'success' (it has {sorted(map(str, value))[:10]})")
    impact = value.get("impact") or {}
    problem = _problem(value["success"], impact)
    if problem:
        return ActionResult(success=False, detail=problem)
    evidence, undo = value.get("evidence"), value.get("undo")
    return ActionResult(
        success=bool(value["success"]),
        detail=str(value.get("detail") or value.get("error") or value.get("message") or "")[:2000],
        impact={str(metric): float(change) for metric, change in impact.items()},
        evidence=dict(evidence) if isinstance(evidence, Mapping) else {},
        undo=dict(undo) if isinstance(undo, Mapping) else None,
        skipped=value.get("skipped") is True,
    )


def _rubbish(what: str) -> ActionResult:
    return ActionResult(success=False, detail=f"The handler returned {what}.")


def _problem(success: Any, impact: Any) -> str:
    if type(success).__name__ not in {"bool", "bool_"}:
        return f"The handler returned success={success!r:.80}, which is neither True nor False."
    if not isinstance(impact, Mapping):
        return f"The handler returned an impact that is {type(impact).__name__}, not a dict."
    for metric, change in impact.items():
        if not _is_finite(change):
            return f"The handler returned an impact on {metric!s:.80} that is not a finite number: {change!r:.80}."
    return ""


def _is_finite(change: Any) -> bool:
    if isinstance(change, bool) or not isinstance(change, (int, float)):
        return False
    try:
        return math.isfinite(change)
    except OverflowError:
        return False
