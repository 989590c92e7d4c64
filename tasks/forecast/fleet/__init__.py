"""The default forecaster: all series at once, each drawn toward what the fleet has taught."""
