"""An act that helps at once and harms for hours: what the learned policy says of it, and what that is worth.

Run it with `python examples/late_effects.py`. Choices between doing nothing and `restart` are made up as a loop would
log them, a fifth of them left to chance; `restart` lowers a latency for an hour and raises it for the three after it.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from storage.decisions import LoggedChoice
from storage.records import NOTHING, FloatArray, GoalType
from tasks.learn.late.admission import judge_late
from tasks.learn.late.choice_log import LateState, log_of
from tasks.learn.late.fitted_q import fit, word_of
from tasks.learn.late.sequential_value import evaluate_late

START = datetime(2026, 3, 2, tzinfo=UTC)
DAYS, STEP_S, BOUND, SD = 45, 300.0, 250.0, 25.0
HORIZON_S = 6 * 3_600.0
USUAL = {NOTHING: 0.2, "restart": 0.8}


def live(rng: np.random.Generator) -> tuple[list[LoggedChoice], FloatArray]:
    """Return choices at nine, twelve and three, and the latency in steps of five minutes."""
    steps = DAYS * 288
    change, latency, choices = np.ones(steps + 288), np.empty(steps), []
    for step in range(steps):
        hour = step / 12 % 24
        latency[step] = (215 + 40 * np.exp(-0.5 * ((hour - 13) / 4) ** 2) + rng.normal(0, 8)) * change[step]
        if step % 36 == 0 and 9 <= hour < 18:
            chosen = str(rng.choice(list(USUAL), p=list(USUAL.values())))
            choices.append(logged(step, float(latency[step]), hour, chosen))
            if chosen == "restart":
                change[step + 1 : step + 13] *= 0.95
                change[step + 13 : step + 49] *= 1.06
    return choices, latency


def logged(step: int, latency: float, hour: float, chosen: str) -> LoggedChoice:
    """Return a choice as the loop keeps it."""
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
        drawn=USUAL,
        usual=USUAL,
        chosen=chosen,
    )


def main() -> None:
    """Learn from the choices, and print what the policy says and whether it would be admitted."""
    choices, latency = live(np.random.default_rng(1))
    at_s = START.timestamp() + STEP_S * np.arange(1, len(latency) + 1)
    log = log_of(choices, {"latency": (at_s, latency)}, HORIZON_S)
    word = word_of(fit(log), LateState(0.5, 13.0), USUAL)
    if word is not None:
        print(f"at one o'clock, half an sd beyond the bound: {word.instead}, {word.gain:.2f} h less broken later on")
    value = evaluate_late(log, HORIZON_S, float(at_s[-1]))
    print(judge_late(None, len(choices), value, None).sentence)


if __name__ == "__main__":
    main()
