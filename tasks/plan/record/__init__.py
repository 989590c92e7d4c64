"""A choice written down: plans, decisions with their alternatives, actions."""
