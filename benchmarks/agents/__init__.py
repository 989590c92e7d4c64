"""Several agents that share one budget: against the joint optimum, and with processes killed at random."""
