"""From a template and what it shows to an answer: one environment, one set of headers, one page for what is refused."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, cast

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from api.dashboard import charts, formatting, page_data, plotly_script
from api.dashboard.paging import series_href
from api.facade import Facade
from settings import VERSION
from storage.errors import ForeactError
from tasks.text import chance, percent, span

P = ParamSpec("P")

_MOMENT = re.compile(r"(<time[^>]*>)[^<]*")
HERE = Path(__file__).parent
# Everything comes from here; no page of ours can be framed by another, nor can it load or send anything elsewhere.
POLICY = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
# Plotly puts a picture together from a blob of its own making; nothing else may, and nothing from elsewhere.
CHART_POLICY = f"{POLICY}; img-src 'self' blob: data:"
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
# A picture brings its style with it; it runs nothing and loads nothing, whoever opens it.
HEADERS_OF_PICTURE = {**HEADERS, "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}


class Pages:
    """Renders the pages of a facade."""

    def __init__(self) -> None:
        """Read the templates."""
        self.environment = _environment()

    def page(
        self, facade: Facade, template: str, status_code: int = 200, policy: str = POLICY, **values: Any
    ) -> HTMLResponse:
        """Return a page."""
        shared = {"prefect_ui_url": facade.prefect_ui_url, "agent": facade.settings.agent.name, "now": facade.clock()}
        text = self.environment.get_template(template).render({**shared, **values})
        return HTMLResponse(text, status_code, headers={**HEADERS, "Content-Security-Policy": policy})

    def refusing(self, show: Callable[P, HTMLResponse]) -> Callable[P, HTMLResponse]:
        """Make a page of what a page refuses: it says what there is not. Such a page takes its `facade` by name."""

        @wraps(show)
        def shown(*args: P.args, **kwargs: P.kwargs) -> HTMLResponse:
            try:
                return show(*args, **kwargs)
            except ForeactError as refusal:
                facade = cast(Facade, kwargs["facade"])
                return self.page(facade, "refused.html", refusal.status, message=refusal.message)

        return shown


def living_part(name: str, text: str) -> dict[str, Any]:
    """Return a living part of a page with its version, which is the same as long as nothing changed.

    How long ago something was is told by the page itself: growing older is no change.
    """
    version = hashlib.sha256(_MOMENT.sub(r"\1", text).encode()).hexdigest()[:8]
    return {"name": name, "version": f"{name}.{version}", "text": Markup(text)}


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
        "chance": chance,
        "change": formatting.change,
        "facts": formatting.facts,
        "span": span,
        "code": formatting.code,
        "series_href": series_href,
    }
    environment.globals |= {
        "version": VERSION,
        "chart_script": plotly_script.ADDRESS,
        "maps_sheet": plotly_script.MAPS_SHEET,
        "is_demo": False,
        "interval": charts.interval,
        "probability_bar": charts.probability_bar,
        "target_outcome": page_data.target_outcome,
        "can_be_undone": page_data.can_be_undone,
    }
    return environment
