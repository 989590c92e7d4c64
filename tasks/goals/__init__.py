"""Set goals from evidence: the public names of the stage."""

from tasks.goals.burn import BurnWindows, burn_windows
from tasks.goals.changes import Declined, GoalChanges
from tasks.goals.conflicts import Conflict, conflicts, contradictions
from tasks.goals.defaults import default_objectives
from tasks.goals.discovery import discover_rules
from tasks.goals.evidence import Evidence, Proposal, Rule, Standing, WindowCount
from tasks.goals.policy import GoalPolicy
from tasks.goals.ratios import ratio_samples, with_ratios
from tasks.goals.setting import set_goals
from tasks.goals.tree import refuse_cycles, refuse_unknown_parents, tree_progress

__all__ = [
    "BurnWindows",
    "Conflict",
    "Declined",
    "Evidence",
    "GoalChanges",
    "GoalPolicy",
    "Proposal",
    "Rule",
    "Standing",
    "WindowCount",
    "burn_windows",
    "conflicts",
    "contradictions",
    "default_objectives",
    "discover_rules",
    "ratio_samples",
    "refuse_cycles",
    "refuse_unknown_parents",
    "set_goals",
    "tree_progress",
    "with_ratios",
]
