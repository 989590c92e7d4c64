"""A large fleet cut into chunks that can be forecast side by side, with the same result to the last digit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tasks.forecast.batch import Floats, ForecastBatch, concatenate
from tasks.forecast.fleet.fit import FleetState
from tasks.forecast.fleet.forecast import forecast_chunk
from tasks.forecast.fleet.prepare import Ints


@dataclass(frozen=True)
class Shard:
    """Some series of a fleet with all that forecasting them takes; it may travel to another process or machine."""

    values: Floats
    state: FleetState
    changed_at: Ints | None = None

    def forecast(self) -> ForecastBatch:
        """Forecast these series."""
        return forecast_chunk(self.values, self.state, self.changed_at)


RunShards = Callable[[Sequence[Shard]], Sequence[ForecastBatch]]


def in_process(shards: Sequence[Shard]) -> list[ForecastBatch]:
    """Forecast one shard after the other, here."""
    return [shard.forecast() for shard in shards]


def forecast_sharded(
    values: Floats, state: FleetState, changed_at: Ints | None, *, count: int = 1, run: RunShards = in_process
) -> ForecastBatch:
    """Forecast `values` (series, steps) in `count` shards of neighbouring series, which `run` carries out."""
    n = len(values)
    count = max(1, min(count, n))
    if count == 1:
        (whole,) = run([Shard(values, state, changed_at)])
        return whole
    cuts = [round(n * part / count) for part in range(count + 1)]
    rows = [slice(first, end) for first, end in pairwise(cuts)]
    shards = [Shard(values[some], state, None if changed_at is None else changed_at[some]) for some in rows]
    return concatenate(list(run(shards)))
