"""What tells outcomes apart: goal type, action, what it was done to and for, and the action's time of day."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import cos, pi, sin

import numpy as np

from storage.records import NOTHING, FloatArray, metric_of

PRIOR_SD = {
    **{"base": 0.3, "goal": 0.3, "action": 0.5, "pair": 0.4, "sin": 0.35, "cos": 0.35},
    **{"metric": 0.4, "series": 0.3, "target": 0.3, "back": 0.5},
}
"""How large each kind of feature's effect may be, in sd of the metric; of `back` for each sd that it is off."""


@dataclass(frozen=True)
class Situation:
    """The situation of a choice: the goal's type, the hour of day, 0 to 24, in local time, the series that is to
    move and the target that is acted on.

    Without an hour it stands for the average over the day, without a series or target for that over all of them.
    `off_usual_sd` is how far the series stands beyond what is usual, away from the goal, where that stands out.
    """

    goal_type: str
    hour: float | None = None
    series: str = ""
    target: str = ""
    off_usual_sd: float = 0.0


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
            **dict.fromkeys(_places(action, context), 1.0),
        }
        # What brings back what is broken takes away as much as it is off, however much that is.
        if context.off_usual_sd:
            named[f"back|{action}|{metric_of(context.series)}"] = context.off_usual_sd
    return {name: value * PRIOR_SD[name.partition("|")[0]] for name, value in named.items()}


def _places(action: str, context: Situation) -> list[str]:
    """Name what one action does differently from metric to metric, series to series and target to target.

    A series without labels is its metric, and an action that names no target is its own.
    """
    series, target = context.series, context.target
    metric = metric_of(series) if series else ""
    places = [f"metric|{action}|{metric}"] if metric else []
    places += [f"series|{action}|{series}"] if series != metric else []
    return places + ([f"target|{action}|{target}"] if target not in {"", action} else [])


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
