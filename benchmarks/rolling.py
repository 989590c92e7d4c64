"""Series for the impact and learning benchmarks, with the forecasts that were issued along the way."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from storage.records import BoolArray, FloatArray, IntArray
from tasks.forecast import fit_fleet, forecast_batch

DAY_STEPS = 288
WEEK_STEPS = 7 * DAY_STEPS
FIRST_ORIGIN = 4 * DAY_STEPS


@dataclass(frozen=True)
class RolledSeries:
    """A 5-minute series, and the point forecasts (n_origins, h) issued after the steps `origins`.

    `is_high` tells at which origins the metric stood above the 90 % quantile of the week before, `is_onset`
    at which it had just got there, and `first_test` from which step on placebo actions may lie.
    """

    name: str
    values: FloatArray
    origins: IntArray
    forecasts: FloatArray
    is_high: BoolArray
    is_onset: BoolArray
    first_test: int


def recorded_series(data: Path, count: int, seed: int) -> list[tuple[str, FloatArray]]:
    """Read CloudWatch recordings and windows of server metrics; without the data, make a synthetic twin."""
    if not (data / "forecast" / "ops5m_dev.npz").exists():
        return [(f"synthetic-{i}", _synthetic(np.random.default_rng([seed, i]))) for i in range(count)]
    recordings = sorted((data / "nab").glob("*/*.csv"))
    series = [(path.stem, _column(path)[:4032]) for path in recordings]
    series = [(name, values) for name, values in series if len(values) >= WEEK_STEPS]
    with np.load(data / "forecast" / "ops5m_dev.npz", allow_pickle=False) as windows:
        names, values = windows["names"], windows["Y"].astype(np.float64)
    rng = np.random.default_rng(seed)
    lively = [i for i in range(len(values)) if len(np.unique(values[i])) > 50 and values[i, :1400].std() > 0]
    taken = np.sort(rng.choice(lively, min(max(0, count - len(series)), len(lively)), replace=False))
    return (series + [(str(names[i]), values[i]) for i in taken])[:count]


def roll(series: list[tuple[str, FloatArray]], *, horizon: int, every_steps: int) -> list[RolledSeries]:
    """Forecast every series from every `every_steps`-th step on, each time from its own past alone.

    What the fleet shares is fitted once, on the part before any placebo action.
    """
    heads = np.full((len(series), WEEK_STEPS), np.nan)
    for row, (_, values) in zip(heads, series, strict=True):
        head = values[: _first_test(values)][-WEEK_STEPS:]
        row[-len(head) :] = head
    state = fit_fleet(heads, season_lengths=(DAY_STEPS, WEEK_STEPS), horizon=horizon)
    rolled = []
    for name, values in series:
        origins = np.arange(FIRST_ORIGIN, len(values) - 1, every_steps, dtype=np.int64)
        padded = np.concatenate([np.full(WEEK_STEPS, np.nan), values])
        pasts = padded[origins[:, None] + 1 + np.arange(WEEK_STEPS)]
        batch = forecast_batch(pasts, season_lengths=(DAY_STEPS, WEEK_STEPS), horizon=horizon, state=state)
        is_high = values[origins] > np.nanquantile(pasts, 0.9, axis=1)
        is_onset = is_high & ~np.concatenate([[False], is_high[:-1]])
        rolled.append(RolledSeries(name, values, origins, batch.point, is_high, is_onset, _first_test(values)))
    return rolled


def _first_test(values: FloatArray) -> int:
    return min(1700, 3 * len(values) // 4)


def _column(path: Path) -> FloatArray:
    with path.open() as lines:
        return np.array([float(row["value"]) for row in csv.DictReader(lines)])


def _synthetic(rng: np.random.Generator) -> FloatArray:
    """Make a day's rhythm with slow drift, autocorrelated noise and bursts that decay."""
    steps = np.arange(2304)
    rhythm = rng.uniform(2, 8) * np.sin(2 * np.pi * (steps / DAY_STEPS + rng.uniform()))
    noise, slow = np.zeros(len(steps)), np.zeros(len(steps))
    shocks = rng.standard_t(4, size=(2, len(steps)))
    bursts = rng.exponential(6.0, len(steps)) * (rng.uniform(size=len(steps)) < 1 / 150)
    for step in range(1, len(steps)):
        noise[step] = 0.85 * noise[step - 1] + 0.7 * shocks[0, step] + bursts[step]
        slow[step] = 0.995 * slow[step - 1] + 0.1 * shocks[1, step]
    return np.asarray(np.maximum(0.0, 40 + rhythm + noise + slow))
