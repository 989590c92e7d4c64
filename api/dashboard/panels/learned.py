"""What was learned about each action, and the patterns found."""

from __future__ import annotations

from api import queries
from api.dashboard.page_data import Page, Shown

PLACE = 60


PATTERNS_SHOWN = 12


def show(page: Page) -> Shown:
    """Return what is believed about actions, and the strongest patterns."""
    return {
        "insights": page.insights,
        "patterns": queries.agent.patterns(page.facade).patterns[:PATTERNS_SHOWN],
    }
