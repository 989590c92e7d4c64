"""What cannot be overlooked: the kill switch, an invalid configuration, warnings, a part that has stopped."""

from __future__ import annotations

from api.dashboard.page_data import Page, Shown

PLACE = 1


def show(page: Page) -> Shown:
    """Return the status that the notices are taken from."""
    return {"status": page.status}
