"""Measure what actions really changed: the public names of the stage."""

from storage.records import Estimand
from tasks.measure.batch import MetricWindow, Role, measure_many, worsened_guards
from tasks.measure.claims import Claim, check_claims
from tasks.measure.controls import Control
from tasks.measure.effect import Better, Effect, measure_effect
from tasks.measure.estimand import fix_estimand, trigger_of, triggered
from tasks.measure.ledger import ErrorLedger, build_ledger, running_scale
from tasks.measure.overlap import ActionWindow, acted_steps, overlapping_actions
from tasks.measure.picture import OutcomePicture, caption, outcome_picture, render

__all__ = [
    "ActionWindow",
    "Better",
    "Claim",
    "Control",
    "Effect",
    "ErrorLedger",
    "Estimand",
    "MetricWindow",
    "OutcomePicture",
    "Role",
    "acted_steps",
    "build_ledger",
    "caption",
    "check_claims",
    "fix_estimand",
    "measure_effect",
    "measure_many",
    "outcome_picture",
    "overlapping_actions",
    "render",
    "running_scale",
    "trigger_of",
    "triggered",
    "worsened_guards",
]
