"""Could anybody tell whether it helped? How small an effect past windows would show, asked before the act.

Run it with `python examples/can_it_be_measured.py`.

A load has a day of its own and wanders by itself. For windows of 20 minutes to four hours it prints the smallest change
that would be found four times out of five, and how likely one of −3 is found; then, of an act that takes 3 off, when
that is clear. The loop asks the same before each act; `foreact actions ID` shows its answer.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from storage.records import FloatArray
from tasks.measure import MetricWindow, build_ledger, detectability, early_in, measure_many

DAY_STEPS, STEP_MINUTES = 288, 5
DAYS, DAYS_BEFORE, WINDOW_STEPS = 14, 3, 48
EFFECT = -3.0


def a_load(seed: int = 1) -> FloatArray:
    """Return a load of two weeks and four hours, a value every five minutes."""
    rng = np.random.default_rng(seed)
    steps = np.arange(DAYS * DAY_STEPS + WINDOW_STEPS)
    wander = np.zeros(len(steps))
    for step in steps[1:]:
        wander[step] = 0.8 * wander[step - 1] + rng.normal(0, 1)
    return np.asarray(60 + 15 * np.sin(2 * np.pi * steps / DAY_STEPS) + wander)


def plain_forecast(load: FloatArray, origin: int) -> FloatArray:
    """Return what three earlier days had after this moment, on average. The loop's own forecasts are closer."""
    ahead = origin + 1 + np.arange(WINDOW_STEPS)
    return np.asarray(np.mean([load[ahead - day * DAY_STEPS] for day in range(1, DAYS_BEFORE + 1)], axis=0))


def main() -> None:
    """Ask what could be told of an act now, then do it and look."""
    load = a_load()
    now = DAYS * DAY_STEPS
    origins = np.arange(DAYS_BEFORE * DAY_STEPS, now - WINDOW_STEPS, 6)
    foretold = np.stack([plain_forecast(load, int(origin)) for origin in origins])
    forecast = plain_forecast(load, now - 1)
    ledger = build_ledger(load[:now], foretold, origins, steps_per_day=DAY_STEPS)

    for steps in (4, 12, 48):
        told = detectability(forecast, ledger, steps)
        assert told is not None, "two weeks are enough of a past"
        least, likely = told.smallest(), told.power(EFFECT)
        print(f"over {steps * STEP_MINUTES:3} minutes: {least:.1f} or more is found; {EFFECT:.0f} in {likely:.0%}")

    after = load[now:] + EFFECT
    # `metric_sd` says how large a change is worth knowing.
    window = MetricWindow("load", after, forecast, ledger, window_steps=WINDOW_STEPS, metric_sd=-EFFECT)
    early, effect = early_in(window), measure_many([window])["load"]
    if early is not None:
        print(f"clear after {early.steps * STEP_MINUTES} minutes: {early.verdict}")
    print(f"at the end: {effect.verdict}, {effect.estimate:.1f} ({effect.low:.1f} to {effect.high:.1f})")


if __name__ == "__main__":
    main()
