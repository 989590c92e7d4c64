"""Plan for goals: the public names of the stage."""

from tasks.plan.planning import make_plans
from tasks.plan.problem import PlanProblem, Realised
from tasks.plan.valuation.amount_schedule import AmountRules, plan_amounts, stage_losses
from tasks.plan.valuation.priors import effect_of

__all__ = ["AmountRules", "PlanProblem", "Realised", "effect_of", "make_plans", "plan_amounts", "stage_losses"]
