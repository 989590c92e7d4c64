"""Plan for goals: the public names of the stage."""

from tasks.plan.beliefs import PriorBeliefs
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

__all__ = [
    "ActionTraits",
    "Commitment",
    "Dropped",
    "EffectBeliefs",
    "PlanProblem",
    "PlanResult",
    "PriorBeliefs",
    "Realised",
    "Response",
    "make_plans",
]
