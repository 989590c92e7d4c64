"""Undo drills: an action is done to a target that is there for nothing else, undone, and looked at each time.

A way back that nobody walks is found overgrown on the day it is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from handlers.contract.action import ActionContext, ActionHandler
from handlers.sandbox.parent import CallResult, call
from storage.records import ReceiptStatus

DRILL_FACT = "drill:"
"""The prefix under which the newest drill of each action is kept among the facts."""

Finding = Literal["passed", "failed", "no target"]


@dataclass(frozen=True)
class Drill:
    """The result of one action's drill; `no target` if nothing here is safe to practise on."""

    action: str
    at: str
    finding: Finding
    detail: str
    act_s: float = 0.0
    undo_s: float = 0.0

    def as_fact(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)


@dataclass(frozen=True)
class DrillReport:
    """The newest drill of each action, and the share that passed of those that had a target; None without any."""

    drills: tuple[Drill, ...]

    @property
    def success_ratio(self) -> float | None:
        """Return the share of drills that passed."""
        tried = [drill for drill in self.drills if drill.finding != "no target"]
        return sum(drill.finding == "passed" for drill in tried) / len(tried) if tried else None

    @classmethod
    def of_facts(cls, facts: Mapping[str, Mapping[str, Any]]) -> DrillReport:
        """Read it back from the facts, keyed by action."""
        return cls(tuple(Drill(**facts[name]) for name in sorted(facts)))


def practise_all(
    handlers: Iterable[ActionHandler], options_of: Mapping[str, Mapping[str, Any]], tick: datetime
) -> Iterator[Drill]:
    """Drill every action that declares a safe target; the others are left out."""
    for handler in handlers:
        if handler.hooks.drill is not None and handler.hooks.undo is not None:
            yield practise(handler, options_of.get(handler.name, {}), tick)


def practise(handler: ActionHandler, options: Mapping[str, Any], tick: datetime) -> Drill:
    """Do an action to its drill target and undo it, each in a process of its own, as in earnest; it never raises."""
    context = ActionContext(tick=tick, options=options, goal_id="drill", action_id=f"drill-{handler.name}")
    target = call(handler, "drill", {}, None, context)
    if not target.succeeded:
        return _drill(handler, tick, "failed", f"No target could be prepared: {target.detail}")
    if target.value is None:
        return _drill(handler, tick, "no target", "There is no safe target for it here.")
    try:
        return _practised(handler, target.value, context, tick)
    finally:
        call(handler, "clear", target.value, None, context)


def _practised(handler: ActionHandler, params: Mapping[str, Any], context: ActionContext, tick: datetime) -> Drill:
    before = call(handler, "capture", params, None, context)
    if before.value is None:
        return _drill(handler, tick, "failed", f"The state before could not be read: {before.detail}")
    kept: dict[str, Any] = before.value
    act = call(handler, "run", params, kept, context)
    seen = call(handler, "check", params, kept, context).status
    # Also after an act that failed: it may have been done by half.
    undo = call(handler, "undo", params, {**kept, **(act.undo or {})}, context)
    gone = call(handler, "check", params, kept, context).status
    trouble = _trouble(handler, act, seen, undo, gone)
    finding: Finding = "failed" if trouble else "passed"
    return _drill(handler, tick, finding, trouble or f"{act.detail} {undo.detail}", act.duration_s, undo.duration_s)


def _trouble(
    handler: ActionHandler, act: CallResult, seen: ReceiptStatus, undo: CallResult, gone: ReceiptStatus
) -> str:
    if not act.succeeded:
        return f"The action {act.status}: {act.detail}"
    if not undo.succeeded:
        return f"The undo {undo.status}: {undo.detail}"
    if handler.hooks.check is None:
        return ""
    if seen is not ReceiptStatus.SUCCEEDED:
        return f"The action reported success, but a check found: {seen}."
    if gone is ReceiptStatus.SUCCEEDED:
        return "The undo reported success, but a check found the effect still in place."
    return ""


def _drill(
    handler: ActionHandler, tick: datetime, finding: Finding, detail: str, act_s: float = 0.0, undo_s: float = 0.0
) -> Drill:
    return Drill(handler.name, tick.isoformat(), finding, detail, round(act_s, 3), round(undo_s, 3))
