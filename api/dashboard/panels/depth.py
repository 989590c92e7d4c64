"""What is out of its depth and asks first, with the button that ends it."""

from __future__ import annotations

from api import queries
from api.dashboard.page_data import Page, Shown

PLACE = 2


def show(page: Page) -> Shown | None:
    """Return what is out of its depth, or None where nothing is."""
    lost = queries.depth.depth(page.facade).lost
    return {"lost": lost} if lost else None
