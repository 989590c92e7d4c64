"""Undo drills: an action is done to a target that is there for nothing else, undone, and looked at each time.

A way back that nobody walks is found overgrown on the day it is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from handlers.contract.action import ActionContext, ActionHandler
from handlers.sandbox.parent import CallResult, call
from storage.errors import ForeactError, TransientError
from storage.facts import Drill, DrillFinding
from storage.records import ReceiptStatus


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
    def of_facts(cls, facts: Mapping[str, Drill]) -> DrillReport:
        """Read it back from the facts, keyed by action."""
        return cls(tuple(facts[name] for name in sorted(facts)))


def practise_all(
    handlers: Iterable[ActionHandler],
    tick: datetime,
    resolve: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict,
) -> Iterator[Drill]:
    """Drill every action that declares a safe target; the others are left out. `resolve` completes their options."""
    for handler in handlers:
        if handler.hooks.drill is None or handler.hooks.undo is None:
            continue
        try:
            options = resolve(handler.option_values)
        except (ForeactError, TransientError) as trouble:
            yield _drill(handler, tick, "failed", str(trouble))
            continue
        yield practise(handler if options == handler.option_values else replace(handler, option_values=options), tick)


def practise(handler: ActionHandler, tick: datetime) -> Drill:
    """Do an action to its drill target and undo it, each in a process of its own, as in earnest; it never raises."""
    action_id = f"drill-{handler.name}"
    context = ActionContext(tick=tick, options=handler.option_values, goal_id="drill", action_id=action_id)
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
    finding: DrillFinding = "failed" if trouble else "passed"
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
    handler: ActionHandler, tick: datetime, finding: DrillFinding, detail: str, act_s: float = 0.0, undo_s: float = 0.0
) -> Drill:
    return Drill(handler.name, tick.isoformat(), finding, detail, round(act_s, 3), round(undo_s, 3))
