"""Learn which actions work: the public names of the stage."""

from tasks.learn.beliefs import HierarchicalLearner, Learner, Observation, Restored, replay, restore
from tasks.learn.choice import Choice, Rejected, choose, propensities
from tasks.learn.features import Context

__all__ = [
    "Choice",
    "Context",
    "HierarchicalLearner",
    "Learner",
    "Observation",
    "Rejected",
    "Restored",
    "choose",
    "propensities",
    "replay",
    "restore",
]
