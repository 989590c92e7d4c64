"""What is out of its depth."""

from __future__ import annotations

from api.facade import Facade
from api.models.depth import Depth, DepthLost
from tasks.authority import out_of_depth

ALL_WELL = "Nothing is out of its depth: forecasts and acts do as was learned."
OFF = "Learning is off (executor.enable_learning): nobody looks."


def depth(facade: Facade) -> Depth:
    """Return what is out of its depth now, newest first."""
    held = sorted(out_of_depth(facade.store).items(), key=lambda each: each[1].since, reverse=True)
    lost = [DepthLost(key=key, since=each.since, until=each.until, reason=each.reason) for key, each in held]
    note = None if lost else ALL_WELL if facade.in_force.executor.enable_learning else OFF
    return Depth(lost=lost, note=note)
