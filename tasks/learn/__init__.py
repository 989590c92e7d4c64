"""Learn which actions work: the public names of the stage."""

from tasks.learn.beliefs import HierarchicalLearner, Learner, Observation, replay
from tasks.learn.choice import choose
from tasks.learn.depth_watch import watch_depth
from tasks.learn.features import Situation
from tasks.learn.knowledge import (
    LearnedBeliefs,
    beliefs_of_pairs,
    learned_strategies,
    measured_changes,
    planner_beliefs,
    realised_by_action,
)
from tasks.learn.late.advice import TRIED_SHARE, LateAdvice
from tasks.learn.late.fitted_q import LateWord
from tasks.learn.late_review import late_advice
from tasks.learn.outcome_rows import observations
from tasks.learn.pair_beliefs import PairBeliefs, Synergy
from tasks.learn.reports.insights import insights

__all__ = [
    "TRIED_SHARE",
    "HierarchicalLearner",
    "LateAdvice",
    "LateWord",
    "LearnedBeliefs",
    "Learner",
    "Observation",
    "PairBeliefs",
    "Situation",
    "Synergy",
    "beliefs_of_pairs",
    "choose",
    "insights",
    "late_advice",
    "learned_strategies",
    "measured_changes",
    "observations",
    "planner_beliefs",
    "realised_by_action",
    "replay",
    "watch_depth",
]
