"""Metrics that follow from a driver and an amount: fitted once, used to set goals, to plan and to measure."""
