"""Causes: which component moved first and explains that a goal's series did."""
