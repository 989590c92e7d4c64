"""How much of a shared thing an agent may be holding: never less than it holds, whatever is still under way."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from math import isfinite
from typing import Any

from handlers.contract.action import AMOUNT
from storage.actions import ActionView

ACTS_COUNT = timedelta(hours=1)
SEEN_AFTER_S = 120.0
"""So long after it should work an act may still not show in what is recorded, whoever's clock dates that."""


def amounts_possible(
    seen: tuple[datetime, float] | None, acts: Iterable[ActionView], latency_s: float
) -> tuple[float, ...]:
    """Return every amount that may be held now: what was last seen, and what acts set that may not show yet.

    `seen` is when the amount was last recorded and what it was, None where it is not heard of. `acts` are those on this
    amount that have begun, `latency_s` is how long one takes to work. Empty where nothing tells.
    """
    hidden_for = timedelta(seconds=2 * latency_s + SEEN_AFTER_S)
    under_way = [each for each in acts if seen is None or not _shows(each, seen[0], hidden_for)]
    amounts = (amount_set_by(each) for each in under_way)
    return (*([seen[1]] if seen is not None else ()), *(each for each in amounts if each is not None))


def acts_in_use(acts: Iterable[ActionView], names: Collection[str], now: datetime) -> int:
    """Return how many acts with these names fell into the hour before a moment, or are under way; undos do not count.

    One dated by a clock that was ahead counts as well.
    """
    since = now - ACTS_COUNT
    begun = [each for each in acts if each.action.name in names and each.action.undo_of is None]
    return sum(has_begun(each) and (each.receipt is None or each.receipt.finished_at > since) for each in begun)


def has_begun(view: ActionView) -> bool:
    """Tell whether an action may have changed something: it did, or it was promised and its end is not known."""
    return view.touched is not None or (view.intent is not None and view.receipt is None)


def amount_set_by(view: ActionView) -> float | None:
    """Return the amount that an act sets, as decided, or that its undo goes back to; None where nothing tells."""
    changed = view.approval.params if view.approval is not None else None
    before = view.intent.before if view.intent is not None else {}
    return amount_in({**view.action.params, **(changed or {})}, before if view.action.undo_of else None)


def amount_in(params: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> float | None:
    """Return the amount that parameters name, or where `before` is given the one that an undo restores from it."""
    named = params.get(AMOUNT) if before is None else before.get(AMOUNT, before.get("count"))
    try:
        amount = float(named) if named is not None else float("nan")
    except (TypeError, ValueError):
        return None
    return amount if isfinite(amount) else None


def _shows(view: ActionView, seen_at: datetime, hidden_for: timedelta) -> bool:
    return view.receipt is not None and seen_at > view.receipt.finished_at + hidden_for
