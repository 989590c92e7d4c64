"""Queries to the facade: one module per subject, each answer a response model."""

from api.queries import (
    agent,
    backtests,
    configuration,
    depth,
    estimands,
    forecasts,
    goals,
    late_effects,
    outcomes,
    proposers,
    rollout,
    sequences,
    shared_budgets,
    shares,
    whatif,
)

__all__ = [
    "agent",
    "backtests",
    "configuration",
    "depth",
    "estimands",
    "forecasts",
    "goals",
    "late_effects",
    "outcomes",
    "proposers",
    "rollout",
    "sequences",
    "shared_budgets",
    "shares",
    "whatif",
]
