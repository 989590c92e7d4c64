"""The few numbers by which goals are raised, kept and closed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from storage.records import Objective

_DEFAULT_HORIZON_S = 3_600.0


@dataclass(frozen=True)
class GoalPolicy:
    """How patient the goal setter is; times are shares of an objective's horizon, within limits in seconds.

    A goal is achieved when its objective has held for the stabilisation time; the same cause is raised again only
    after it has been clear by a margin for the re-arm time. A breach that did not come is waited for during the grace
    time, one that stays is worked at for `patience_factor` times as long. `achieved_ratio` is the share of the
    objective's probability threshold below which a breach counts as unlikely. A full list gives way to a
    proposal that is `supersede_factor` times as important.
    """

    stabilisation_ratio: float = 1 / 12
    least_stabilisation_s: float = 60.0
    most_stabilisation_s: float = 6 * 3_600.0
    rearm_factor: float = 2.0
    grace_ratio: float = 1.0
    least_grace_s: float = 600.0
    most_grace_s: float = 7 * 86_400.0
    patience_factor: float = 12.0
    achieved_ratio: float = 0.5
    supersede_factor: float = 2.0
    supersede_lead: float = 0.1
    progress_step: float = 0.05

    def stabilisation_s(self, objective: Objective | None) -> float:
        """Return how long an objective must hold before its goal is achieved."""
        length = self.stabilisation_ratio * _horizon_s(objective)
        return float(np.clip(length, self.least_stabilisation_s, self.most_stabilisation_s))

    def rearm_s(self, objective: Objective | None) -> float:
        """Return how long a cause must have been clear before it is raised again."""
        return self.rearm_factor * self.stabilisation_s(objective)

    def grace_s(self, objective: Objective | None) -> float:
        """Return how long after its deadline a breach that did not come is still waited for."""
        return float(np.clip(self.grace_ratio * _horizon_s(objective), self.least_grace_s, self.most_grace_s))

    def patience_s(self, objective: Objective | None) -> float:
        """Return how long after its deadline a broken objective is still worked at before its goal has failed."""
        return self.patience_factor * self.grace_s(objective)

    def unlikely(self, objective: Objective | None) -> float:
        """Return the probability up to which a breach counts as unlikely."""
        return self.achieved_ratio * (objective.probability_threshold if objective else 0.5)


def _horizon_s(objective: Objective | None) -> float:
    return objective.horizon_s if objective else _DEFAULT_HORIZON_S
