"""What actions were expected to achieve beside what was measured: how far predictions of gains may be trusted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

from tasks.learn.beliefs import EFFECT_LIMIT_SD
from tasks.learn.outcome_rows import OutcomeRow, is_action, once_each


@dataclass(frozen=True)
class RealisedGain:
    """An action's effects toward the goal, in sd of the metric, summed over `count` measured uses.

    `predicted` is what was believed when each act began, `realised` what was then measured.
    """

    count: int
    predicted: float
    realised: float

    def to_record(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


def realised_gains(rows: Iterable[OutcomeRow]) -> Mapping[str, RealisedGain]:
    """Sum up prediction and result by action, over the measured outcomes whose prediction was kept.

    Both are cut at two standard deviations, as in the beliefs: on a metric that hardly ever moved, one outcome would
    otherwise say more than all others.
    """
    gains: dict[str, RealisedGain] = {}
    for row in once_each(rows):
        if not (row.is_measured and is_action(row) and isfinite(row.predicted_sd_units)):
            continue
        gain = gains.get(row.action, RealisedGain(0, 0.0, 0.0))
        gains[row.action] = RealisedGain(
            gain.count + 1,
            gain.predicted + _cut(row.predicted_sd_units),
            gain.realised + _cut(row.effect_sd_units),
        )
    return gains


def _cut(effect_sd_units: float) -> float:
    return min(EFFECT_LIMIT_SD, max(-EFFECT_LIMIT_SD, effect_sd_units))
