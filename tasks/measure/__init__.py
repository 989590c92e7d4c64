"""Measure what actions really changed: the public names of the stage."""

from tasks.measure.effect import Better, Effect, measure_effect
from tasks.measure.ledger import ErrorLedger, build_ledger, running_scale

__all__ = ["Better", "Effect", "ErrorLedger", "build_ledger", "measure_effect", "running_scale"]
