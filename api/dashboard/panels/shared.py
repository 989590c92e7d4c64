"""What is shared with other foreacts: the price, who holds how much until when, and the own share."""

from __future__ import annotations

from api import queries
from api.dashboard.page_data import Page, Shown

PLACE = 45


def show(page: Page) -> Shown | None:
    """Return what is shared, or None where nothing is."""
    if not page.facade.in_force.shared:
        return None
    shared = queries.shared_budgets.shared_budgets(page.facade)
    return {"granted": shared.granted, "shares": shared.shares}
