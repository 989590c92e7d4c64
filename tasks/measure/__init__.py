"""Measure what actions really changed: the public names of the stage."""

from storage.records import Estimand
from tasks.measure.batch import MetricWindow, Role, measure_many
from tasks.measure.claims import Claim, check_claims
from tasks.measure.controls import Control
from tasks.measure.effect import Better, Effect, measure_effect
from tasks.measure.estimand import fix_estimand, trigger_of, triggered
from tasks.measure.ledger import ErrorLedger, build_ledger, running_scale
from tasks.measure.overlap import ActionWindow, acted_steps

__all__ = [
    "ActionWindow",
    "Better",
    "Claim",
    "Control",
    "Effect",
    "ErrorLedger",
    "Estimand",
    "MetricWindow",
    "Role",
    "acted_steps",
    "build_ledger",
    "check_claims",
    "fix_estimand",
    "measure_effect",
    "measure_many",
    "running_scale",
    "trigger_of",
    "triggered",
]
