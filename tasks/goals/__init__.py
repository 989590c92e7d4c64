"""Set goals before an objective breaks: the public names of the stage."""

from tasks.goals.discovery import goal_types

__all__ = ["goal_types"]
