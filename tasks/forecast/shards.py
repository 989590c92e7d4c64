"""A large fleet in shards that can be forecast side by side, each block by block: the same to the last digit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import tzinfo

import numpy as np

from storage.records import Frame
from tasks.forecast.acts_ahead import with_acts
from tasks.forecast.batch import Bools, Floats, ForecastBatch, Ints, assembled
from tasks.forecast.fleet.fit import FleetState
from tasks.forecast.local_clock import on_clocks_ahead
from tasks.forecast.method_per_series import MethodPerSeries, forecast_frame, rows_of_other_methods
from tasks.forecast.running_times import with_running_times
from tasks.forecast.time_budget import TimeBudget
from tasks.interventions.effect_over_time import ActEffects

BLOCK_SERIES = 128
"""So many series are forecast at once: what that takes, their paths above all, is several times their history."""


@dataclass(frozen=True)
class FleetQuestion:
    """All that forecasting the series of a frame takes.

    `history` (n, t) is what they would have been without acts, by today's clock, `changed_at` (n,) as in
    `forecast_frame`; `effects` by series are those of acts in force. `rows` (n,) count through the whole frame: what is
    drawn for a series by its number is the same however the frame is cut.
    """

    frame: Frame
    history: Floats
    rows: Ints
    serving: MethodPerSeries
    horizon: int
    seed: int
    state: FleetState
    zone: tzinfo
    changed_at: Ints | None = None
    effects: Mapping[str, ActEffects] = field(default_factory=dict)

    def take(self, places: Ints) -> FleetQuestion:
        """Return the question for some of the series."""
        series, values = (
            tuple(self.frame.series[place] for place in places.tolist()),
            _rows_of(self.frame.values, places),
        )
        return replace(
            self,
            frame=self.frame.model_copy(update={"series": series, "values": values}),
            history=values if self.history is self.frame.values else _rows_of(self.history, places),
            rows=self.rows[places],
            changed_at=None if self.changed_at is None else self.changed_at[places],
        )

    def answer(self, pace: TimeBudget | None = None) -> ForecastBatch:
        """Forecast what would come without acts, then add what those in force are believed to change."""
        batch = forecast_frame(
            self.frame.model_copy(update={"values": self.history}),
            self.serving,
            self.horizon,
            self.seed,
            state=self.state,
            changed_at=self.changed_at,
            must_serve=False,
            pace=pace,
        )
        batch = on_clocks_ahead(batch, self.frame, self.zone)
        batch = with_acts(batch, self.frame, self.effects, self.seed)
        return with_running_times(batch, self.frame.values, self.seed, self.rows)


def _rows_of(values: Floats, places: Ints) -> Floats:
    """Return rows in ascending order; neighbours as a view, as a large fleet's history need not be in memory twice."""
    are_neighbours = len(places) > 0 and places[-1] - places[0] + 1 == len(places)
    return values[places[0] : places[-1] + 1] if are_neighbours else values[places]


@dataclass(frozen=True)
class Shard:
    """Some series and of which of them (n,) paths are kept; it may travel to another process or machine."""

    question: FleetQuestion
    is_kept: Bools

    def forecast(self) -> ForecastBatch:
        """Forecast these series."""
        count = len(self.is_kept)
        if count <= BLOCK_SERIES and self.is_kept.all():
            return self.question.answer()
        blocks = np.array_split(np.arange(count), -(-count // BLOCK_SERIES))
        return assembled(self.is_kept, ((rows, self.question.take(rows).answer()) for rows in blocks))


RunShards = Callable[[Sequence[Shard]], Sequence[ForecastBatch]]


def in_process(shards: Sequence[Shard]) -> list[ForecastBatch]:
    """Forecast one shard after the other, here."""
    return [shard.forecast() for shard in shards]


def forecast_sharded(
    question: FleetQuestion,
    is_watched: Bools | None = None,
    *,
    count: int = 1,
    run: RunShards = in_process,
    pace: TimeBudget | None = None,
) -> ForecastBatch:
    """Forecast a frame in `count` shards of neighbouring series, which `run` carries out.

    Of more than a block of series the paths of those are kept for which `is_watched` (n,) holds, all where it is None.
    Series that another method than the fleet serves are forecast here, together and within the `pace`.
    """
    everything = np.arange(len(question.rows))
    alone = rows_of_other_methods(question.frame, question.serving)
    rest = np.setdiff1d(everything, alone)
    count = max(1, min(count, len(rest)))
    is_kept = np.ones(len(everything), dtype=bool)
    if is_watched is not None and len(everything) > BLOCK_SERIES:
        is_kept = is_watched.copy()
        is_kept[alone] = True
    elif count == 1:
        return question.answer(pace)
    cuts = np.array_split(rest, count) if len(rest) else []
    parts = list(zip(cuts, run([Shard(question.take(rows), is_kept[rows]) for rows in cuts]), strict=True))
    if len(alone):
        parts.append((alone, question.take(alone).answer(pace)))
    batch = parts[0][1] if len(parts) == 1 else assembled(is_kept, parts)
    return replace(batch, again=lambda row: question.take(np.array([row])).answer())
