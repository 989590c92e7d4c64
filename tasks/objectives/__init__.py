"""Objectives: which are in force, how they relate, and which contradict each other."""
