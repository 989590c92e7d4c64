"""Out of its depth: what asks first, and a person's word that it need not."""

from __future__ import annotations

from fastapi import APIRouter

from api import queries
from api.dependencies import CallerDep, FacadeDep
from api.models.depth import Depth, TrustIn
from tasks.authority import trust_again

router = APIRouter(tags=["agent"])


@router.get("/depth")
def depth(facade: FacadeDep) -> Depth:
    """Return what is out of its depth, so that acts it concerns wait for approval, and until when."""
    return queries.depth.depth(facade)


@router.post("/depth")
def trust(body: TrustIn, facade: FacadeDep, caller: CallerDep) -> Depth:
    """Take a person's word that something is in its depth: levels hold again at once."""
    trust_again(facade.store, body.key, caller.named(body.by), body.note)
    return queries.depth.depth(facade)
