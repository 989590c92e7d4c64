"""Queries to the facade: one module per subject, each answer a response model."""

from api.queries import agent, forecasts, goals, outcomes

__all__ = ["agent", "forecasts", "goals", "outcomes"]
