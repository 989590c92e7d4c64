"""What tells outcomes apart: goal type, action, their pairing, and the action's time of day."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import cos, pi, sin

import numpy as np

from storage.records import NOTHING, FloatArray

PRIOR_SD = {"base": 0.3, "goal": 0.3, "action": 0.5, "pair": 0.4, "sin": 0.35, "cos": 0.35}
"""How large each kind of feature's effect may be, in standard deviations of the metric."""


@dataclass(frozen=True)
class Situation:
    """The situation of a choice: the goal's type and the hour of day, 0 to 24, in local time.

    Without an hour it stands for the average over the day.
    """

    goal_type: str
    hour: float | None = None


def describe(action: str, context: Situation) -> dict[str, float]:
    """Name an action's features in a context and give their values, each times its prior's standard
    deviation.

    Scaled so, every coefficient has the same prior, N(0, 1), also one of a goal type or an action never
    seen before. Doing nothing has the common features alone: what happens anyway is what all actions are
    held against.
    """
    goal, angle = context.goal_type, 2 * pi * (context.hour or 0.0) / 24
    swing = 0.0 if context.hour is None else 1.0
    named = {"base": 1.0, f"goal|{goal}": 1.0}
    if action != NOTHING:
        named |= {
            f"action|{action}": 1.0,
            f"pair|{action}|{goal}": 1.0,
            f"sin|{action}": swing * sin(angle),
            f"cos|{action}": swing * cos(angle),
        }
    return {name: value * PRIOR_SD[name.partition("|")[0]] for name, value in named.items()}


@dataclass(frozen=True)
class FeatureMap:
    """The features met so far, in order of first appearance; it only ever grows."""

    names: tuple[str, ...] = ()

    def grown(self, features: Iterable[str]) -> FeatureMap:
        """Return the map with what is new appended."""
        names_known = set(self.names)
        new = tuple(name for name in features if name not in names_known)
        return FeatureMap(self.names + new) if new else self

    def vector(self, features: Mapping[str, float]) -> FloatArray:
        """Return one row (n_features,); a feature the map does not hold is left out."""
        row = np.zeros(len(self.names))
        for place, name in enumerate(self.names):
            if name in features:
                row[place] = features[name]
        return row
