"""The steps of a metric's history that lie inside the window of an action."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from tasks.measure.ledger import BoolArray


@dataclass(frozen=True)
class ActionWindow:
    """The steps over which an action reaches some metrics: `start` included, `end` not.

    The unit is the caller's (steps or epoch seconds).
    """

    action_id: str
    start: float
    end: float
    metrics: frozenset[str]


def acted_steps(windows: Iterable[ActionWindow], metric: str, n_steps: int) -> BoolArray:
    """Mark the steps (n_steps,) of a metric's history that lie inside any action's window, in step units."""
    acted = np.zeros(n_steps, dtype=np.bool_)
    for window in windows:
        if metric in window.metrics:
            acted[max(0, int(np.floor(window.start))) : max(0, int(np.ceil(window.end)))] = True
    return acted
