"""The real world: configured sources are pulled, registered handlers act, each in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from handlers.contract.action import ActionContext, ActionHandler
from handlers.contract.source import SourceHandler
from handlers.sandbox.parent import CallResult, call
from handlers.worlds.world import context_for
from storage.records import Action, Candidate, Event, Goal, Intent, Receipt, ReceiptStatus, Sample


@dataclass
class LiveWorld:
    """This machine and whatever its sources and actions reach.

    `actions` are as configured: one that is switched off is not proposed, but what it did can be undone. `since` gives
    the newest sample of a source, `now` the time at which an act really ends. Trouble with one source is kept in
    `troubles` and leaves the others alone; `newest` says how far each source was read.
    """

    actions: Mapping[str, ActionHandler]
    now: Callable[[], datetime]
    sources: Mapping[str, tuple[SourceHandler, Mapping[str, Any]]] = field(default_factory=dict)
    since: Callable[[str], datetime | None] = lambda name: None
    troubles: list[str] = field(default_factory=list)
    newest: dict[str, datetime] = field(default_factory=dict)
    _looked_at: dict[datetime, dict[str, Any]] = field(default_factory=dict)

    def observe(self, tick: datetime) -> Iterable[Sample | Event]:
        """Pull every configured source since its last sample."""
        self.troubles.clear()
        self.newest.clear()
        for name, (source, options) in self.sources.items():
            try:
                for seen in source.pull(options, self.since(name), tick):
                    self.newest[name] = max(seen.ts, self.newest.get(name, seen.ts))
                    yield seen
            except Exception as trouble:
                self.troubles.append(f"source {name}: {type(trouble).__name__}: {trouble}")

    def propose(self, goal: Goal, tick: datetime) -> list[Candidate]:
        """Ask every enabled action what it could do for a goal; one that fails proposes nothing."""
        candidates: list[Candidate] = []
        for name, handler in self.actions.items():
            context = ActionContext(
                tick=tick,
                options=handler.option_values,
                goal_id=goal.goal_id,
                series=goal.series,
                memo=self._looked_at.setdefault(tick, {}),
            )
            try:
                candidates += handler.propose(goal, context)
            except Exception as trouble:
                self.troubles.append(f"action {name} proposed nothing: {type(trouble).__name__}: {trouble}")
        return candidates

    def capture(self, action: Action, tick: datetime) -> dict[str, Any]:
        """Return the state that undo would restore; raises LookupError where the target cannot be read."""
        if action.name not in self.actions:
            return {}
        result = self._call(action, "capture", {}, tick)
        if result.value is None:
            raise LookupError(result.detail)
        return result.value

    def check(self, action: Action, intent: Intent, tick: datetime) -> ReceiptStatus:
        """Find out, without acting, whether an interrupted action took effect."""
        if action.name not in self.actions:
            return ReceiptStatus.UNKNOWN
        return self._call(action, "check", intent.before, tick).status

    def act(self, action: Action, tick: datetime, before: Mapping[str, Any] | None = None) -> Receipt:
        """Carry out an action, or undo one, in a process that can be ended; it never raises."""
        if action.name not in self.actions:
            detail = f"There is no action {action.name}; register it or remove it from the configuration."
            return Receipt(
                action_id=action.action_id,
                status=ReceiptStatus.FAILED,
                started_at=self.now(),
                finished_at=self.now(),
                detail=detail,
            )
        started_at = self.now()
        result = self._call(action, "undo" if action.undo_of else "run", before or {}, tick)
        return Receipt(
            action_id=action.action_id,
            status=result.status,
            started_at=started_at,
            finished_at=self.now(),
            detail=result.detail,
            claimed_impact=result.impact,
            evidence=result.evidence,
            undo=result.undo,
        )

    def _call(self, action: Action, phase: Any, before: Mapping[str, Any], tick: datetime) -> CallResult:
        handler = self.actions[action.name]
        return call(handler, phase, action.params, before, context_for(action, tick, handler.option_values))
