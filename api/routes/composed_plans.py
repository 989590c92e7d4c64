"""Composed plans: sequences of actions and what is declared for them."""

from __future__ import annotations

from fastapi import APIRouter

from api import queries
from api.dependencies import FacadeDep
from api.models.sequences import ComposedPlans

router = APIRouter(tags=["executor"])


@router.get("/composed-plans")
def composed_plans(facade: FacadeDep) -> ComposedPlans:
    """Return sequences of actions step by step, the facts that actions require and provide, and what pairs add."""
    return queries.sequences.composed_plans(facade)
