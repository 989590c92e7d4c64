"""Find patterns: recurring events, effects, sequences, anomalies, changes, seasons and co-movement."""

from __future__ import annotations

from tasks.patterns.find import find_event_patterns, find_patterns, find_series_patterns
from tasks.patterns.finding import Finding
from tasks.patterns.inputs import PatternInput, SearchSettings

__all__ = ["Finding", "PatternInput", "SearchSettings", "find_event_patterns", "find_patterns", "find_series_patterns"]
