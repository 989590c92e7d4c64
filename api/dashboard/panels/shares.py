"""How budgets are shared, where any is."""

from __future__ import annotations

from api import queries
from api.dashboard.page_data import Page, Shown

PLACE = 35


def show(page: Page) -> Shown | None:
    """Return the budgets, or None where no objective has one to share."""
    budgets = queries.shares.shares(page.facade).budgets
    return {"budgets": budgets} if budgets else None
