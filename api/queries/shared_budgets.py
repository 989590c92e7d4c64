"""What is shared with other foreacts: who holds how much of it until when, and what this one may hold."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from api.facade import Facade
from api.models.shared_budgets import GrantedBudget, Holder, OwnShare, SharedBudgets
from settings import SharedSettings
from storage.decisions import SharedLease
from tasks.shared_limits import limits_in_force, share_in_force
from tasks.sharing.lease_rules import BudgetTerms, reserved, taking_part
from tasks.text import number

NOTHING_SHARED = "Nothing is shared with other foreacts; a section [shared.NAME] in foreact.toml says what is."


def lease_terms(settings: SharedSettings) -> BudgetTerms:
    """Return what the rules of leases go by, as configured where a budget is granted."""
    return BudgetTerms(
        total=settings.total or 0.0,
        lease_s=settings.lease_seconds,
        gives_way_s=settings.gives_way_seconds,
        margin_s=settings.clock_margin_seconds,
        holders=settings.holders,
    )


def shared_budgets(facade: Facade) -> SharedBudgets:
    """Return what this foreact grants to others, and what it holds itself."""
    shared = facade.in_force.shared
    granted = [_granted(facade, name, terms) for name, terms in shared.items() if terms.total is not None]
    return SharedBudgets(granted=granted, shares=own_shares(facade), note=None if shared else NOTHING_SHARED)


def own_shares(facade: Facade) -> list[OwnShare]:
    """Return what this foreact may hold of what it draws on."""
    shares = []
    for limit in limits_in_force(facade.in_force, facade.store, facade.clock()):
        share, terms = share_in_force(facade.store, limit.name), facade.in_force.shared[limit.name]
        held = f"{limit.reason}; it holds {number(limit.in_use, 3)}." if share is not None else f"{limit.reason}."
        note = f" Of who grants it: {share.note}." if share is not None and share.note else ""
        shares.append(
            OwnShare(
                name=limit.name,
                unit=limit.unit,
                coordinator=terms.coordinator or "this foreact",
                most=limit.most,
                in_use=limit.in_use,
                token=limit.token,
                until=limit.until,
                wanted=share.wanted if share is not None else 0.0,
                price=share.price if share is not None else 0.0,
                trouble=share.trouble if share is not None else "",
                sentence=f"{held}{note}",
            )
        )
    return shares


def share_warnings(facade: Facade) -> list[str]:
    """Return a sentence for each share that was not granted anew."""
    return [each.sentence for each in own_shares(facade) if each.trouble] if facade.in_force.shared else []


def said_of_shares(facade: Facade) -> list[str]:
    """Return a sentence for each budget that is granted here, and each that is drawn on."""
    if not facade.in_force.shared:
        return []
    shared = shared_budgets(facade)
    return [*(each.sentence for each in shared.granted), *(each.sentence for each in shared.shares)]


def _granted(facade: Facade, name: str, settings: SharedSettings) -> GrantedBudget:
    now, terms = facade.clock(), lease_terms(settings)
    leases = sorted(taking_part(facade.store.shared.newest(name).values()), key=lambda each: each.holder)
    holders = [_holder(each, now, terms) for each in leases]
    price = max(leases, key=lambda each: each.token).price if leases else 0.0
    free = terms.total - sum(each.reserved for each in holders)
    return GrantedBudget(
        name=name,
        unit=settings.unit,
        total=terms.total,
        price=price,
        free=free,
        holders=holders,
        sentence=_sentence(name, settings, terms, price, free, len(holders)),
    )


def _sentence(name: str, settings: SharedSettings, terms: BudgetTerms, price: float, free: float, count: int) -> str:
    said = f"{name}: {number(terms.total, 4)} {settings.unit}"
    if not count:
        return f"{said}, of which nobody holds any yet."
    if free < -1e-9:
        return f"{said}, of which {number(-free, 3)} more are held than there are: nobody gets more until that is over."
    worth = f"one more would be worth {number(price, 2)} an hour" if price > 0 else "nobody wants more"
    return f"{said} among {count}; {number(free, 3)} free; {worth}."


def _holder(lease: SharedLease, now: datetime, terms: BudgetTerms) -> Holder:
    kept = reserved(lease, now, terms)
    state, sentence = _state(lease, kept, now)
    return Holder(
        holder=lease.holder,
        amount=lease.amount,
        reserved=kept,
        in_use=lease.in_use,
        safe=lease.safe,
        wanted=lease.wanted,
        token=lease.token,
        until=lease.expires_at,
        state=state,
        sentence=sentence,
    )


def _state(
    lease: SharedLease, kept: float, now: datetime
) -> tuple[Literal["holds", "gives back", "silent", "given on"], str]:
    if lease.is_live(now):
        if kept > lease.amount + 1e-9:
            return "gives back", f"may still hold {number(kept, 3)} and goes down to {number(lease.amount, 3)}"
        return "holds", f"may hold {number(lease.amount, 3)}"
    when = f"{lease.expires_at:%Y-%m-%d %H:%M} UTC"
    if kept < max(lease.amount, lease.in_use) - 1e-9:
        return "given on", f"silent since its lease ended at {when}: all but its safe {number(kept, 3)} is given on"
    return "silent", f"silent since its lease ended at {when}: {number(kept, 3)} are kept for it until it answers"
