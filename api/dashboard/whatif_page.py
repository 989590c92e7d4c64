"""The page that asks the twin: a form, and metrics with an act and without it."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse
from markupsafe import Markup

from api import queries
from api.dashboard.charts import BOX, HEIGHT, WIDTH, Lines, axes, band, epoch_s, path
from api.dashboard.drawing import Scale, drawing
from api.dashboard.list_pages import Text
from api.dashboard.rendering import Pages
from api.dependencies import FacadeDep
from api.models.whatif import FanShown
from api.queries.asked import context_of
from storage.errors import ForeactError
from tasks.text import unit_of

PAD = 0.07
"""Room above and below, as a share of the height."""


def add(router: APIRouter, pages: Pages) -> None:
    """Add the page to a router."""

    @router.get("/whatif")
    def whatif(
        facade: FacadeDep,
        action: Text = "",
        minutes: Annotated[float, Query(ge=0, le=43_200, description="How many minutes from now")] = 0.0,
        target: Text = "",
        params: Text = "",
    ) -> HTMLResponse:
        """Show what an action would change, with it and without; nothing is done."""
        told, refusal = None, None
        if action:
            at = facade.clock() + timedelta(minutes=minutes)
            try:
                told = queries.whatif.answer(facade, action, at, target, params or None)
            except ForeactError as trouble:
                refusal = trouble
        asked: dict[str, Any] = {"action": action, "minutes": minutes, "target": target, "params": params}
        return pages.page(
            facade,
            "whatif.html",
            told=told,
            refusal=refusal,
            asked=asked,
            names=sorted(context_of(facade).actions),
            past=queries.whatif.past(facade),
            charts=[(each.series, fan_chart(each)) for each in told.metrics] if told else [],
        )


def fan_chart(fan: FanShown) -> Markup:
    """Draw a metric with an act, a line in its 90 % interval, and without it, a line between the edges of its own."""
    without, moved, moments_s = np.array(fan.without), np.array(fan.with_act), epoch_s(fan.timestamps)
    middle, nothing = len(fan.levels) // 2, np.zeros(0)
    start_s, end_s = float(moments_s[0]), max(float(moments_s[-1]), float(moments_s[0]) + 1.0)
    bottom, top = float(min(without.min(), moved.min())), float(max(without.max(), moved.max()))
    pad = max(PAD * (top - bottom), 1e-9 * max(1.0, abs(top)))
    scale = Scale(start_s, end_s, bottom - pad, top + pad, BOX)
    ahead = Lines(unit_of(fan.series), start_s, nothing, nothing, moments_s, nothing, nothing, nothing)
    x = scale.x(moments_s)
    parts = [*axes(scale, ahead), *band(scale, moments_s, moved[:, 0], moved[:, -1])]
    parts += [path("history edge", x, scale.y(without[:, at])) for at in (0, -1)]
    parts += [path("history", x, scale.y(without[:, middle])), path("forecast", x, scale.y(moved[:, middle]))]
    return drawing("chart", WIDTH, HEIGHT, f"{fan.series} with the act and without", parts)
