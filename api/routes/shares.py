"""Budgets that objectives share."""

from __future__ import annotations

from fastapi import APIRouter

from api import queries
from api.dependencies import FacadeDep
from api.models.shares import ObjectiveShares

router = APIRouter(tags=["objectives"])


@router.get("/shares")
def list_shares(facade: FacadeDep) -> ObjectiveShares:
    """Return how each budget was shared among the parts of its objective at the last turn, and why."""
    return queries.shares.shares(facade)
