"""What an act is judged by, and how small an effect could be told: as it was fixed, or as it would be now."""

from __future__ import annotations

from api.facade import Facade
from api.models.outcomes import EstimandDetail
from api.queries.asked import context_of
from handlers.contract.action import AMOUNT
from storage.actions import ActionView
from storage.errors import ForeactError
from storage.records import Action


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
        why, remedy = _why_none(action)
        raise ForeactError("estimand_none", f"{action.name} {why}: it is not measured.", remedy, status=404)
    said = what_can_be_told(fixed)
    nothing_known = "How small an effect could be told is not known: the past holds too few windows without an action."
    return EstimandDetail(estimand=fixed, sentence=said or nothing_known)


def _why_none(action: Action) -> tuple[str, str]:
    if AMOUNT in action.params:
        remedy = "An amount is judged by the bound it serves: name `driver` and `capacity` of the objective it is for."
        return "sets an amount, and nothing says what this change does to the metric of a bound", remedy
    remedy = "An act is judged where it has a `series` and that is forecast: see GET /api/autonomous/predictions."
    why = "aims at no metric" if action.series is None else "has no forecast of its metric from before it"
    return why, remedy


def said(facade: Facade, view: ActionView) -> str:
    """Say how small an effect of an action can be told, or why one that was done has none; empty where neither is."""
    try:
        return of_action(facade, view).sentence
    except ForeactError as why:
        is_done = view.receipt is not None and view.action.series is None and not view.action.undo_of
        return str(why) if is_done and AMOUNT in view.action.params else ""
