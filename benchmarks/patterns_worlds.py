"""Seeded worlds whose patterns are known, for the benchmark and the tests of the pattern room."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from tasks.patterns import PatternInput
from tasks.patterns.inputs import DAY_S, Floats

STEP_S = 300.0
DAY_STEPS = 288
END_S = 1_700_000_000.0


@dataclass(frozen=True)
class PatternWorld:
    """An input and the findings it holds: pairs for effects and sequences, rows for the rest."""

    frame: PatternInput
    truth: frozenset[tuple[str, str]]


def nightly_job(
    rng: np.random.Generator, days: int, *, jitter_s: float = 600.0, missing: float = 0.15, stray_per_day: float = 0.0
) -> Floats:
    """Return times of a job that runs daily with normal jitter, leaves some nights out, and of stray runs beside it."""
    times = END_S - DAY_S * np.arange(days) - 3600.0 + rng.normal(0.0, jitter_s, days)
    times = times[rng.random(days) >= missing]
    stray = END_S - rng.random(rng.poisson(stray_per_day * days)) * days * DAY_S
    return np.sort(np.concatenate((times, stray)))


def weekly_job(rng: np.random.Generator, weeks: int, jitter_s: float = 600.0) -> Floats:
    return np.sort(END_S - 7 * DAY_S * np.arange(weeks) - 3600.0 + rng.normal(0.0, jitter_s, weeks))


def irregular(rng: np.random.Generator, expected: float, days: int = 28) -> Floats:
    """Return the times of a Poisson process with `expected` events in the window."""
    return np.sort(END_S - rng.random(rng.poisson(expected)) * days * DAY_S)


def noise(rng: np.random.Generator, n_series: int, n_steps: int, memory: float, *, heavy: bool = False) -> Floats:
    """Return stationary AR(1) rows of unit variance."""
    warm_up = 1000
    shape = (n_series, n_steps + warm_up)
    shocks = rng.standard_t(3, shape) if heavy else rng.normal(size=shape)
    rows: Floats = lfilter([1.0], [1.0, -memory], shocks, axis=1)[:, warm_up:]
    return rows / rows.std(axis=1, keepdims=True)


def daily_waves(rng: np.random.Generator, n_series: int, n_steps: int, largest: float = 2.0) -> Floats:
    phase = np.arange(n_steps) / DAY_STEPS + rng.random((n_series, 1))
    waves: Floats = rng.uniform(0.0, largest, (n_series, 1)) * np.sin(2 * np.pi * phase)
    return waves


def frame_of(values: Floats, types: list[str] | None = None, times_s: Floats | None = None) -> PatternInput:
    """Return `values` as 5-minute series named m0, m1, … that end at END_S."""
    names = [f"m{row}" for row in range(len(values))]
    events = np.empty(0) if times_s is None else times_s
    return PatternInput(names, values, END_S, STEP_S, types or [], events)


def effect_world(
    rng: np.random.Generator,
    *,
    n_types: int = 10,
    n_series: int = 20,
    n_effects: int = 10,
    events_per_type: float = 20.0,
    size: float = 1.5,
    heavy: bool = False,
    n_steps: int = 7 * DAY_STEPS,
) -> PatternWorld:
    """Return a week of noisy daily series in which some event types lift some metrics for about an hour."""
    values = noise(rng, n_series, n_steps, 0.8, heavy=heavy) + daily_waves(rng, n_series, n_steps)
    cells = rng.choice(n_types * n_series, n_effects, replace=False)
    response = size * np.exp(-np.arange(12) / 8)
    types: list[str] = []
    times: list[float] = []
    for kind in range(n_types):
        at = rng.uniform(0, n_steps - 1, max(3, rng.poisson(events_per_type)))
        types += [f"e{kind}"] * len(at)
        times += (END_S - STEP_S * (n_steps - 1 - at)).tolist()
        for row in cells[cells // n_series == kind] % n_series:
            _respond(values[row], np.ceil(at).astype(int), response)
    truth = frozenset((f"e{cell // n_series}", f"m{cell % n_series}") for cell in cells.tolist())
    return PatternWorld(frame_of(values, types, np.array(times)), truth)


def _respond(series: Floats, steps: NDArray[np.intp], response: Floats) -> None:
    for step in steps:
        room = min(len(response), len(series) - step)
        series[step : step + room] += response[:room]


def sequence_world(
    rng: np.random.Generator, *, shape: str = "poisson", n_chains: int = 4, n_types: int = 10
) -> PatternWorld:
    """Return a week of events in which e1 follows e0, e3 follows e2, … in 60 % of cases after about 10 minutes.

    `shape` says how the rest is strewn: 'poisson', 'bursty' or 'daily' (all types during the same working hours).
    """
    span_s = 7 * DAY_S
    events = [_strewn(rng, int(rng.integers(15, 50)), span_s, shape) for _ in range(n_types)]
    for chain in range(n_chains):
        cause = events[2 * chain]
        cause = cause[rng.random(len(cause)) < 0.6]
        own = events[2 * chain + 1]
        events[2 * chain + 1] = np.concatenate((own[: len(own) // 3], cause + rng.exponential(600.0, len(cause))))
    types = [f"e{kind}" for kind, times in enumerate(events) for _ in times]
    truth = frozenset((f"e{2 * chain}", f"e{2 * chain + 1}") for chain in range(n_chains))
    return PatternWorld(frame_of(np.empty((0, 0)), types, END_S - span_s + np.concatenate(events)), truth)


def _strewn(rng: np.random.Generator, n: int, span_s: float, shape: str) -> Floats:
    if shape == "bursty":
        centres = rng.uniform(0, span_s, max(2, n // 5))
        return (rng.choice(centres, n) + rng.exponential(900.0, n)) % span_s
    if shape == "daily":
        return rng.integers(0, 7, n) * DAY_S + np.clip(rng.normal(50_000.0, 9_000.0, n), 0, DAY_S - 1)
    return rng.uniform(0, span_s, n)


def shift_world(
    rng: np.random.Generator, memory: float, n_series: int = 20, size: float = 2.5
) -> tuple[Floats, NDArray[np.intp]]:
    """Return a week of series and the step, from the third day on, at which each of the first half shifts for good."""
    n_steps = 7 * DAY_STEPS
    values = noise(rng, n_series, n_steps, memory) + daily_waves(rng, n_series, n_steps)
    at = rng.integers(2 * DAY_STEPS, n_steps - DAY_STEPS, n_series // 2)
    for row, step in enumerate(at):
        values[row, step:] += size
    return values, at
