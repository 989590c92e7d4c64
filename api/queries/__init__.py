"""What people and programs ask the facade: one module a subject, each answer a response model."""

from api.queries import agent, forecasts, goals, outcomes

__all__ = ["agent", "forecasts", "goals", "outcomes"]
