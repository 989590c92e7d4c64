"""The addresses that people open in a browser: the first page here, the others in modules of their own."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Query, Request
from fastapi.responses import HTMLResponse, Response
from fastapi.staticfiles import StaticFiles

from api.dashboard import (
    list_pages,
    operation_pages,
    page_data,
    plotly_script,
    record_pages,
    reference,
    series_pages,
    whatif_page,
)
from api.dashboard.rendering import HEADERS, HERE, Pages, living_part
from api.dependencies import FacadeDep
from api.facade import Facade
from plugins import modules_of


def mount(app: FastAPI) -> None:
    """Add the pages and their style and script to an application."""
    app.add_api_route(plotly_script.ADDRESS, plotly_script.script, include_in_schema=False)
    app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")
    pages = Pages()
    app.include_router(router_of(pages), include_in_schema=False)
    app.state.pages = pages


def router_of(pages: Pages) -> APIRouter:
    """Return the addresses of all pages and of what they ask for."""
    router = APIRouter()
    for add in (
        _add_first_page,
        list_pages.add,
        record_pages.add,
        series_pages.add,
        operation_pages.add,
        whatif_page.add,
        _add_reference,
    ):
        add(router, pages)
    return router


def _add_first_page(router: APIRouter, pages: Pages) -> None:
    @router.get("/")
    def home(facade: FacadeDep) -> HTMLResponse:
        """Show the system, what is expected of it and what is done about it."""
        return pages.page(facade, "home.html", panels=_panels(pages, facade))

    @router.get("/live")
    def live(
        facade: FacadeDep,
        known: Annotated[str, Query(max_length=2_000, description="The versions that are shown, by commas")] = "",
    ) -> Response:
        """Render those panels of the first page that are no longer as they are shown; 204 where all are."""
        shown = set(known.split(","))
        changed = [panel for panel in _panels(pages, facade) if panel["version"] not in shown]
        if not changed:
            return Response(status_code=204, headers=HEADERS)
        return pages.page(facade, "live.html", panels=changed)


def _add_reference(router: APIRouter, pages: Pages) -> None:
    @router.get("/docs")
    def docs(request: Request, facade: FacadeDep) -> HTMLResponse:
        """Show the REST interface."""
        app: FastAPI = request.app
        sections = reference.sections(app.openapi(), str(request.base_url).rstrip("/"))
        return pages.page(facade, "reference.html", sections=sections)


def _panels(pages: Pages, facade: Facade) -> list[dict[str, Any]]:
    """Render the panels of the first page in their order, each with its version; one with nothing to show is empty."""
    seen, rendered = page_data.Page(facade), []
    for module in sorted(modules_of("api.dashboard.panels"), key=lambda each: (each.PLACE, each.__name__)):
        shown, name = module.show(seen), module.__name__.rpartition(".")[2]
        template = pages.environment.get_template(f"panels/{name}.html")
        rendered.append(living_part(name, "" if shown is None else template.render(**shown, now=seen.known.now)))
    return rendered
