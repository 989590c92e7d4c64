"""What several foreacts share: leases, and who holds how much until when."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from api import queries
from api.commands.shared_budgets import offer_share, release_share
from api.dependencies import CallerDep, FacadeDep
from api.models.shared_budgets import LeaseGranted, OfferIn, ReleaseIn, SharedBudgets

router = APIRouter(tags=["agent"])

BudgetName = Annotated[str, Path(max_length=60, description="As in `[shared.NAME]`")]


@router.get("/shared")
def shared(facade: FacadeDep) -> SharedBudgets:
    """Return what is shared with other foreacts: the price, who holds how much until when, and the own share."""
    return queries.shared_budgets.shared_budgets(facade)


@router.post("/shared/{name}/offer")
def offer(name: BudgetName, body: OfferIn, facade: FacadeDep, caller: CallerDep) -> LeaseGranted:
    """Offer what each further unit would be worth, and be granted a lease."""
    return offer_share(facade, name, body, caller)


@router.post("/shared/{name}/release")
def release(name: BudgetName, body: ReleaseIn, facade: FacadeDep, caller: CallerDep) -> SharedBudgets:
    """Take a person's word that a holder is gone and holds nothing any more, so that others may have its share."""
    release_share(facade, name, body.model_copy(update={"by": caller.named(body.by)}))
    return queries.shared_budgets.shared_budgets(facade)
