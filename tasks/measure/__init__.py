"""Measure the effects of actions: the public names of the stage."""

from tasks.measure.inference.controls import Control
from tasks.measure.inference.effect import Effect, measure_effect
from tasks.measure.inference.past_errors import ErrorLedger, build_ledger
from tasks.measure.inference.placebo_figures import shared_ratio, widening
from tasks.measure.placebo_check import PlaceboTrial, placebo_trials
from tasks.measure.preregister import fix_before_act

__all__ = [
    "Control",
    "Effect",
    "ErrorLedger",
    "PlaceboTrial",
    "build_ledger",
    "fix_before_act",
    "measure_effect",
    "placebo_trials",
    "shared_ratio",
    "widening",
]
