"""What this agent holds of what it shares, and whether an act would take more, as readers of the store find it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from settings import SharedSettings
from storage.actions import ActionView
from storage.errors import ForeactError
from storage.records import Action, Receipt
from tasks.context import Context
from tasks.shared_limits import ShareLimit, limits_in_force
from tasks.sharing.in_use import acts_in_use, amount_in, amounts_possible, has_begun
from tasks.text import number

_LATEST_WITHIN = timedelta(hours=1)
_LOOKED_BACK = timedelta(days=1)


@dataclass(frozen=True)
class Drawn:
    """What an agent draws from a budget: the amount `sets` that its actions set, or acts where that is None."""

    name: str
    actions: tuple[str, ...]
    sets: str | None
    latency_s: float = 0.0


@dataclass(frozen=True)
class Permit:
    """The fencing tokens of the leases by which an act may be done, by budget; or why it may not be."""

    leases: Mapping[str, int] = field(default_factory=dict)
    refusal: str = ""

    def on(self, receipt: Receipt) -> Receipt:
        """Return the receipt of the act with the tokens on it."""
        if not self.leases:
            return receipt
        return receipt.model_copy(update={"evidence": {**receipt.evidence, "leases": dict(self.leases)}})


def drawn_of(context: Context, name: str, terms: SharedSettings) -> Drawn:
    """Return what a configuration draws on a budget; raises `shared_contradicts` where that cannot be counted."""
    missing = [each for each in terms.actions if each not in context.actions]
    sets = {context.actions[each].sets for each in terms.actions}
    if missing or len(sets) != 1:
        what = (
            f"names {missing[0]}, and there is no such action"
            if missing
            else "names actions that set different amounts, or of which only some set one"
        )
        remedy = f"Correct shared.{name}.actions: actions that set one amount, or such as set none."
        raise ForeactError("shared_contradicts", f"shared.{name} {what}.", remedy)
    latency_s = max(context.actions[each].latency_s for each in terms.actions)
    return Drawn(name, terms.actions, next(iter(sets)), latency_s)


def most_held(context: Context, drawn: Drawn, at_least: float) -> float:
    """Return the most that this agent may hold of a budget now; `at_least` so much where nothing tells."""
    begun = _begun(context, drawn)
    if drawn.sets is None:
        return float(acts_in_use(begun, drawn.actions, context.store.clock()))
    return max(_possible(context, drawn, begun), default=at_least)


def permit_for(context: Context, action: Action, before: Mapping[str, Any]) -> Permit:
    """Tell whether an act that was promised may be done by the leases in force; `before` is what its undo restores.

    It is asked after the promise is written, so that whoever reports meanwhile what is held counts it. What takes less
    than is surely held is always allowed.
    """
    if not context.settings.shared or action.dry_run:
        return Permit()
    limits = limits_in_force(context.settings, context.store, context.store.clock())
    leases: dict[str, int] = {}
    for limit in limits:
        if action.name in limit.actions:
            if why := _beyond(context, action, before, limit):
                return Permit(refusal=why)
            leases[limit.name] = limit.token
    return Permit(leases)


def _beyond(context: Context, action: Action, before: Mapping[str, Any], limit: ShareLimit) -> str:
    """Return why an act would take more than a limit allows; "" where it does not."""
    try:
        drawn = drawn_of(context, limit.name, context.settings.shared[limit.name])
    except ForeactError as trouble:
        return str(trouble)
    begun = _begun(context, drawn)
    if drawn.sets is None:
        count = acts_in_use(begun, drawn.actions, context.store.clock())
        is_within = action.undo_of is not None or count <= limit.most + 1e-9
        return "" if is_within else f"{limit.reason}: this would be act {count} within an hour."
    amount = amount_in(action.params, before if action.undo_of else None)
    if amount is None:
        return f"{limit.reason}: to what amount this leads is not known, so it may be more."
    others = [each for each in begun if each.action.action_id != action.action_id]
    least = min(_possible(context, drawn, others), default=0.0)
    is_within = amount <= max(limit.most, least) + 1e-9
    return "" if is_within else f"{limit.reason}: {number(amount)} would be more."


def _begun(context: Context, drawn: Drawn) -> list[ActionView]:
    store = context.store
    views = [*store.actions.finished(store.clock() - _LOOKED_BACK), *store.actions.pending()]
    return [each for each in views if each.action.name in drawn.actions and has_begun(each)]


def _possible(context: Context, drawn: Drawn, begun: list[ActionView]) -> tuple[float, ...]:
    now = context.store.clock()
    rows = context.store.samples.latest(now - _LATEST_WITHIN)
    return amounts_possible(rows.get(drawn.sets or ""), begun, drawn.latency_s)
