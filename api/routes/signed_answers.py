"""The page behind a link in an alert: looking at it does nothing, its one button answers."""

from __future__ import annotations

import base64
import hashlib
from typing import Annotated
from urllib.parse import parse_qs

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse

from api import commands
from api.access import Caller, Role
from api.approval_links import ADDRESS, MOST_CHARS, ApprovalLink, read_link
from api.dashboard.rendering import HERE, Pages
from api.dependencies import FacadeDep
from api.facade import Facade
from api.models.goals import Answer
from storage.actions import ActionView
from storage.errors import ForeactError

PREFIX = ""
MEDIA_TYPES = {ADDRESS: ("application/x-www-form-urlencoded",)}

router = APIRouter(include_in_schema=False)
pages = Pages()
STYLE = (HERE / "static" / "foreact.css").read_text(encoding="utf-8")
# Nothing else is loaded, for whoever opens this has no key; a page of no referrer could not say whose form it is.
_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
_POLICY = f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"


@router.get(ADDRESS)
def look(facade: FacadeDep, a: Annotated[str, Query(max_length=MOST_CHARS)] = "") -> HTMLResponse:
    """Show what a link would do; programs that open links to preview them change nothing."""
    try:
        link, view = _waiting(facade, a)
    except ForeactError as refusal:
        return _refused(facade, refusal)
    goal = facade.store.goals.get(view.action.goal_id)
    decision = facade.store.decisions.get(view.action.decision_id)
    return _page(facade, 200, link=link, view=view, goal=goal, decision=decision, text=a)


async def _form(request: Request) -> dict[str, str]:
    """Return the fields of a form, each once."""
    fields = parse_qs((await request.body()).decode("utf-8", "replace"), max_num_fields=10)
    return {name: values[0] for name, values in fields.items()}


@router.post(ADDRESS)
def answer(facade: FacadeDep, form: Annotated[dict[str, str], Depends(_form)]) -> HTMLResponse:
    """Answer as the link says; the first answer to an action counts."""
    try:
        link, _ = _waiting(facade, form.get("a", ""))
        by = Caller(Role.OPERATOR, lambda: f"link:{link.link_id}").named(form.get("by", ""))
        given = Answer(by=by, note="answered by the link in an alert")
        done = commands.operator.answer_action(facade, link.action_id, given, link.approves, once=True)
    except ForeactError as refusal:
        return _refused(facade, refusal)
    return _page(facade, 200, done=done)


def _waiting(facade: Facade, text: str) -> tuple[ApprovalLink, ActionView]:
    """Return a link and the action that waits for it; raises why it may not be used (any more)."""
    link = read_link(facade.settings, text, facade.clock())
    view = commands.operator.existing(facade, link.action_id)
    commands.operator.refuse_unanswerable(facade, view)
    return link, view


def _refused(facade: Facade, refusal: ForeactError) -> HTMLResponse:
    return _page(facade, refusal.status, message=refusal.message)


def _page(facade: Facade, status: int, **shown: object) -> HTMLResponse:
    known = {"link": None, "done": None, "message": "", "style": STYLE}
    page = pages.page(facade, "answer.html", status, _POLICY, **{**known, **shown})
    page.headers["Referrer-Policy"] = "same-origin"
    return page
