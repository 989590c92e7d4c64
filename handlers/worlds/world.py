"""What the loop needs of a world, and what it makes do with where a world offers no more than that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from handlers.contract.action import ActionContext
from handlers.contract.results import explain
from storage.records import Action, Candidate, Event, Goal, Intent, Receipt, ReceiptStatus, Sample
from storage.samples import SampleColumns


class World(Protocol):
    """Anything that can be watched and acted upon."""

    def observe(self, tick: datetime) -> Iterable[Sample | SampleColumns | Event]:
        """Return what happened since the tick before, up to `tick`."""
        ...

    def act(self, action: Action, tick: datetime) -> Receipt:
        """Carry out an action (or, where `undo_of` is set, undo one) and say what came of it."""
        ...


@runtime_checkable
class Acting(Protocol):
    """What a world may offer besides: proposals, the state before an act, and a check after a crash.

    Such a world is handed the state back when it acts: `before` is what an undo restores.
    """

    def propose(self, goal: Goal, tick: datetime) -> list[Candidate]:
        """Return the concrete ways in which something could be done for a goal now."""
        ...

    def capture(self, action: Action, tick: datetime) -> dict[str, Any]:
        """Return the state before an act, which its undo restores."""
        ...

    def check(self, action: Action, intent: Intent, tick: datetime) -> ReceiptStatus:
        """Find out, without acting, whether an interrupted action took effect."""
        ...

    def act(self, action: Action, tick: datetime, before: Mapping[str, Any] | None = None) -> Receipt:
        """Carry out an action, or undo one by restoring `before`, and say what came of it."""
        ...


@runtime_checkable
class Reporting(Protocol):
    """What a world may offer besides: which facts hold, of those that actions require and provide."""

    def facts_now(self, tick: datetime) -> Mapping[str, bool]:
        """Return whether each fact that is reported holds."""
        ...


def facts_in(world: World, tick: datetime) -> Mapping[str, bool]:
    """Return the facts that a world reports, each with whether it holds; none where it reports none."""
    return world.facts_now(tick) if isinstance(world, Reporting) else {}


UNDO_BY_CHECK = {ReceiptStatus.SUCCEEDED: ReceiptStatus.FAILED, ReceiptStatus.SKIPPED: ReceiptStatus.SUCCEEDED}
"""What a check, which tells whether the effect of an act is in place, says of the undo of it."""


def candidates_in(world: World, goal: Goal, tick: datetime) -> list[Candidate]:
    """Return what a world proposes for a goal; nothing where it proposes nothing at all."""
    return world.propose(goal, tick) if isinstance(world, Acting) else []


def capture_in(world: World, action: Action, tick: datetime) -> dict[str, Any]:
    """Return the state before an act, empty where a world keeps none; LookupError where it cannot be read."""
    if not isinstance(world, Acting):
        return {}
    try:
        return world.capture(action, tick)
    except LookupError:
        raise
    except Exception as trouble:
        raise LookupError(f"The state before {action.name} cannot be read: {explain(trouble)}") from trouble


def act_in(world: World, action: Action, before: Mapping[str, Any], tick: datetime) -> Receipt:
    """Let a world act; what it raises, or hands back in the place of a receipt, becomes a failed receipt."""
    try:
        receipt = world.act(action, tick, before) if isinstance(world, Acting) else world.act(action, tick)
    except Exception as trouble:
        return _failed(action, tick, f"The world could not act: {explain(trouble)}")
    if getattr(receipt, "action_id", None) != action.action_id or not isinstance(receipt, Receipt):
        return _failed(action, tick, f"The world returned no receipt of this action but {receipt!r:.200}")
    return receipt


def _failed(action: Action, tick: datetime, detail: str) -> Receipt:
    return Receipt(
        action_id=action.action_id, status=ReceiptStatus.FAILED, started_at=tick, finished_at=tick, detail=detail
    )


def check_in(world: World, action: Action, intent: Intent, tick: datetime) -> ReceiptStatus:
    """Return what a world knows of an interrupted action; unknown where it cannot tell."""
    try:
        return world.check(action, intent, tick) if isinstance(world, Acting) else ReceiptStatus.UNKNOWN
    except Exception:
        return ReceiptStatus.UNKNOWN


def context_for(action: Action, tick: datetime, options: Mapping[str, Any]) -> ActionContext:
    """Return what a handler is told about an action."""
    return ActionContext(
        tick=tick,
        options=options,
        goal_id=action.goal_id,
        action_id=action.undo_of or action.action_id,
        dry_run=action.dry_run,
        series=action.series,
    )
