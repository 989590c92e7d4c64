"""Run actions in their own process, which a time limit ends with all its children."""
