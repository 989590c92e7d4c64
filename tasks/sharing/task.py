"""The share stage: what is shared with other agents is asked for anew, by what more of it would be worth.

Whoever grants it may be out of reach: then the lease goes on until it ends, and the safe amount holds after that. The
rest of the turn is none the worse for it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import httpx
from pydantic import BaseModel, Field, ValidationError

from handlers.contract.results import CallFailedError
from handlers.support.clocks import MOST_SKEW_S, skew_s, told_skew
from handlers.support.http_calls import ask, client_of, refused, shown
from settings import Settings, SharedSettings, browsable
from storage.errors import ForeactError, TransientError
from storage.facts import HELD_SHARES, HeldShare
from storage.records import GoalView
from tasks.context import AskLedger, Context
from tasks.drivers.in_force import amounts_now
from tasks.drivers.settable_amounts import AmountsNow, amount_steps
from tasks.forecast import Outlook
from tasks.objectives.in_force import objectives_with_origin
from tasks.plan import marginal_steps, wanted_acts
from tasks.shared_limits import ShareLimit, limit_of, share_in_force
from tasks.sharing.in_force import Drawn, drawn_of, most_held
from tasks.sharing.lease_rules import ShareOffer
from tasks.stage import stage

PATIENCE_S = 5.0

Limits = tuple[ShareLimit, ...]
Steps = tuple[tuple[float, float], ...]


class GrantedLease(BaseModel):
    """What whoever grants a budget answers."""

    token: int = Field(ge=1)
    amount: float = Field(ge=0, allow_inf_nan=False)
    safe: float = Field(ge=0, allow_inf_nan=False)
    lasts_s: float = Field(gt=0, allow_inf_nan=False)
    wanted: float = 0.0
    price: float = 0.0
    note: str = ""


def _summary(limits: Limits) -> Mapping[str, Any]:
    return {"shares": [each.reason for each in limits]}


@stage("share", _summary)
def share(context: Context, goals: tuple[GoalView, ...], outlook: Outlook) -> Limits:
    """Ask anew for all that is shared with other agents, and return how far this one may go with each."""
    drawn = {name: each for name, each in context.settings.shared.items() if each.actions}
    known = _wanted_freely(context, outlook) if drawn else None

    def steps_of(each: Drawn) -> Steps:
        return _steps(each, goals, known, context) if known is not None else ()

    return tuple(ask_anew(context, name, each, steps_of) for name, each in drawn.items())


def _wanted_freely(context: Context, outlook: Outlook) -> AmountsNow:
    """Return what is known of amounts, without the bounds of shares: what is granted is no bound to what is wanted."""
    known = amounts_now(context, outlook.frames, outlook.paths(), outlook.breaches)
    origins = {name: origin for name, (_, origin) in objectives_with_origin(context.settings, context.store).items()}
    return replace(known, objectives=tuple(each for each in known.objectives if origins.get(each.name) != "shared"))


def ask_anew(context: Context, name: str, terms: SharedSettings, steps_of: Callable[[Drawn], Steps]) -> ShareLimit:
    """Ask for one share, for which `steps_of` says what each further unit is worth; return how far it goes now.

    What goes wrong is kept in words, so that it is shown, and audited when it is news.
    """
    store = context.store
    before = share_in_force(store, name) or HeldShare(instance=secrets.token_hex(8))
    # Kept before anything is asked: a lease that is granted to it must find it under the same name again.
    if not before.token and not before.trouble:
        store.facts.set(HELD_SHARES.of(name), before)
    now = before
    try:
        drawn = drawn_of(context, name, terms)
        limit = limit_of(name, terms, before, store.clock())
        now = replace(before, sets=drawn.sets, in_use=most_held(context, drawn, max(before.in_use, limit.most)))
        now = _granted(context, name, terms, _offer(context, terms, now, steps_of(drawn)), now)
    except (CallFailedError, ForeactError, TransientError) as trouble:
        now = replace(now, trouble=f"{trouble}".rstrip("."))
    limit = limit_of(name, terms, now, store.clock())
    now = replace(now, is_lost=limit.until is None and bool(now.token))
    newest = share_in_force(store, name)
    if newest is not None and newest.token > now.token:
        # Another turn was answered meanwhile: to go back to an older lease could be to take what was given on.
        return limit_of(name, terms, newest, store.clock())
    store.facts.set(HELD_SHARES.of(name), now)
    _tell(context, name, before, now, limit)
    return limit


def _steps(drawn: Drawn, goals: Sequence[GoalView], known: AmountsNow, context: Context) -> Steps:
    """Return what each further unit is worth: of an amount by the forecast, of acts by the goals they could serve."""
    if drawn.sets is None:
        actions = [context.actions[name] for name in drawn.actions]
        served = [view for view in goals if view.is_open and any(each.serves(view.goal) for each in actions)]
        return wanted_acts([view.goal.priority for view in served])
    return marginal_steps(known, drawn.sets, amount_steps(known).get(drawn.sets))


def _offer(
    context: Context, terms: SharedSettings, share: HeldShare, steps: tuple[tuple[float, float], ...]
) -> ShareOffer:
    return ShareOffer(
        holder=context.settings.agent.name,
        instance=share.instance,
        acknowledged=share.token,
        holds=share.amount,
        in_use=share.in_use,
        safe=terms.safe,
        steps=steps,
        turn_s=context.settings.analysis_interval_s,
    )


def _granted(context: Context, name: str, terms: SharedSettings, offer: ShareOffer, share: HeldShare) -> HeldShare:
    """Ask for a lease and return the share by it, its length counted from before it was asked for."""
    asked_at = context.store.clock()
    ledger = context.ledger or over_http(context.settings, terms)
    try:
        lease = GrantedLease.model_validate(ledger(name, asdict(offer)))
    except ValidationError as trouble:
        what = ".".join(str(part) for part in trouble.errors()[0]["loc"]) or "all of it"
        who = _address(context.settings, terms)
        raise CallFailedError(f"{who} answered with no lease ({what}): is it a foreact?") from None
    if lease.token <= share.token or lease.amount < lease.safe:
        raise CallFailedError(f"{_address(context.settings, terms)} answered with lease {lease.token}, which cannot be")
    return replace(
        share,
        token=lease.token,
        amount=lease.amount,
        safe=lease.safe,
        asked_at=asked_at,
        lasts_s=lease.lasts_s,
        wanted=lease.wanted,
        price=lease.price,
        trouble="",
        note=lease.note,
    )


def over_http(settings: Settings, terms: SharedSettings) -> AskLedger:
    """Return what asks the foreact that grants a budget; it raises CallFailedError with a plain sentence."""

    def ask_for(name: str, offer: Mapping[str, Any]) -> Mapping[str, Any]:
        options = {"timeout_s": PATIENCE_S} | ({"token_file": terms.key_file} if terms.key_file else {})
        url = f"{_address(settings, terms)}/api/autonomous/shared/{name}/offer"
        with client_of(options, token_named=f"shared.{name}.key_file") as client:
            response = ask(client, "POST", url, json=dict(offer))
        if response.status_code != httpx.codes.OK:
            raise refused(response, _remedy(response.status_code, name, terms))
        try:
            answer = dict(response.json())
        except (ValueError, TypeError):
            raise CallFailedError(f"{shown(url)} answered with no lease: is it a foreact?") from None
        ahead_s = skew_s(response.headers)
        skewed = (
            f"its clock is {told_skew(ahead_s)} ours, which leases do not go by" if abs(ahead_s) > MOST_SKEW_S else ""
        )
        return answer | {"note": skewed}

    return ask_for


def _address(settings: Settings, terms: SharedSettings) -> str:
    own = f"http://{browsable(settings.server.host)}:{settings.server.port}"
    return shown(terms.coordinator.rstrip("/")) if terms.coordinator else own


def _remedy(status: int, name: str, terms: SharedSettings) -> str:
    if status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
        key = terms.key_file or "none"
        return f"Put an operator's key of that foreact into the file that shared.{name}.key_file names (now {key})."
    return ""


def _tell(context: Context, name: str, before: HeldShare, now: HeldShare, limit: ShareLimit) -> None:
    """Write into the audit trail what is news: another amount, a lease that was lost, why nothing was answered."""
    detail = {"sentence": f"{limit.reason}.", "amount": limit.most, "lease": now.token, "in_use": now.in_use}
    if now.trouble and now.trouble != before.trouble:
        detail_of = {"sentence": f"No share of {name} was granted: {now.trouble}."}
        context.store.audit.append("loop", "share not granted", name, detail_of)
    if now.is_lost and not before.is_lost:
        context.store.audit.append("loop", "share lost", name, detail)
    elif not now.is_lost and now.token and (now.amount != before.amount or before.is_lost or not before.token):
        context.store.audit.append("loop", "share granted", name, detail)
