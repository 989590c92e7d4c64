"""Set goals before an objective breaks: the public names of the stage."""

from tasks.goals.discovery import goal_types
from tasks.goals.family import leads_to_act

__all__ = ["goal_types", "leads_to_act"]
