"""The patterns that a cycle went by, as readers of the store find them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from storage import Store
from storage.facts import SEARCHED
from storage.records import Pattern


def patterns_in_force(store: Store, cycle_id: str) -> tuple[Pattern, ...]:
    """Return the patterns that a cycle went by: those of the last long search, and on top those it found itself."""
    own = store.patterns.of_cycle(cycle_id)
    searched = store.facts.get(SEARCHED)
    if searched is None or searched.cycle_id == cycle_id:
        return tuple(own)
    patterns = overlay(of_long_search(store.patterns.of_search(searched.cycle_id)), own)
    return tuple(sorted(patterns, key=lambda each: (-each.strength, each.pattern_id)))


LONG_KINDS = frozenset({"effect", "anomaly", "change_point", "seasonality", "comovement"})
"""Found by long searches; what recurs in events is looked for in every cycle."""
GOES_ON_S = 20 * 60.0
"""How soon after an anomaly another one of the same series is still the same."""


def of_long_search(patterns: Iterable[Pattern]) -> tuple[Pattern, ...]:
    """Return those of a search's findings that hold until the next one."""
    return tuple(each for each in patterns if each.kind in LONG_KINDS)


def series_of(pattern: Pattern) -> tuple[str, ...]:
    """Return the series that a finding of a long search is about."""
    evidence = pattern.evidence
    return tuple(evidence["metrics"]) if "metrics" in evidence else (evidence.get("metric", pattern.subject),)


def overlay(kept: Sequence[Pattern], fresh: Sequence[Pattern]) -> tuple[Pattern, ...]:
    """Return patterns of a long search with those found since; an anomaly that only goes on is not another one."""
    last_s: dict[str, float] = {}
    for each in kept:
        if each.kind == "anomaly":
            last_s[each.subject] = max(last_s.get(each.subject, 0.0), float(each.evidence["end_s"]))
    kept_ids = {each.pattern_id for each in kept}
    return (
        *kept,
        *(
            each
            for each in fresh
            if each.pattern_id not in kept_ids
            and not (each.kind == "anomaly" and each.evidence["at_s"] <= last_s.get(each.subject, 0.0) + GOES_ON_S)
        ),
    )
