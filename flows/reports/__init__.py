"""What simulations, backtests and comparisons tell people."""
