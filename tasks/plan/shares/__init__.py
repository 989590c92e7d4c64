"""Budgets that objectives share: who gets how much of what is left, and what that makes of the plan."""
