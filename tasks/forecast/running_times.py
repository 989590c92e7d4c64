"""Forecast metrics that are clocks: how long something has been running, waiting or missing.

Such a metric rises with the time until what it times ends, and starts over with the next. No shape of the day says how
long this one takes: only how long those took that were running as long already (survival analysis). So its paths are
drawn from the lengths of past runs, and from the distances at which they began.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from storage.records import BoolArray, FloatArray, IntArray
from tasks.forecast.batch import ForecastBatch, median_of, path_quantiles
from tasks.forecast.fleet.prepare import PLAUSIBLE_MAGNITUDE

METHOD = "running time"
SAME_RISE_RATIO = 0.01
MOSTLY = 0.9
FEWEST_RUNS = 3
SHORTEST_STEPS = 3.0
LEAST_SPREAD = 0.1
"""Past runs are too few to say that the next one takes as long as they did by less than a tenth."""


@dataclass(frozen=True)
class PastRuns:
    """What a clock showed: its rise a step, how far each run got, and the steps from one beginning to the next.

    `value` is how far the present run has got, 0 where none is on; `since` the steps since the last one began.
    """

    rise: float
    lengths: FloatArray
    distances: FloatArray
    value: float
    since: int

    def further(self, than: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Draw how far runs get that got so far (n,) already: log-normal, with the doubt that few runs leave."""
        # Imported here: a second that only those should pay who forecast a clock.
        from scipy.special import stdtr, stdtrit

        count, logs = len(self.lengths), np.log(self.lengths)
        spread = max(float(np.std(logs, ddof=1)), LEAST_SPREAD) * np.sqrt(1 + 1 / count)
        with np.errstate(divide="ignore"):
            passed = stdtr(count - 1, (np.log(than) - logs.mean()) / spread)
        even = (rng.permutation(len(than)) + 0.5) / len(than)
        level = np.minimum(passed + (1 - passed) * even, 1 - 1e-9)
        return np.asarray(np.maximum(than, np.exp(logs.mean() + spread * stdtrit(count - 1, level))))

    def paths(self, count: int, horizon: int, rng: np.random.Generator) -> FloatArray:
        """Draw what the clock shows in the steps ahead: (count, horizon)."""
        value = np.full(count, self.value)
        running, length = value > 0, self.further(value, rng)
        longer = self.distances[self.distances > self.since]
        begins = rng.choice(longer if len(longer) else np.array([self.since + 1.0]), count) - self.since
        shown = np.zeros((count, horizon))
        for step in range(horizon):
            value = np.where(running, value + self.rise, 0.0)
            running &= value <= length
            if (starts := ~running & (step + 1 >= begins)).any():
                length = np.where(starts, self.further(np.zeros(count), rng), length)
                begins = np.where(starts, step + 1 + rng.choice(self.distances, count), begins)
                value, running = np.where(starts, self.rise, value), running | starts
            shown[:, step] = np.where(running, value, 0.0)
        return shown


def with_running_times(
    batch: ForecastBatch, values: FloatArray, seed: int, numbers: IntArray | None = None
) -> ForecastBatch:
    """Return forecasts after histories (n, n_steps) in which those that are clocks are forecast as such.

    What is drawn for one goes by its number (n,), its row where none are given.
    """
    point, quantiles, paths, method = batch.point, batch.quantiles, batch.scaled_paths, list(batch.method)
    for row in np.flatnonzero(_rise_evenly(values)).tolist():
        runs = past_runs(values[row])
        if runs is None or batch.refusals[row] is not None:
            continue
        if paths is batch.scaled_paths:
            point, quantiles, paths = point.copy(), quantiles.copy(), paths.copy()
        number = row if numbers is None else int(numbers[row])
        drawn = runs.paths(paths.shape[1], batch.horizon, np.random.default_rng([seed, number, 37]))
        paths[row] = (drawn - batch.centre[row]) / batch.scale[row]
        quantiles[row] = path_quantiles(drawn[None].astype(np.float32), batch.levels)[0]
        point[row], method[row] = median_of(quantiles[row][None], batch.levels)[0], METHOD
    clocks = [row for row, name in enumerate(method) if name == METHOD]
    batch = replace(batch, point=point, quantiles=quantiles, scaled_paths=paths, method=tuple(method))
    return batch.unlike_past(clocks)


def past_runs(values: FloatArray) -> PastRuns | None:
    """Return the runs that a history (n_steps,), NaN where missing, shows; None where it is no clock or shows too few.

    A clock rises evenly, and falls to where a run begins.
    """
    values = values[np.abs(values) <= PLAUSIBLE_MAGNITUDE]
    change = np.diff(values)
    if not (change > 0).any():
        return None
    rise = float(np.median(change[change > 0]))
    begun = values <= rise * (1 + SAME_RISE_RATIO)
    ends = np.flatnonzero((change < 0) & (values[:-1] > 0))
    begins = np.flatnonzero((values > 0) & begun & np.append(True, (change < 0) | (values[:-1] <= 0)))
    lengths = values[ends]
    # The first run's beginning may lie before the history; where each of the others ended is known.
    if len(lengths) < FEWEST_RUNS or len(begins) < FEWEST_RUNS or np.median(lengths) < SHORTEST_STEPS * rise:
        return None
    if (~begun[1:][change < 0]).any() or (begun | (np.append(True, change != 0))).mean() < 1:
        return None
    since = len(values) - 1 - int(begins[-1])
    return PastRuns(rise, lengths, np.diff(begins).astype(np.float64), float(values[-1]), since)


def _rise_evenly(values: FloatArray) -> BoolArray:
    """Tell at a glance which rows (n,) may be clocks: those whose rises are nearly all the same."""
    values = np.where(np.abs(values) > PLAUSIBLE_MAGNITUDE, np.nan, values)
    change = np.diff(values, axis=1)
    rises = change > 0
    most = np.where(rises, change, 0.0).max(axis=1, initial=0.0)
    same = (change >= (1 - SAME_RISE_RATIO) * most[:, None]).sum(axis=1)
    return np.asarray((most > 0) & (same >= MOSTLY * rises.sum(axis=1)) & (np.fmin.reduce(values, axis=1) >= 0))
