"""Plan for goals: the public names of the stage."""

from tasks.plan.beliefs import PriorBeliefs
from tasks.plan.driven import driven_breaches
from tasks.plan.driver import AmountPlan, AmountRules, plan_amounts, stage_losses
from tasks.plan.fit import DrivenMetrics, fit_driven
from tasks.plan.planning import make_plans
from tasks.plan.problem import (
    ActionTraits,
    Commitment,
    Dropped,
    EffectBeliefs,
    PlanProblem,
    PlanResult,
    Realised,
    Response,
)
from tasks.plan.responses import (
    CapacityResponse,
    ProductResponse,
    QueueResponse,
    RatioResponse,
    fit_response,
    response_of,
)

__all__ = [
    "ActionTraits",
    "AmountPlan",
    "AmountRules",
    "CapacityResponse",
    "Commitment",
    "DrivenMetrics",
    "Dropped",
    "EffectBeliefs",
    "PlanProblem",
    "PlanResult",
    "PriorBeliefs",
    "ProductResponse",
    "QueueResponse",
    "RatioResponse",
    "Realised",
    "Response",
    "driven_breaches",
    "fit_driven",
    "fit_response",
    "make_plans",
    "plan_amounts",
    "response_of",
    "stage_losses",
]
