"""What one turn foresaw as one picture, an SVG that brings its own style: other programs show it by its address."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from api.dashboard.charts import HEIGHT, WIDTH
from api.dashboard.drawing import element, picture, style_of_pages
from api.dashboard.page_data import Chart, turn_charts
from api.facade import Facade
from storage.records import Cycle
from tasks.text import moment, percent

COLUMNS, GAP, TITLE = 2, 14.0, 24.0
STYLE = """
text { font: 13px system-ui, sans-serif; fill: var(--muted); }
.name { font-size: 15px; font-weight: 600; fill: var(--ink); }
"""


def forecast_picture(facade: Facade, cycle: Cycle) -> Markup:
    """Draw the metrics that mattered most to a turn: their history up to it, and what it foresaw."""
    shown = [chart for chart in turn_charts(facade, cycle) if chart.svg is not None]
    rows = -(-len(shown) // COLUMNS)
    width = GAP + COLUMNS * (WIDTH + GAP)
    height = 2 * GAP + TITLE + rows * (TITLE + HEIGHT + GAP)
    title = f"What foreact foresaw at {moment(cycle.tick)}" if shown else "Nothing was recorded yet."
    head = element("text", title, x=GAP, y=GAP + TITLE / 2)
    return picture(width, height, title, style_of_pages() + STYLE, [head, *_cells(shown)])


def _cells(shown: Sequence[Chart]) -> list[Markup]:
    cells = []
    for place, chart in enumerate(shown):
        left = GAP + place % COLUMNS * (WIDTH + GAP)
        top = GAP + TITLE + place // COLUMNS * (TITLE + HEIGHT + GAP)
        risk = f" · {percent(chart.breach.probability)} risk" if chart.breach else ""
        drawn = chart.svg or ""
        cells += [
            element("text", f"{chart.series}{risk}", class_="name", x=left, y=top + TITLE - 8),
            element("svg", drawn, x=left, y=top + TITLE, width=WIDTH, height=HEIGHT),
        ]
    return cells
