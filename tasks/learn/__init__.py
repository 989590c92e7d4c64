"""Learn which actions work: the public names of the stage."""

from tasks.learn.autonomy import Review, Thresholds, TrackRecord, gather, review
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
from tasks.learn.features import Situation
from tasks.learn.knowledge import learned_strategies, planner_beliefs, realised_by_action
from tasks.learn.outcome_rows import OutcomeRow, observations
from tasks.learn.pooled_effect import PooledEffect, always_valid_low, pooled_effect
from tasks.learn.reports.contribution import contributions
from tasks.learn.reports.convergence import Convergence, convergence
from tasks.learn.reports.insights import insights
from tasks.learn.reports.monitoring import GoalTrace, monitoring_figures
from tasks.learn.reports.off_policy import (
    LoggedDecision,
    PolicyValue,
    always,
    best_believed,
    evaluate_policies,
    policy_report,
    vetoes,
)
from tasks.learn.reports.realised import RealisedGain, realised_gains
from tasks.learn.reports.timing import SlotScore, best_slots, slot_scores
from tasks.learn.strategy_advice import StrategyAdvice, StrategyChoice, strategy_advice, strategy_learner

__all__ = [
    "Choice",
    "Convergence",
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
    "Situation",
    "SlotScore",
    "StrategyAdvice",
    "StrategyChoice",
    "Thresholds",
    "TrackRecord",
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
    "learned_strategies",
    "monitoring_figures",
    "observations",
    "planner_beliefs",
    "policy_report",
    "pooled_effect",
    "propensities",
    "realised_by_action",
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
