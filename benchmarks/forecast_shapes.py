"""Shapes with a known truth that recordings hold too few of. Run `python -m benchmarks.forecast_shapes`; a minute.
`make bench-forecast` prints the same tables, alone with `ARGS="--only shapes"`.

Each world is drawn from a seed, ahead of a horizon whose truth is known, among ordinary daily series that teach the
fleet. Every figure stands beside the trivial rule that serves that shape and beside a bar to reach.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.forecast_sets import Floats
from tasks.forecast.batch import ForecastBatch
from tasks.forecast.fleet.forecast import forecast_batch
from tasks.forecast.verification.scores import interval_coverage

DAY, DAYS, SEASONS = 288, 7, (288, 2016)
HOUR = DAY // 24
SERIES = 20  # of each shape
UNDECIDED = (3.0, 0.0)  # a jump this young mostly reverts on recordings: the interval need not lie on it alone


@dataclass(frozen=True)
class ShapeWindows:
    """Histories (n, t) of one shape, what followed (n, h), and a point forecast (n, h) by the rule that serves it."""

    name: str
    history: Floats
    future: Floats
    rule: Floats
    most_mae_ratio: float
    least_coverage: float


@dataclass(frozen=True)
class ShapeScore:
    """How a forecast of a world did: mean absolute error, that of the rule, coverage of the 90 % interval."""

    mae: float
    rule_mae: float
    coverage: float

    def is_good(self, world: ShapeWindows) -> bool:
        """Tell whether it reaches the bars of its world."""
        return self.mae <= world.most_mae_ratio * self.rule_mae and self.coverage >= world.least_coverage


def worlds(count: int, horizon: int, seed: int) -> list[ShapeWindows]:
    """Return all worlds, so many series of each."""
    rng = np.random.default_rng(seed)
    return [
        *(shifted(count, horizon, hours, daily, rng) for daily in (0.0, 5.0) for hours in (1, 2, 6, 24, 48)),
        *(reverted(count, horizon, hours, rng) for hours in (1, 6)),
        spiked(count, horizon, 2, rng),
        *(filling(count, horizon, days, rng) for days in (2, 7)),
        emptied(count, horizon, rng),
        *(odd_season(count, horizon, period, rng) for period in (100, 37)),
        walk(count, horizon, rng),
    ]


def shifted(count: int, horizon: int, hours: int, daily: float, rng: np.random.Generator) -> ShapeWindows:
    """A level that moved by five standard deviations of the noise so many hours ago, and stays."""
    t = np.arange(DAYS * DAY + horizon)
    wave = daily * np.sin(2 * np.pi * (t / DAY + rng.random((count, 1))))
    side = rng.choice((-1.0, 1.0), (count, 1))
    noise = _wander(rng, (count, len(t)), 0.5)
    size = 5.0 if not daily else 5.0 * np.sqrt(1 + daily**2 / 2)
    values = 100 + wave + noise + side * size * (t >= DAYS * DAY - hours * HOUR)
    history = values[:, : DAYS * DAY]
    # The mean of the last three hours, on the course of the day before where there is one.
    recent = history[:, -3 * HOUR :].mean(axis=1, keepdims=True)
    if daily:
        profile = (wave[:, : len(t)])[:, DAYS * DAY :]
        recent = recent - wave[:, DAYS * DAY - 3 * HOUR : DAYS * DAY].mean(axis=1, keepdims=True) + profile
    name = f"shift {hours} h ago, {'daily' if daily else 'flat'}"
    rule = np.broadcast_to(recent, (count, horizon))
    return ShapeWindows(name, history, values[:, DAYS * DAY :], rule, *(UNDECIDED if hours < 3 else (2.0, 0.85)))


def reverted(count: int, horizon: int, hours: int, rng: np.random.Generator) -> ShapeWindows:
    """The same shift, gone again before the forecast was made: it must not be carried on."""
    t = np.arange(DAYS * DAY + horizon)
    side = rng.choice((-1.0, 1.0), (count, 1))
    ago = DAYS * DAY - t
    values = 100 + _wander(rng, (count, len(t)), 0.5) + 5 * side * ((ago > hours * HOUR) & (ago <= 2 * hours * HOUR))
    rule = np.full((count, horizon), 100.0)
    return ShapeWindows(f"shift gone {hours} h ago", values[:, : DAYS * DAY], values[:, DAYS * DAY :], rule, 1.5, 0.85)


def spiked(count: int, horizon: int, hours: int, rng: np.random.Generator) -> ShapeWindows:
    """A constant with one spike so many hours ago."""
    values = np.repeat(rng.integers(0, 50, (count, 1)).astype(float), DAYS * DAY + horizon, axis=1)
    values[:, DAYS * DAY - hours * HOUR] += 40
    rule = values[:, DAYS * DAY :] + 1e-3
    return ShapeWindows(
        f"spike {hours} h ago in a constant", values[:, : DAYS * DAY], values[:, DAYS * DAY :], rule, 1.0, 0.85
    )


def filling(count: int, horizon: int, days: int, rng: np.random.Generator) -> ShapeWindows:
    """A disk that fills, more by day than by night, seen for so many days."""
    t = np.arange(days * DAY + horizon)
    hourly = 1 + 0.8 * np.sin(2 * np.pi * (t / DAY + rng.random((count, 1))))
    pace = rng.uniform(0.02, 0.08, (count, 1)) / DAY
    filled = np.cumsum(pace * hourly * rng.gamma(0.5, 2.0, (count, len(t))), axis=1)
    values = rng.uniform(0.3, 0.5, (count, 1)) + filled
    history = values[:, : days * DAY]
    slope = (history[:, -1:] - history[:, :1]) / (days * DAY - 1)
    rule = history[:, -1:] + slope * np.arange(1, horizon + 1)
    return ShapeWindows(f"disk filling for {days} d", history, values[:, days * DAY :], rule, 1.5, 0.85)


def emptied(count: int, horizon: int, rng: np.random.Generator) -> ShapeWindows:
    """A stock that fills steadily and empties itself at irregular times, a day or two apart."""
    values = np.empty((count, DAYS * DAY + horizon))
    for row in values:
        level, pace = rng.uniform(0, 60), rng.uniform(40, 60) / DAY
        hazard = 1 / (1.5 * DAY)
        for step in range(len(row)):
            level = 5.0 if rng.random() < hazard else level + pace * rng.gamma(2.0, 0.5)
            row[step] = level
    history = values[:, : DAYS * DAY]
    rule = np.broadcast_to(np.median(history, axis=1, keepdims=True), (count, horizon))
    return ShapeWindows("stock emptied at times", history, values[:, DAYS * DAY :], rule, 1.0, 0.85)


def odd_season(count: int, horizon: int, period: int, rng: np.random.Generator) -> ShapeWindows:
    """A season that is no day."""
    t = np.arange(DAYS * DAY + horizon)
    phase = 2 * np.pi * (t / period + rng.random((count, 1)))
    values = 50 + 10 * np.sin(phase) + 4 * np.sin(2 * phase) + _wander(rng, (count, len(t)), 0.6)
    history = values[:, : DAYS * DAY]
    whole = DAYS * DAY // period
    profile = np.stack([history[:, DAYS * DAY - k * period : DAYS * DAY - (k - 1) * period] for k in range(1, whole)])
    rule = profile.mean(axis=0)[:, np.arange(horizon) % period]
    return ShapeWindows(f"season of {period} steps", history, values[:, DAYS * DAY :], rule, 1.2, 0.85)


def walk(count: int, horizon: int, rng: np.random.Generator) -> ShapeWindows:
    """A random walk, of which nothing but its last value is known."""
    values = 1000 + np.cumsum(rng.normal(size=(count, DAYS * DAY + horizon)), axis=1)
    history = values[:, : DAYS * DAY]
    rule = np.repeat(history[:, -1:], horizon, axis=1)
    return ShapeWindows("random walk", history, values[:, DAYS * DAY :], rule, 1.1, 0.87)


def company(rng: np.random.Generator, length: int, count: int = 30) -> Floats:
    """Ordinary daily series, which teach the fleet."""
    t = np.arange(length)
    wave = 30 * np.sin(2 * np.pi * (t / DAY + rng.random((count, 1))))
    return np.asarray(100 + wave + 4 * _wander(rng, (count, length), 0.5))


def judge(world: ShapeWindows, seed: int) -> ShapeScore:
    """Forecast a world among its company and compare with what followed."""
    others = company(np.random.default_rng(seed), world.history.shape[1])
    forecast = forecast_batch(
        np.concatenate([world.history, others]), season_lengths=SEASONS, horizon=world.future.shape[1]
    )
    return verdict(world, forecast.take(slice(0, len(world.history))))


def verdict(world: ShapeWindows, forecast: ForecastBatch) -> ShapeScore:
    """Compare a forecast of a world with what followed."""
    covered = interval_coverage(world.future, forecast.quantiles[:, :, 0], forecast.quantiles[:, :, -1])
    mae, rule_mae = (float(np.abs(point - world.future).mean()) for point in (forecast.point, world.rule))
    return ShapeScore(mae, rule_mae, float(covered.mean()))


def _wander(rng: np.random.Generator, shape: tuple[int, int], memory: float) -> Floats:
    """Noise of unit spread in which each step remembers a share of the one before."""
    fresh, noise = rng.normal(size=shape), np.empty(shape)
    noise[:, 0] = fresh[:, 0]
    for step in range(1, shape[1]):
        noise[:, step] = memory * noise[:, step - 1] + np.sqrt(1 - memory**2) * fresh[:, step]
    return noise


def table(count: int, horizon: int, seed: int) -> Table:
    """Return one row a world, the bars beside the figures."""
    shown = Table(title=f"Shapes with a known truth, {count} series each, {horizon} steps ahead (b: bar)")
    for column in ("shape", "MAE", "rule's MAE", "ratio", "b", "90 % covered", "b", ""):
        shown.add_column(column, justify="left" if column == "shape" else "right")
    for world in worlds(count, horizon, seed):
        found = judge(world, seed)
        shown.add_row(
            world.name,
            f"{found.mae:.3g}",
            f"{found.rule_mae:.3g}",
            f"{found.mae / found.rule_mae:.2f}",
            f"{world.most_mae_ratio:.1f}",
            f"{found.coverage:.2f}",
            f"{world.least_coverage:.2f}",
            "" if found.is_good(world) else "missed",
        )
    return shown


def print_tables(console: Console, count: int = SERIES, seed: int = 0) -> None:
    """Print a table for a short horizon and one for a day, `count` series a shape."""
    for horizon in (36, DAY):
        console.print(table(count, horizon, seed))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=SERIES, help="of each shape")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    print_tables(Console(width=110), chosen.series, chosen.seed)


if __name__ == "__main__":
    main()
