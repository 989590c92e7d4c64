"""Queries to the facade: one module per subject, each answer a response model."""

from api.queries import agent, backtests, configuration, depth, forecasts, goals, outcomes, proposers, rollout

__all__ = ["agent", "backtests", "configuration", "depth", "forecasts", "goals", "outcomes", "proposers", "rollout"]
