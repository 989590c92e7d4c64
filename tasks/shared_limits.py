"""How far an agent may go with what it shares with others: by its lease while that holds, then by its safe amount."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from handlers import ActionHandler, ActionsByName
from settings import Settings, SharedSettings
from storage import Store
from storage.facts import HELD_SHARES, HeldShare
from tasks.text import number


@dataclass(frozen=True)
class ShareLimit:
    """The most of a shared thing that may be held now, the lease that says so, and why, in words.

    `until` is when the lease ends, None where none holds; `in_use` what was last said to be held, of the amount `sets`,
    or of acts within an hour where that is None. Where no lease ever was granted it `is_unknown`: nothing may be added,
    and nothing need be given back.
    """

    name: str
    unit: str
    actions: tuple[str, ...]
    most: float
    token: int
    until: datetime | None
    in_use: float
    sets: str | None
    reason: str
    is_unknown: bool = False

    @property
    def is_exceeded(self) -> bool:
        """Tell whether more is held than may be, so that some has to be given back."""
        return not self.is_unknown and self.in_use > self.most + 1e-9


def limits_in_force(settings: Settings, store: Store, now: datetime) -> tuple[ShareLimit, ...]:
    """Return the limits of all that this agent shares with others, and draws on."""
    if not settings.shared:
        return ()
    shares = store.facts.matching(HELD_SHARES)
    drawn = {name: each for name, each in settings.shared.items() if each.actions}
    return tuple(limit_of(name, each, shares.get(name), now) for name, each in drawn.items())


def share_in_force(store: Store, name: str) -> HeldShare | None:
    """Return what this agent last heard of its share of something; None before it first asked."""
    return store.facts.get(HELD_SHARES.of(name))


def limit_of(name: str, terms: SharedSettings, share: HeldShare | None, now: datetime) -> ShareLimit:
    """Return the limit that a share sets at a moment of our own clock.

    A lease from the future was asked for before the clock was set back: how much of it is left is not known.
    """
    if share is None or not share.token or share.asked_at is None:
        why = f" ({share.trouble})" if share is not None and share.trouble else ""
        reason = f"No share of {name} was granted yet{why}: nothing is added to what is held"
        in_use, sets = (share.in_use, share.sets) if share is not None else (0.0, None)
        return ShareLimit(name, terms.unit, terms.actions, in_use, 0, None, in_use, sets, reason, is_unknown=True)
    until = share.asked_at + timedelta(seconds=share.lasts_s)
    if share.asked_at <= now < until:
        most, held_until = share.amount, until
        reason = f"The share of {name} is {_amount(most, terms)} until {until:%H:%M} UTC (lease {share.token})"
    else:
        most, held_until = min(share.safe, terms.safe), None
        why = f" ({share.trouble})" if share.trouble else ""
        reason = f"Lease {share.token} of {name} ended at {until:%H:%M} UTC and was not renewed{why}: at most the safe"
        reason += f" {_amount(most, terms)}"
    return ShareLimit(name, terms.unit, terms.actions, most, share.token, held_until, share.in_use, share.sets, reason)


def within_limits(actions: ActionsByName, limits: Iterable[ShareLimit]) -> ActionsByName:
    """Return actions that offer no amount above a limit; where all are above it the least is left, to go down to.

    Where more is held than may be, the greatest amount within the limit alone is offered: to give back is not to give
    up.
    """
    limited = dict(actions)
    for limit in limits:
        for name in limit.actions:
            if name in actions and actions[name].amounts:
                limited[name] = _within(actions[name], limit)
    return ActionsByName(limited)


def _within(action: ActionHandler, limit: ShareLimit) -> ActionHandler:
    amounts = tuple(amount for amount in action.amounts if amount <= limit.most + 1e-9) or action.amounts[:1]
    return replace(action, amounts=amounts[-1:] if limit.is_exceeded else amounts)


def _amount(amount: float, terms: SharedSettings) -> str:
    return f"{number(amount, 3)} {terms.unit}"
