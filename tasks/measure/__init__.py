"""Measure the effects of actions: the public names of the stage."""

from tasks.measure.inference.claims import Claim, check_claims
from tasks.measure.inference.controls import Control
from tasks.measure.inference.effect import Better, Effect, measure_effect
from tasks.measure.inference.estimand import fix_estimand, trigger_of, triggered
from tasks.measure.inference.many_metrics import MetricWindow, Role, measure_many
from tasks.measure.inference.past_errors import ErrorLedger, build_ledger, running_scale
from tasks.measure.preregister import fix_before_act

__all__ = [
    "Better",
    "Claim",
    "Control",
    "Effect",
    "ErrorLedger",
    "MetricWindow",
    "Role",
    "build_ledger",
    "check_claims",
    "fix_before_act",
    "fix_estimand",
    "measure_effect",
    "measure_many",
    "running_scale",
    "trigger_of",
    "triggered",
]
