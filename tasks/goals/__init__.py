"""Set goals before an objective breaks: the public names of the stage."""

from tasks.goals.changes import Declined, GoalChanges
from tasks.goals.discovery import discover_rules, goal_types
from tasks.goals.evidence import Evidence, Proposal, Rule, Standing, WindowCount
from tasks.goals.policy import GoalPolicy
from tasks.goals.setting import set_goals
from tasks.goals.statistics.burn import BurnWindows, burn_windows

__all__ = [
    "BurnWindows",
    "Declined",
    "Evidence",
    "GoalChanges",
    "GoalPolicy",
    "Proposal",
    "Rule",
    "Standing",
    "WindowCount",
    "burn_windows",
    "discover_rules",
    "goal_types",
    "set_goals",
]
