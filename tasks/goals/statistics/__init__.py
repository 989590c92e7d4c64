"""What rules ask of the evidence: tails, trends, burn rates, budgets."""
