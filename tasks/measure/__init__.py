"""Measure the effects of actions: the public names of the stage."""

from tasks.measure.data_around_act import DataAroundAct
from tasks.measure.inference.controls import Control
from tasks.measure.inference.detectable import Detectability, detectability
from tasks.measure.inference.effect import Effect, measure_effect
from tasks.measure.inference.estimand import what_can_be_told
from tasks.measure.inference.many_metrics import MetricWindow, measure_many
from tasks.measure.inference.past_errors import ErrorLedger, build_ledger
from tasks.measure.inference.placebo_figures import fan_widening, shared_ratio, widening
from tasks.measure.judge import early_in
from tasks.measure.placebo_check import PlaceboTrial, placebo_trials, placebo_windows
from tasks.measure.preregister import fix_before_act, foreseen

__all__ = [
    "Control",
    "DataAroundAct",
    "Detectability",
    "Effect",
    "ErrorLedger",
    "MetricWindow",
    "PlaceboTrial",
    "build_ledger",
    "detectability",
    "early_in",
    "fan_widening",
    "fix_before_act",
    "foreseen",
    "measure_effect",
    "measure_many",
    "placebo_trials",
    "placebo_windows",
    "shared_ratio",
    "what_can_be_told",
    "widening",
]
