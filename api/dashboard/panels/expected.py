"""What is expected: the metrics that matter most, with their forecasts."""

from __future__ import annotations

from api.dashboard.page_data import Page, Shown, page_charts

PLACE = 50


def show(page: Page) -> Shown:
    """Return the charts, and how many metrics are left out."""
    drawn = page_charts(page.facade)
    return {"predictions": page.predictions, "charts": drawn.charts, "hidden_series": drawn.hidden}
