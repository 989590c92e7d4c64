"""The page that asks the twin: a form, and metrics with an act and without it."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse
from markupsafe import Markup

from api import queries
from api.dashboard.charts import band, epoch_s, path
from api.dashboard.drawing import Box, Scale, drawing
from api.dashboard.list_pages import Text
from api.dashboard.rendering import Pages
from api.dependencies import FacadeDep
from api.models.whatif import FanShown
from api.queries.asked import context_of
from storage.errors import ForeactError

WIDTH, HEIGHT, MARGIN = 640.0, 180.0, 6.0


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
    """Draw a metric with an act, a line in its 90 % band, and without it, a thin line between the edges of its own."""
    without, moved = np.array(fan.without), np.array(fan.with_act)
    moments_s, middle = epoch_s(fan.timestamps), len(fan.levels) // 2
    bottom, top = float(min(without.min(), moved.min())), float(max(without.max(), moved.max()))
    box = Box(MARGIN, WIDTH - MARGIN, MARGIN, HEIGHT - MARGIN)
    room = max(top - bottom, 1e-9 * max(1.0, abs(top)))
    scale = Scale(float(moments_s[0]), float(moments_s[-1]) + 1e-6, bottom, bottom + room, box)
    x, edges = scale.x(moments_s), (without[:, 0], without[:, middle], without[:, -1])
    parts = [*band(scale, moments_s, moved[:, 0], moved[:, -1])]
    parts += [path("history", x, scale.y(edge)) for edge in edges]
    parts.append(path("forecast", x, scale.y(moved[:, middle])))
    return drawing("chart", WIDTH, HEIGHT, f"{fan.series} with the act and without", parts)
