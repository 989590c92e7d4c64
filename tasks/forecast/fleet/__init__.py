"""The default forecaster: all series at once, each shrunk toward the fleet."""
