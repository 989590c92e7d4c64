"""The page of a demo: the same days run in each way, beside each other, before one looks at what the loop recorded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse, HTMLResponse

from api.dashboard.rendering import HEADERS_OF_PICTURE, Pages
from api.dependencies import FacadeDep

PICTURE, NARROW = "/demo.svg", "/demo-narrow.svg"


def add(app: FastAPI, picture: Path, narrow: Path, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Add the page and its picture to an application, and a link to it on every page.

    `narrow` is the picture for the screen of a phone; `rows` has a column a head.
    """
    pages: Pages = app.state.pages
    pages.environment.globals["is_demo"] = True

    @app.get("/demo", include_in_schema=False)
    def demo(facade: FacadeDep) -> HTMLResponse:
        """Show what the demo came to."""
        return pages.page(facade, "demo.html", picture=PICTURE, narrow=NARROW, heads=heads, rows=rows)

    @app.get(PICTURE, include_in_schema=False)
    def drawing() -> FileResponse:
        """Return the picture as it was written."""
        return FileResponse(picture, media_type="image/svg+xml", headers=HEADERS_OF_PICTURE)

    @app.get(NARROW, include_in_schema=False)
    def narrow_drawing() -> FileResponse:
        """Return the picture for a narrow screen."""
        return FileResponse(narrow, media_type="image/svg+xml", headers=HEADERS_OF_PICTURE)
