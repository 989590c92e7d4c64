"""What each holder of a shared budget may be granted, so that all together never hold more than there is.

Two things are counted of a holder: what it may be up to (`reserved`) and what it is granted. A grant is never more than
the budget less what all others may be up to; so the sum of what holders may be up to stays within the budget, and what
they do hold within that sum. The argument, step by step:

1. A holder's act is begun only after its promise to act is written down, and only up to the lease that is in force
   after that. So whoever reports first stores the newest lease, then reads the promises, and then reports: what it
   says is in use, and the lease it says it knows, bound all that it does before it hears of another one.
2. So until a holder says that it knows a lease, it may be up to any that it may still go by: the most of the newest
   lease, of those it has not confirmed, and of what it said is in use. A shrunk share is given to others only when the
   holder has confirmed it and reports what it then holds: one that is gone, slow or cut off still counts in full.
3. Each answer is written before it is given, and has a token greater than all before. An answer that gets lost is
   counted like one that arrived; a question that was overtaken by a later one of the same holder is refused by its
   older token.
4. A holder goes by its lease for its length from before it asked, by its own clock, and by its safe amount after that;
   the ledger counts the same length from when it answered, which is later. No moment is ever compared with another
   machine's: clocks may differ by any amount, but they may not run apart, or be set, by more than the margin within a
   lease. Only where what is held gives way by itself (`gives_way_s`) is the end of a lease enough to give its amount
   to others: after the length, that time and the margin. Anywhere else it takes the holder's word, or a person's.

5. What is held by whom the ledger has not heard of is not counted. So nothing is added to what holders hold before all
   have been heard of that the configuration names, or, where it names none, within the first lease of a budget.

Gray and Cheriton 1989, "Leases: an efficient fault-tolerant mechanism for distributed file cache consistency"; fencing
tokens as in Kleppmann 2017, "Designing Data-Intensive Applications", chapter 8.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from storage.decisions import SharedLease
from storage.errors import ForeactError

TURNS_A_LEASE = 2.5
"""So many turns of its holder a lease lasts at least: one that is missed must not end it."""


@dataclass(frozen=True)
class BudgetTerms:
    """How much of a budget there is, and by which times its leases go; see `SharedSettings`.

    `holders` are all that may take part; where none are named everybody may.
    """

    total: float
    lease_s: float
    gives_way_s: float | None = None
    margin_s: float = 0.0
    holders: tuple[str, ...] = ()


@dataclass(frozen=True)
class ShareOffer:
    """What a holder says when it asks: the newest lease it knows, its amount, and what it holds at the most.

    `steps` are (amount, value): so much more is worth so much more an hour. `safe` is what it wants for good.
    """

    holder: str
    instance: str
    acknowledged: int = 0
    holds: float = 0.0
    in_use: float = 0.0
    safe: float = 0.0
    steps: tuple[tuple[float, float], ...] = ()
    turn_s: float = 60.0


@dataclass(frozen=True)
class WantedShare:
    """What a holder would get were all shares cleared anew, and the price of one more."""

    amount: float
    price: float = 0.0


def taking_part(holdings: Iterable[SharedLease]) -> tuple[SharedLease, ...]:
    """Return the holdings whose part has not ended."""
    return tuple(each for each in holdings if not each.is_released)


def reserved(lease: SharedLease, now: datetime, terms: BudgetTerms) -> float:
    """Return how much a holder may be up to, whatever it does and whether or not it lives."""
    if _gave_way(lease, now, terms):
        return max(lease.safe, lease.unconfirmed_safe)
    return max(lease.amount, lease.unconfirmed, lease.in_use)


def grant(
    budget: str,
    terms: BudgetTerms,
    holdings: Mapping[str, SharedLease],
    offer: ShareOffer,
    wanted: WantedShare,
    now: datetime,
) -> SharedLease:
    """Return the lease that answers an offer: what is wanted for it, as far as all others leave room.

    `holdings` are the newest rows of all holders, by holder. A safe amount, once granted, stays as long as its holder
    wants it; a new one waits for room. Raises `not_a_holder` where it may not take part, `holder_taken` where
    another agent goes by that name, `stale_lease` where the offer goes by an older lease than its holder has confirmed,
    and `ledger_older` where it goes by one that was never given.
    """
    before = holdings.get(offer.holder)
    before = None if before is None or before.is_released else before
    _refuse(budget, terms, before, offer)
    others = [each for each in taking_part(holdings.values()) if each.holder != offer.holder]
    free = max(0.0, terms.total - sum(reserved(each, now, terms) for each in others))
    safe = min(offer.safe, free)
    wanted_now = min(wanted.amount, offer.in_use) if is_gathering(terms, holdings, offer, now) else wanted.amount
    amount = min(max(wanted_now, safe), free)
    newest = max([offer.acknowledged, *(each.token for each in holdings.values())])
    is_over = before is not None and _gave_way(before, now, terms)
    unconfirmed, unconfirmed_safe = _unconfirmed(before, offer, is_over=is_over)
    return SharedLease(
        budget=budget,
        token=newest + 1,
        holder=offer.holder,
        instance=offer.instance,
        joined_at=before.joined_at if before is not None else now,
        granted_at=now,
        expires_at=now + timedelta(seconds=max(terms.lease_s, TURNS_A_LEASE * offer.turn_s)),
        amount=amount,
        safe=safe,
        asked_safe=offer.safe,
        in_use=offer.in_use,
        unconfirmed=unconfirmed,
        unconfirmed_safe=unconfirmed_safe,
        acknowledged=offer.acknowledged,
        wanted=wanted.amount,
        price=wanted.price,
        steps=offer.steps,
    )


def is_gathering(terms: BudgetTerms, holdings: Mapping[str, SharedLease], offer: ShareOffer, now: datetime) -> bool:
    """Tell whether somebody may hold some of a budget that was not heard of yet."""
    heard = {each.holder for each in holdings.values()} | {offer.holder}
    if terms.holders:
        return not heard.issuperset(terms.holders)
    first = min((each.joined_at for each in holdings.values()), default=now)
    return now < first + timedelta(seconds=terms.lease_s)


def _gave_way(lease: SharedLease, now: datetime, terms: BudgetTerms) -> bool:
    """Tell whether a holder is sure to hold no more than its safe amount, since what it held gives way by itself."""
    if terms.gives_way_s is None:
        return False
    return (now - lease.expires_at).total_seconds() > terms.gives_way_s + terms.margin_s


def _unconfirmed(before: SharedLease | None, offer: ShareOffer, *, is_over: bool) -> tuple[float, float]:
    """Return the most, and the most for good, that a holder may go by until it hears of the answer to its offer."""
    if before is None:
        return offer.holds, 0.0
    if is_over:
        safe = max(before.safe, before.unconfirmed_safe)
        return safe, safe
    if offer.acknowledged == before.token:
        return before.amount, before.safe
    return max(before.amount, before.unconfirmed), max(before.safe, before.unconfirmed_safe)


def _refuse(budget: str, terms: BudgetTerms, before: SharedLease | None, offer: ShareOffer) -> None:
    if terms.holders and offer.holder not in terms.holders:
        raise ForeactError(
            "not_a_holder",
            f"{offer.holder} is not among the holders of {budget}: {', '.join(terms.holders)}.",
            f"Add it to shared.{budget}.holders of the foreact that grants it, or correct its agent.name.",
            status=403,
        )
    if before is None:
        return
    release = f"If that one is gone for good: foreact shared {budget} --release {offer.holder} --note WHY."
    if before.instance != offer.instance:
        raise ForeactError(
            "holder_taken",
            f"Another foreact holds a share of {budget} as {offer.holder}.",
            f"Give this one an agent.name of its own. {release}",
            status=409,
        )
    if offer.acknowledged < before.acknowledged:
        raise ForeactError(
            "stale_lease",
            f"{offer.holder} goes by lease {offer.acknowledged} of {budget}, but it has confirmed {before.acknowledged}"
            " already: this question is old, or its database was put back from an older copy.",
            f"An old question needs nothing. After a restore: foreact shared {budget} --release {offer.holder}"
            " --note WHY.",
            status=409,
        )
    if offer.acknowledged > before.token:
        raise ForeactError(
            "ledger_older",
            f"{offer.holder} goes by lease {offer.acknowledged} of {budget}, and the ledger knows none after"
            f" {before.token}: it was put back from an older copy, and does not know what is held.",
            f"When all holders are at their safe amounts: foreact shared {budget} --release {offer.holder} --note WHY.",
            status=409,
        )
