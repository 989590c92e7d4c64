"""Learn which actions work: the public names of the stage."""

from tasks.learn.autonomy import Evidence, Review, Thresholds, gather, review
from tasks.learn.beliefs import (
    HierarchicalLearner,
    Learner,
    Observation,
    Restored,
    replay,
    restore,
    unlearned,
)
from tasks.learn.choice import Choice, Rejected, choose, propensities
from tasks.learn.contribution import contributions
from tasks.learn.convergence import Convergence, convergence
from tasks.learn.features import Context
from tasks.learn.insights import insights
from tasks.learn.monitoring import GoalTrace, monitoring_figures
from tasks.learn.off_policy import (
    LoggedDecision,
    PolicyValue,
    always,
    best_believed,
    evaluate_policies,
    policy_report,
    vetoes,
)
from tasks.learn.outcomes import OutcomeRow, observations
from tasks.learn.pooled import PooledEffect, always_valid_low, pooled_effect
from tasks.learn.realised import RealisedGain, realised_gains
from tasks.learn.strategy import StrategyAdvice, StrategyChoice, strategy_advice, strategy_learner
from tasks.learn.timing import SlotScore, best_slots, slot_scores

__all__ = [
    "Choice",
    "Context",
    "Convergence",
    "Evidence",
    "GoalTrace",
    "HierarchicalLearner",
    "Learner",
    "LoggedDecision",
    "Observation",
    "OutcomeRow",
    "PolicyValue",
    "PooledEffect",
    "RealisedGain",
    "Rejected",
    "Restored",
    "Review",
    "SlotScore",
    "StrategyAdvice",
    "StrategyChoice",
    "Thresholds",
    "always",
    "always_valid_low",
    "best_believed",
    "best_slots",
    "choose",
    "contributions",
    "convergence",
    "evaluate_policies",
    "gather",
    "insights",
    "monitoring_figures",
    "observations",
    "policy_report",
    "pooled_effect",
    "propensities",
    "realised_gains",
    "replay",
    "restore",
    "review",
    "slot_scores",
    "strategy_advice",
    "strategy_learner",
    "unlearned",
    "vetoes",
]
