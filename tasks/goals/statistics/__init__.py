"""Statistics that rules use: tails, trends, burn rates, budgets."""
