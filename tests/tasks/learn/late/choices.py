"""Choices as a loop logs them, in a made-up latency that acts change at once or hours later."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from math import exp
from typing import Literal

import numpy as np

from storage.decisions import LoggedChoice
from storage.records import NOTHING, FloatArray, GoalType

START = datetime(2026, 3, 2, tzinfo=UTC)
STEP_S, BOUND, SD, HORIZON_S = 300.0, 250.0, 25.0, 6 * 3_600.0
USUAL = {NOTHING: 0.2, "quick": 0.6, "slow": 0.2}
Kind = Literal["none", "regret", "later"]


def lived(kind: Kind, seed: int, days: int) -> tuple[list[LoggedChoice], FloatArray]:
    """Return choices at nine, twelve and three, and the latency in steps of five minutes.

    With "regret" `quick` takes 5 % off for an hour and adds 6 % for three; with "later" `slow` takes a tenth off from
    one hour after it on, for three.
    """
    rng, steps = np.random.default_rng(seed), days * 288
    change, latency, choices = np.ones(steps + 288), np.empty(steps), list[LoggedChoice]()
    done: list[tuple[int, str]] = []
    for step in range(steps):
        hour = step / 12 % 24
        latency[step] = (215 + 40 * exp(-0.5 * ((hour - 13) / 4) ** 2) + rng.normal(0, 8)) * change[step]
        if step % 36 == 0 and 9 <= hour < 18:
            chosen = str(rng.choice(list(USUAL), p=list(USUAL.values())))
            recent: dict[str, float] = {}
            for at, name in done:
                recent[name] = recent.get(name, 0.0) + exp((at - step) * STEP_S / HORIZON_S)
            choices.append(choice(step, float(latency[step]), hour, chosen, recent))
            if chosen != NOTHING:
                done.append((step, chosen))
            if kind == "regret" and chosen == "quick":
                change[step + 1 : step + 13] *= 0.95
                change[step + 13 : step + 49] *= 1.06
            if kind == "later" and chosen == "slow":
                change[step + 13 : step + 49] *= 0.9
    return choices, latency


def choice(step: int, latency: float, hour: float, chosen: str, recent: Mapping[str, float]) -> LoggedChoice:
    """Return one choice."""
    return LoggedChoice(
        choice_id=f"choice-{step}",
        goal_type=GoalType.BOTTLENECK_PREVENTION,
        at=START + timedelta(seconds=(step + 1) * STEP_S),
        goal_id="goal",
        series="latency",
        bound=BOUND,
        side="below",
        severity=0.6,
        sd=SD,
        horizon_s=7_200,
        excess_sd=(latency - BOUND) / SD,
        hour=hour,
        recent=dict(recent),
        drawn=USUAL,
        usual=USUAL,
        chosen=chosen,
    )


def moments_s(latency: FloatArray) -> FloatArray:
    """Return when each value was measured, in epoch seconds."""
    return np.asarray(START.timestamp() + STEP_S * np.arange(1, len(latency) + 1))
