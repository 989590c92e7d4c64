"""Grant shares of what several foreacts share: cleared by a price, written before they are answered."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from threading import Lock

from api.access import Caller
from api.facade import Facade
from api.models.shared_budgets import LeaseGranted, OfferIn, ReleaseIn
from api.queries.shared_budgets import lease_terms
from settings import SharedSettings
from storage.decisions import SharedLease
from storage.errors import ForeactError
from tasks.plan.optimise.clearing import Claim, clear
from tasks.sharing.lease_rules import BudgetTerms, ShareOffer, WantedShare, grant, reserved, taking_part

_LEDGER = Lock()
"""One question is answered after the other; another process's would be refused by its token."""


def budget_terms(facade: Facade, name: str) -> SharedSettings:
    """Return the terms of a budget that this foreact grants; raises `budget_unknown`."""
    terms = facade.in_force.shared.get(name)
    if terms is not None and terms.total is not None:
        return terms
    elsewhere = f" Ask {terms.coordinator}." if terms is not None else ""
    raise ForeactError(
        "budget_unknown",
        f"This foreact grants no shares of {name}.{elsewhere}",
        f"Give shared.{name}.total in its foreact.toml, or correct shared.{name}.coordinator of who asks.",
        status=404,
    )


def offer_share(facade: Facade, name: str, body: OfferIn, caller: Caller) -> LeaseGranted:
    """Answer an offer with a lease; an offer that is refused changes nothing."""
    terms = lease_terms(budget_terms(facade, name))
    offer = ShareOffer(**body.model_dump())
    with _LEDGER:
        holdings, now = facade.store.shared.newest(name), facade.clock()
        wanted = wanted_of(terms, holdings, offer, now)
        lease = grant(name, terms, holdings, offer, wanted, now)
        _write(facade, lease)
    _tell(facade, caller, holdings.get(offer.holder), lease)
    return LeaseGranted(
        token=lease.token,
        amount=lease.amount,
        safe=lease.safe,
        lasts_s=lease.lasts.total_seconds(),
        wanted=lease.wanted,
        price=lease.price,
    )


def release_share(facade: Facade, name: str, body: ReleaseIn) -> None:
    """End a holder's part by a person's word that it holds nothing any more; raises `holder_unknown`."""
    budget_terms(facade, name)
    with _LEDGER:
        holdings = facade.store.shared.newest(name)
        known = {each.holder: each for each in taking_part(holdings.values())}
        if body.holder not in known:
            raise ForeactError(
                "holder_unknown",
                f"{body.holder} holds no share of {name}.",
                "GET /api/autonomous/shared lists who does.",
                status=404,
            )
        newest = max(each.token for each in holdings.values())
        ended = known[body.holder].model_copy(update={"token": newest + 1, "is_released": True})
        _write(facade, ended)
    held = reserved(known[body.holder], facade.clock(), lease_terms(budget_terms(facade, name)))
    detail = {"holder": body.holder, "note": body.note, "reserved": held}
    facade.store.audit.append(body.by, "release share", name, detail)


def wanted_of(terms: BudgetTerms, holdings: Mapping[str, SharedLease], offer: ShareOffer, now: datetime) -> WantedShare:
    """Return what who offers would get were all shares given anew by one price.

    Who was not heard of within its lease takes no part: what is kept for it is not there for others.
    """
    others = [each for each in taking_part(holdings.values()) if each.holder != offer.holder]
    silent = sum(reserved(each, now, terms) for each in others if not each.is_live(now))
    room = max(0.0, terms.total - silent)
    claims = [_claim(each.holder, each.steps, each.safe, room) for each in others if each.is_live(now)]
    cleared = clear([*claims, _claim(offer.holder, offer.steps, min(offer.safe, room), room)], room)
    if cleared.amounts is None:
        # What is wanted for good is more than there is: nobody gets more than that.
        return WantedShare(offer.safe)
    return WantedShare(cleared.amounts[offer.holder], cleared.price)


def _claim(holder: str, steps: tuple[tuple[float, float], ...], safe: float, room: float) -> Claim:
    return Claim(holder, steps, minimum=min(safe, room), maximum=room, is_divisible=False)


def _write(facade: Facade, lease: SharedLease) -> None:
    if not facade.store.shared.append(lease):
        raise ForeactError(
            "ledger_busy",
            f"Lease {lease.token} of {lease.budget} was given to another just now.",
            "Ask again.",
            status=409,
        )


def _tell(facade: Facade, caller: Caller, before: SharedLease | None, lease: SharedLease) -> None:
    """Write into the audit trail who takes part anew, and each share that changed."""
    is_new = before is None or before.is_released
    if not is_new and before is not None and (before.amount, before.safe) == (lease.amount, lease.safe):
        return
    detail = {
        "holder": lease.holder,
        "lease": lease.token,
        "amount": lease.amount,
        "safe": lease.safe,
        "in_use": lease.in_use,
        "wanted": lease.wanted,
        "price": round(lease.price, 6),
    }
    facade.store.audit.append(
        caller.named(lease.holder), "join budget" if is_new else "lease share", lease.budget, detail
    )
