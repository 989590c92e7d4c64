"""Late effects: what was learned of what acts do hours later or when repeated."""

from __future__ import annotations

from fastapi import APIRouter

from api import queries
from api.dependencies import FacadeDep
from api.models.late_effects import LateEffects

router = APIRouter(tags=["executor"])


@router.get("/late-effects")
def late_effects(facade: FacadeDep) -> LateEffects:
    """Return what was learned of effects that come late or add up, and whether it chooses or is only said."""
    return queries.late_effects.late_effects(facade)
