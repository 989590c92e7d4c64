"""Outcomes of a made-up world in which one action works, for the tests of learning."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from storage.records import ReceiptStatus, Verdict
from tasks.learn import Observation
from tasks.learn.outcome_rows import OutcomeRow

GOAL = "BOTTLENECK_PREVENTION"
DAY_S = 86_400.0


def observed(
    truth: Mapping[str, float], count: int, seed: int = 0, error: float = 0.2, goal_type: str = GOAL
) -> list[Observation]:
    """Return `count` measured outcomes an action, in turn, around their true effects."""
    rng = np.random.default_rng(seed)
    return [
        Observation(f"{action}-{i}", action, goal_type, float(rng.uniform(0, 24)), effect + rng.normal(0, error), error)
        for i in range(count)
        for action, effect in truth.items()
    ]


def row(place: int = 0, action: str = "limit", **changes: object) -> OutcomeRow:
    """Return an outcome that improved its metric, with changes."""
    given: dict[str, object] = {
        "outcome_id": f"{action}-{place}",
        "action": action,
        "goal_type": GOAL,
        "strategy": "IMMEDIATE",
        "verdict": Verdict.IMPROVED,
        "at_s": 1_772_000_000.0 + place * 3_600,
        "status": ReceiptStatus.SUCCEEDED,
        "effect": -5.0,
        "effect_sd_units": 0.8,
        "se_sd_units": 0.2,
        "duration_s": 2.0,
    }
    return OutcomeRow(**(given | changes))  # type: ignore[arg-type]


def rows_of(truth: Mapping[str, float], count: int, seed: int = 0, error: float = 0.2) -> list[OutcomeRow]:
    """Return measured outcomes with the verdicts their numbers give at 5 %."""
    made = []
    for place, seen in enumerate(observed(truth, count, seed, error)):
        z = seen.effect_sd_units / seen.standard_error_sd_units
        verdict = Verdict.IMPROVED if z > 1.96 else Verdict.WORSE if z < -1.96 else Verdict.NO_EFFECT
        made.append(
            row(
                place,
                seen.action,
                verdict=verdict,
                effect_sd_units=seen.effect_sd_units,
                se_sd_units=seen.standard_error_sd_units,
            )
        )
    return made
