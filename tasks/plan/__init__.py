"""Plan for goals: the public names of the stage."""

from tasks.plan.planning import make_plans
from tasks.plan.problem import Commitment, Dropped, EffectBeliefs, PlanProblem, PlanResult, Realised
from tasks.plan.valuation.amount_schedule import AmountPlan, AmountRules, plan_amounts, stage_losses
from tasks.plan.valuation.priors import PriorBeliefs, effect_of

__all__ = [
    "AmountPlan",
    "AmountRules",
    "Commitment",
    "Dropped",
    "EffectBeliefs",
    "PlanProblem",
    "PlanResult",
    "PriorBeliefs",
    "Realised",
    "effect_of",
    "make_plans",
    "plan_amounts",
    "stage_losses",
]
