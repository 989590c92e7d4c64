"""What an action or an amount is worth to an objective, on the sample paths."""
