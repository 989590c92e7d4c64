"""The pages about running it: settings, audit trail, backtests."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse, Response

from api import queries
from api.dashboard.list_pages import Number, Text, in_force
from api.dashboard.paging import cut, found
from api.dashboard.rendering import HEADERS, Pages, living_part
from api.dependencies import FacadeDep
from api.facade import Facade

# A report brings its style with it, and names it in a policy of its own as well; it runs nothing and loads nothing.
REPORT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; sandbox"


def add(router: APIRouter, pages: Pages) -> None:
    """Add the pages to a router."""
    _add_settings_and_audit(router, pages)
    _add_backtests(router, pages)


def _add_settings_and_audit(router: APIRouter, pages: Pages) -> None:
    @router.get("/settings")
    def settings(
        facade: FacadeDep, q: Text = "", everything: Annotated[bool, Query(alias="all")] = False, page: Number = 1
    ) -> HTMLResponse:
        """Show what is configured, where it comes from, and what is as by default."""
        told = queries.configuration.configuration(facade)
        shown = [each for each in told.keys if everything or q or each.comes_from != "default"]
        keys = [each for each in shown if q.strip().casefold() in each.key.casefold()]
        asked = (("q", q), ("all", "true" if everything else ""))
        return pages.page(
            facade,
            "settings.html",
            page=cut(keys, page, "/settings", asked),
            q=q,
            everything=everything,
            told=told,
        )

    @router.get("/audit")
    def audit(
        facade: FacadeDep, q: Text = "", page: Number = 1, verify: Annotated[bool, Query()] = False
    ) -> HTMLResponse:
        """List who decided what and when; on request every line is checked."""
        rows = found(facade.store.audit.page, q, page, "/audit")
        check = facade.store.audit.check() if verify else None
        return pages.page(facade, "audit.html", page=rows, q=q, check=check, in_force=in_force(facade))


def _add_backtests(router: APIRouter, pages: Pages) -> None:
    @router.get("/backtests")
    def backtests(facade: FacadeDep) -> HTMLResponse:
        """Show the form that starts a backtest, how far it has come, and the reports."""
        return pages.page(facade, "backtests.html", panels=[_panel(pages, facade)])

    @router.get("/backtests/live")
    def live(facade: FacadeDep, known: Annotated[str, Query(max_length=200)] = "") -> Response:
        """Render how far a backtest has come; 204 where that is as it is shown."""
        panel = _panel(pages, facade)
        if panel["version"] == known:
            return Response(status_code=204, headers=HEADERS)
        return pages.page(facade, "live.html", panels=[panel])

    @router.get("/backtests/{name}")
    @pages.refusing
    def report(name: str, facade: FacadeDep) -> HTMLResponse:
        """Show a report as it was written."""
        text = queries.backtests.report_file(facade, name).read_text(encoding="utf-8")
        return HTMLResponse(text, headers={**HEADERS, "Content-Security-Policy": REPORT_POLICY})


def _panel(pages: Pages, facade: Facade) -> dict[str, object]:
    told = queries.backtests.backtests(facade)
    reviews = queries.backtests.reviews(facade).reviews
    template = pages.environment.get_template("backtest_panel.html")
    text = template.render(told=told, reviews=reviews, now=facade.clock())
    return living_part("backtests", text)
