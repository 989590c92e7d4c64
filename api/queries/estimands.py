"""What an act is judged by, and how small an effect could be told: as it was fixed, or as it would be now."""

from __future__ import annotations

from api.facade import Facade
from api.models.outcomes import EstimandDetail
from api.queries.asked import context_of
from storage.actions import ActionView
from storage.errors import ForeactError


def of_action(facade: Facade, view: ActionView) -> EstimandDetail:
    """Return the estimand of an action: that fixed before it, or what it would be were it done now.

    Raises `estimand_none` where it would not be judged, and says why.
    """
    # Loaded where it is needed: few questions have a past gone through.
    from tasks.measure import DataAroundAct, foreseen, what_can_be_told

    action, fixed = view.action, facade.store.outcomes.estimand(view.action.action_id)
    if fixed is None and view.receipt is None and action.series is not None and not action.undo_of:
        fixed = foreseen(DataAroundAct(context_of(facade)), action, facade.clock())
    if fixed is None:
        why = "aims at no metric" if action.series is None else "has no forecast of its metric from before it"
        remedy = "An act is judged where it has a `series` and that is forecast: see GET /api/autonomous/predictions."
        raise ForeactError("estimand_none", f"{action.name} {why}: it is not measured.", remedy, status=404)
    said = what_can_be_told(fixed)
    nothing_known = "How small an effect could be told is not known: the past holds too few windows without an action."
    return EstimandDetail(estimand=fixed, sentence=said or nothing_known)


def said(facade: Facade, view: ActionView) -> str:
    """Say how small an effect of an action can be told; empty where it is not judged."""
    try:
        return of_action(facade, view).sentence
    except ForeactError:
        return ""
