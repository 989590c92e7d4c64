"""The addresses that people open in a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from api import commands, queries
from api.dashboard import charts, formatting, outcome_pictures, page_data, reference
from api.facade import Facade, FacadeDep
from plugins import modules_of
from settings import VERSION
from storage.errors import ForeactError
from tasks.text import percent, span

HERE = Path(__file__).parent
# Everything comes from here; no page of ours can be framed by another, nor can it load anything from elsewhere.
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def mount(app: FastAPI) -> None:
    """Add the pages and their style and script to an application."""
    app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")
    app.include_router(_router(_environment()), include_in_schema=False)


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader([HERE / "templates", HERE]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    environment.filters |= {
        "value": formatting.value,
        "ago": formatting.ago,
        "tone": formatting.tone,
        "title_case": formatting.title,
        "percent": percent,
        "span": span,
        "code": formatting.code,
    }
    environment.globals |= {
        "version": VERSION,
        "interval": charts.interval,
        "probability_bar": charts.probability_bar,
        "target_outcome": page_data.target_outcome,
        "can_be_undone": page_data.can_be_undone,
    }
    return environment


def _router(environment: Environment) -> APIRouter:
    router = APIRouter()

    def page(facade: Facade, template: str, status_code: int = 200, **values: Any) -> HTMLResponse:
        shared = {"prefect_ui_url": facade.prefect_ui_url, "agent": facade.settings.agent.name}
        text = environment.get_template(template).render(**shared, **values)
        return HTMLResponse(text, status_code, headers=HEADERS)

    def refused(facade: Facade, refusal: ForeactError) -> HTMLResponse:
        return page(facade, "refused.html", refusal.status, message=refusal.message)

    def living(facade: Facade, show_all: bool) -> dict[str, Any]:
        seen = page_data.Page(facade, show_all)
        return {"panels": list(_panels(environment, seen)), "status": seen.status, "show_all": show_all}

    @router.get("/")
    def home(facade: FacadeDep, show_all: bool = False) -> HTMLResponse:
        """Show the system, what is expected of it and what is done about it."""
        return page(facade, "home.html", **living(facade, show_all))

    @router.get("/live")
    def live(facade: FacadeDep, show_all: bool = False) -> HTMLResponse:
        """Render the part of the first page that changes."""
        return page(facade, "live.html", **living(facade, show_all))

    @router.get("/goals/{goal_id}")
    def goal(goal_id: str, facade: FacadeDep) -> HTMLResponse:
        """Show one goal: why it was set, what was decided, done and changed."""
        try:
            detail = queries.goals.detail(facade, goal_id)
        except ForeactError as refusal:
            return refused(facade, refusal)
        pictures = outcome_pictures.target_pictures(facade, [each for act in detail.actions for each in act.outcomes])
        return page(facade, "goal.html", goal=detail, pictures=pictures, now=facade.clock())

    @router.get("/actions/{action_id}")
    def action(action_id: str, facade: FacadeDep) -> HTMLResponse:
        """Show one action with its receipt and what it changed."""
        now = facade.clock()
        try:
            detail = queries.goals.action_detail(facade, commands.operator.existing(facade, action_id), now)
        except ForeactError as refusal:
            return refused(facade, refusal)
        return page(facade, "action.html", detail=detail, picture=page_data.action_picture(facade, detail), now=now)

    @router.get("/docs")
    def docs(request: Request, facade: FacadeDep) -> HTMLResponse:
        """Show the REST interface."""
        app: FastAPI = request.app
        sections = reference.sections(app.openapi(), str(request.base_url).rstrip("/"))
        return page(facade, "reference.html", sections=sections)

    return router


def _panels(environment: Environment, page: page_data.Page) -> Iterator[Markup]:
    """Render the panels of the first page that have something to show, in their order."""
    for module in sorted(modules_of("api.dashboard.panels"), key=lambda each: (each.PLACE, each.__name__)):
        shown = module.show(page)
        if shown is not None:
            template = environment.get_template(f"panels/{module.__name__.rpartition('.')[2]}.html")
            yield Markup(template.render(**shown, now=page.known.now, show_all=page.show_all))
