"""The patterns that a cycle went by, as readers of the store find them."""

from __future__ import annotations

from storage import Store
from storage.facts import SEARCHED
from storage.records import Pattern
from tasks.patterns.overlay import of_long_search, overlay


def patterns_in_force(store: Store, cycle_id: str) -> tuple[Pattern, ...]:
    """Return the patterns that a cycle went by: those of the last long search, and on top those it found itself."""
    own = store.patterns.of_cycle(cycle_id)
    searched = store.facts.get(SEARCHED)
    if searched is None or searched.cycle_id == cycle_id:
        return tuple(own)
    patterns = overlay(of_long_search(store.patterns.of_search(searched.cycle_id)), own)
    return tuple(sorted(patterns, key=lambda each: (-each.strength, each.pattern_id)))
