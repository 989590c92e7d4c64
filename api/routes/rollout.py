"""The roll-out: from recommending to acting, pair by pair."""

from __future__ import annotations

from fastapi import APIRouter

from api import queries
from api.dependencies import FacadeDep
from api.models.learned import Rollout

router = APIRouter(tags=["executor"])


@router.get("/rollout")
def rollout(facade: FacadeDep) -> Rollout:
    """Return per goal type and action the autonomy level in force, the evidence, and what the next level needs."""
    return queries.rollout.rollout(facade)
