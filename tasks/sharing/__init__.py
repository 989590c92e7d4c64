"""Share scarce things with other agents: the public names of the stage."""

from tasks.sharing.in_force import Permit, permit_for

__all__ = ["Permit", "permit_for"]
