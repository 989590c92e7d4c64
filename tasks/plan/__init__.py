"""Plan for goals: the public names of the stage."""

from tasks.plan.planning import make_plans
from tasks.plan.problem import PlanProblem, Realised
from tasks.plan.valuation.amount_schedule import AmountRules, plan_amounts, stage_losses
from tasks.plan.valuation.fan import fan_with
from tasks.plan.valuation.marginal_value import marginal_steps, wanted_acts
from tasks.plan.valuation.priors import effect_of
from tasks.plan.what_if import WhatIf, amount_now, next_amount, what_if

__all__ = [
    "AmountRules",
    "PlanProblem",
    "Realised",
    "WhatIf",
    "amount_now",
    "effect_of",
    "fan_with",
    "make_plans",
    "marginal_steps",
    "next_amount",
    "plan_amounts",
    "stage_losses",
    "wanted_acts",
    "what_if",
]
