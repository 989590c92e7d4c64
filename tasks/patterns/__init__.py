"""Find patterns: recurring events, effects, sequences, anomalies, changes, seasons and co-movement."""

from tasks.patterns.find import find_patterns
from tasks.patterns.inputs import PatternInput, SearchSettings

__all__ = ["PatternInput", "SearchSettings", "find_patterns"]
