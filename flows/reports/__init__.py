"""Reports of simulations, backtests and comparisons."""
