"""What if: the fan with an act and without, from the system's twin."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import AwareDatetime

from api import queries
from api.dependencies import FacadeDep
from api.models.whatif import WhatIfAnswer

router = APIRouter(tags=["actions"])


@router.get("/whatif", summary="What an action would change")
def whatif(
    facade: FacadeDep,
    action: Annotated[str, Query(max_length=200, description="Which action; it need not be planned or proposed")],
    at: Annotated[AwareDatetime | None, Query(description="When it would be done; default: now")] = None,
    target: Annotated[str, Query(max_length=1_000, description="On what, where the action has targets")] = "",
    params: Annotated[str | None, Query(max_length=10_000, description="Its parameters, a JSON object")] = None,
) -> WhatIfAnswer:
    """Return metrics with an action at a moment and without it, what breaks, and the gain that the planner sees.

    Nothing is done or recorded. `past` tells how such answers about past acts compare with what came.
    """
    return queries.whatif.answer(facade, action, at, target, params)
