"""What it did, newest first."""

from __future__ import annotations

from api.dashboard.page_data import Page, Shown

PLACE = 40


def show(page: Page) -> Shown:
    """Return the newest actions."""
    return {"actions": page.actions}
