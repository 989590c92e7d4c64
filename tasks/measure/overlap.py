"""Which actions shared a metric's window: their effects cannot be told apart."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from tasks.measure.ledger import BoolArray


@dataclass(frozen=True)
class ActionWindow:
    """The steps over which an action reaches some metrics: `start` included, `end` not.

    The unit is the caller's (steps or epoch seconds), the same for all windows compared.
    """

    action_id: str
    start: float
    end: float
    metrics: frozenset[str]

    def meets(self, other: ActionWindow) -> bool:
        """Tell whether the two share a metric at some moment."""
        apart = self.end <= other.start or other.end <= self.start
        return not apart and bool(self.metrics & other.metrics)


def overlapping_actions(windows: Iterable[ActionWindow]) -> dict[str, tuple[str, ...]]:
    """Return, for each action, the ids of the others that share a metric with it at some moment, sorted.

    An action's own undo within its window is an overlap as well: pass it as a window of its own.
    """
    ordered = sorted(windows, key=lambda window: window.start)
    met: dict[str, set[str]] = {window.action_id: set() for window in ordered}
    for place, window in enumerate(ordered):
        for later in ordered[place + 1 :]:
            if later.start >= window.end:
                break
            if later.action_id != window.action_id and window.meets(later):
                met[window.action_id].add(later.action_id)
                met[later.action_id].add(window.action_id)
    return {action: tuple(sorted(others)) for action, others in met.items()}


def acted_steps(windows: Iterable[ActionWindow], metric: str, n_steps: int) -> BoolArray:
    """Mark the steps (n_steps,) of a metric's history that lie inside any action's window, in step units."""
    acted = np.zeros(n_steps, dtype=np.bool_)
    for window in windows:
        if metric in window.metrics:
            acted[max(0, int(np.floor(window.start))) : max(0, int(np.ceil(window.end)))] = True
    return acted
