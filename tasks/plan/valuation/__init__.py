"""The value of an action or an amount for an objective, on the sample paths."""
