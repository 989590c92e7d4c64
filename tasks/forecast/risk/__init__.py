"""Risk, from sample paths: breaches, their time, the overall state."""
