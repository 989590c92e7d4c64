"""How it stands: now, expected, what needs a person, whether it helps, the loop itself."""

from __future__ import annotations

from datetime import timedelta

from api import queries
from api.dashboard.page_data import Page, Shown

PLACE = 10


def show(page: Page) -> Shown:
    """Return what the tiles show."""
    last, interval = page.status.last_cycle, timedelta(seconds=page.facade.in_force.analysis_interval_s)
    return {
        "status": page.status,
        "predictions": page.predictions,
        "state": page.predictions.predicted_state,
        "broken": [breach for breach in page.predictions.breaches if breach.is_breached_now],
        "waiting": page.waiting,
        "helped": queries.agent.executor_statistics(page.facade, page.known, page.insights),
        "next_cycle_at": last.tick + interval if last else None,
    }
