"""The result of a forecast: joint sample paths per series and everything read off them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tasks.forecast.allocation import unwritten
from tasks.forecast.past_crossings import mixed, past_share

Floats = NDArray[np.float64]
Float32s = NDArray[np.float32]
Bools = NDArray[np.bool_]
Ints = NDArray[np.intp]

BLOCK_SERIES = 64
ROUNDING = 2.0**-21
LEVELS: tuple[float, ...] = tuple(round(0.05 * i, 2) for i in range(1, 20))


@dataclass(frozen=True)
class ForecastBatch:
    """Forecasts of n series over h steps; refused series have NaN rows and a reason in `refusals`.

    Paths are kept relative to each series' own level and scale in single precision: a byte counter at 1e12
    keeps its last digits, and a thousand series stay small. Path s of every series was drawn from the same
    past origin, so a path index is one joint future of the whole fleet. They are most of a forecast: of a large
    fleet those of some series are kept, and of the others made `again` where they are asked for.
    """

    point: Floats  # (n, h): the median
    quantiles: Floats  # (n, h, q): ascending along q
    levels: tuple[float, ...]
    centre: Floats  # (n,)
    scale: Floats  # (n,)
    scaled_paths: Float32s  # (n, s, h)
    method: tuple[str, ...]
    warnings: tuple[tuple[str, ...], ...]
    refusals: tuple[str | None, ...]
    past: Floats | None = None  # (n, t): the histories, NaN where missing
    past_weight: Floats | None = None  # (n,): of what past windows did, in a probability
    kept: Ints | None = None  # (n,): the place of each series in `scaled_paths` and `past`, −1 for none; None: its own
    again: Callable[[int], ForecastBatch] | None = None  # forecasts one series once more, with its paths

    def __len__(self) -> int:
        return len(self.method)

    @property
    def horizon(self) -> int:
        return int(self.point.shape[1])

    @cached_property
    def paths(self) -> Floats:
        """Joint sample paths in the units of the series, shape (n, s, h)."""
        return self.centre[:, None, None] + self.scale[:, None, None] * self.scaled_paths

    def paths_of(self, series: int) -> Floats:
        """Sample paths of one series, shape (s, h), without building those of the others."""
        place = series if self.kept is None else int(self.kept[series])
        if place < 0 and self.again is not None:
            return self.again(series).paths_of(0)
        return np.asarray(self.centre[series] + self.scale[series] * self.scaled_paths[place].astype(float))

    def breach(
        self,
        upper: float | Floats | None = None,
        lower: float | Floats | None = None,
        *,
        within: int | None = None,
    ) -> tuple[Floats, Floats]:
        """Probability that a bound is crossed within the horizon, and when.

        Bounds are numbers or arrays of one number a series (NaN: no bound); `within` limits the look ahead
        to that many steps. Returns probability (n,) and the expected step (n,), counted from 1: the median
        over those paths that cross, NaN where none does. A refused series has NaN in both.
        """
        first = self.first_crossing(upper, lower, within)
        probability = self.probability(first, upper, lower, within)
        probability[self._refused] = np.nan
        return probability, crossing_quantiles(first, (0.5,))[:, 0]

    def probability(
        self,
        first: Floats,
        upper: float | Floats | None,
        lower: float | Floats | None,
        within: int | None = None,
        rows: Ints | None = None,
    ) -> Floats:
        """Share of paths that cross, from `first_crossing`, mixed with that of the series' own past windows.

        Two bounds at once are read off the paths alone.
        """
        share = np.isfinite(first).mean(axis=1)
        bound = upper if lower is None else lower
        if self.past is None or self.past_weight is None or bound is None or (upper is not None and lower is not None):
            return np.asarray(share)
        past, weight = (
            (self.past, self.past_weight) if rows is None else (self.past[self._places(rows)], self.past_weight[rows])
        )
        bounds = np.broadcast_to(np.asarray(bound, dtype=float), share.shape)
        crossed = past_share(past, bounds, upper is not None, self.horizon if within is None else within)
        return mixed(np.asarray(share), crossed, weight)

    def _places(self, rows: Ints) -> Ints:
        return rows if self.kept is None else self.kept[rows]

    def unlike_past(self, rows: Sequence[int] | Ints) -> ForecastBatch:
        """The same, but what the past of these rows did says nothing of what comes."""
        if self.past_weight is None or not len(rows):
            return self
        weight = self.past_weight.copy()
        weight[np.asarray(rows, dtype=np.intp)] = 0
        return replace(self, past_weight=weight)

    def take(self, series: Ints | list[int] | slice) -> ForecastBatch:
        """The same forecast for the chosen series, in the order given, of a batch that keeps the paths of all.

        A slice gives views of the arrays.
        """
        rows = series if isinstance(series, slice) else np.asarray(series, dtype=np.intp)
        chosen = np.arange(len(self))[rows].tolist()
        return ForecastBatch(
            point=self.point[rows],
            quantiles=self.quantiles[rows],
            levels=self.levels,
            centre=self.centre[rows],
            scale=self.scale[rows],
            scaled_paths=self.scaled_paths[rows],
            method=tuple(self.method[i] for i in chosen),
            warnings=tuple(self.warnings[i] for i in chosen),
            refusals=tuple(self.refusals[i] for i in chosen),
            past=None if self.past is None else self.past[rows],
            past_weight=None if self.past_weight is None else self.past_weight[rows],
        )

    @classmethod
    def from_paths(
        cls,
        paths: Floats,
        *,
        levels: tuple[float, ...] = LEVELS,
        method: str = "paths",
        refusals: tuple[str | None, ...] | None = None,
    ) -> ForecastBatch:
        """A batch from sample paths (n, s, h) in the units of the series."""
        centre, scale = _path_frame(paths)
        scaled = ((paths - centre[:, None, None]) / scale[:, None, None]).astype(np.float32)
        quantiles = centre[:, None, None] + scale[:, None, None] * path_quantiles(scaled, levels)
        n = len(paths)
        return cls(
            point=median_of(quantiles, levels),
            quantiles=quantiles,
            levels=levels,
            centre=centre,
            scale=scale,
            scaled_paths=scaled,
            method=(method,) * n if refusals is None else tuple("refused" if why else method for why in refusals),
            warnings=((),) * n,
            refusals=refusals if refusals is not None else (None,) * n,
        )

    @property
    def _refused(self) -> Bools:
        return np.array([reason is not None for reason in self.refusals], dtype=bool)

    def first_crossing(
        self,
        upper: float | Floats | None,
        lower: float | Floats | None,
        within: int | None = None,
        rows: Ints | None = None,
    ) -> Floats:
        """First step (from 1) at which each path crosses a bound, inf where it never does: (n, s), or (rows, s).

        The paths of these rows have to be kept.
        Who is on a bound has not crossed it, nor who lies beyond by no more than single precision makes of its value.
        """
        steps = within if within is not None else self.horizon
        chosen = np.arange(len(self)) if rows is None else rows
        first = np.full((len(chosen), self.scaled_paths.shape[1]), np.inf)
        high = self._scaled(upper, chosen, 1) if upper is not None else None
        low = self._scaled(lower, chosen, -1) if lower is not None else None
        # A block at a time: the comparison of ten thousand series at once would leave the processor's cache.
        for block in (slice(i, i + BLOCK_SERIES) for i in range(0, len(chosen), BLOCK_SERIES)):
            some = block if rows is None else self._places(chosen[block])
            ahead = self.scaled_paths[some, :, :steps]
            crossed = np.zeros(ahead.shape, dtype=bool)
            if high is not None:
                crossed |= ahead > high[block]
            if low is not None:
                crossed |= ahead < low[block]
            first[block] = first_true(crossed)
        return first

    def _scaled(self, bound: float | Floats, rows: Ints, outward: int) -> Float32s:
        """A bound of each of the rows in path units, a rounding error outward.

        Without the clip a bound far away would overflow single precision.
        """
        bounds = np.broadcast_to(np.asarray(bound, dtype=float), rows.shape)
        with np.errstate(over="ignore"):
            scaled = np.clip((bounds - self.centre[rows]) / self.scale[rows], -1e30, 1e30)
        scaled = scaled + outward * ROUNDING * (1 + np.abs(scaled))
        return np.asarray(scaled.astype(np.float32)[:, None, None])


def empty_batch(n: int, paths: int, horizon: int, levels: tuple[float, ...], kept: int | None = None) -> ForecastBatch:
    """A batch of n refused series whose arrays wait to be written, those of paths for as many as are `kept`."""
    return ForecastBatch(
        point=unwritten((n, horizon), np.float64),
        quantiles=unwritten((n, horizon, len(levels)), np.float64),
        levels=levels,
        centre=np.zeros(n),
        scale=np.ones(n),
        scaled_paths=unwritten((n if kept is None else kept, paths, horizon), np.float32),
        method=("refused",) * n,
        warnings=((),) * n,
        refusals=("not forecast",) * n,
    )


def assembled(is_kept: Bools, parts: Iterable[tuple[Ints, ForecastBatch]]) -> ForecastBatch:
    """One fleet of parts, each with its rows, that keeps paths and history of those for which `is_kept` (n,) holds.

    Levels and horizon are those of the first. No two parts are needed at once, so they may be made one by one.
    """
    whole: ForecastBatch | None = None
    told: dict[int, tuple[str, tuple[str, ...], str | None]] = {}
    for rows, part in parts:
        whole = whole or _unwritten(is_kept, part)
        for name in ("point", "quantiles", "centre", "scale", "past_weight"):
            getattr(whole, name)[rows] = getattr(part, name)
        own = np.flatnonzero(is_kept[rows])
        for name in ("scaled_paths", "past"):
            getattr(whole, name)[whole._places(rows[own])] = getattr(part, name)[part._places(own)]
        told.update(zip(rows.tolist(), zip(part.method, part.warnings, part.refusals, strict=True), strict=True))
    assert whole is not None
    method, warnings, refusals = zip(*(told[row] for row in range(len(is_kept))), strict=True)
    return replace(whole, method=method, warnings=warnings, refusals=refusals)


def _unwritten(is_kept: Bools, like: ForecastBatch) -> ForecastBatch:
    assert like.past is not None
    (_, paths, horizon), steps, count = like.scaled_paths.shape, like.past.shape[1], int(is_kept.sum())
    return replace(
        empty_batch(len(is_kept), paths, horizon, like.levels, kept=count),
        past=unwritten((count, steps), np.float64),
        past_weight=np.zeros(len(is_kept)),
        kept=np.where(is_kept, np.cumsum(is_kept) - 1, -1),
    )


def path_quantiles(paths: Float32s, levels: tuple[float, ...]) -> Float32s:
    """Quantiles over paths (n, s, h) at each step, shape (n, h, q).

    Plotting position level·(s+1)−1, linear in between (Hyndman & Fan 1996, type 6): with few dozen paths the
    outer levels are then not biased inward.
    """
    return quantiles_of_sorted(np.sort(np.ascontiguousarray(paths.transpose(0, 2, 1)), axis=2), levels)


def quantiles_of_sorted(ordered: Float32s, levels: tuple[float, ...]) -> Float32s:
    """Quantiles (n, h, q) of values (n, h, s) already in order along s; see `path_quantiles`."""
    below, above, share = _ranks(ordered.shape[2], levels)
    low = ordered[:, :, below]
    return np.asarray(low + (ordered[:, :, above] - low) * share)


def quantiles_around(centre: Float32s, distances: Float32s, levels: tuple[float, ...]) -> Float32s:
    """Quantiles (n, h, q) of a centre (n, h) with each of `distances` (n, h, s) added and taken away.

    The same as of all 2·s values in order, for half the sorting.
    """
    ordered = np.abs(np.ascontiguousarray(distances))
    ordered.sort(axis=2)
    count = ordered.shape[2]
    below, above, share = _ranks(2 * count, levels)

    def at(rank: NDArray[np.intp]) -> Float32s:
        side = np.where(rank < count, -1, 1).astype(np.float32)
        return np.asarray(
            centre[:, :, None] + side * ordered[:, :, np.where(rank < count, count - 1 - rank, rank - count)]
        )

    low = at(below)
    return np.asarray(low + (at(above) - low) * share)


def _ranks(count: int, levels: tuple[float, ...]) -> tuple[NDArray[np.intp], NDArray[np.intp], Float32s]:
    """The ranks below and above each level among so many values in order, and how far it lies between them."""
    position = np.clip(np.asarray(levels) * (count + 1) - 1, 0, count - 1)
    below = np.minimum(position.astype(np.intp), max(count - 2, 0))
    return below, np.minimum(below + 1, count - 1), (position - below).astype(np.float32)


def median_of(quantiles: Floats, levels: tuple[float, ...]) -> Floats:
    """The median (n, h) of quantiles (n, h, q), between the two nearest levels if .5 is not one of them."""
    above = int(np.searchsorted(levels, 0.5))
    if above == len(levels) or above == 0:
        return quantiles[:, :, min(above, len(levels) - 1)].copy()
    low, high = levels[above - 1], levels[above]
    share = (0.5 - low) / (high - low)
    return np.asarray(quantiles[:, :, above - 1] * (1 - share) + quantiles[:, :, above] * share)


def first_true(crossed: Bools) -> Floats:
    """First step, from 1, at which `crossed` (…, steps) is true; inf where it never is."""
    return np.where(crossed.any(axis=-1), crossed.argmax(axis=-1) + 1.0, np.inf)


def crossing_quantiles(first: Floats, levels: tuple[float, ...]) -> Floats:
    """Quantiles (n, levels) of the crossing step among the paths (n, s) that cross; NaN where none does."""
    ordered = np.sort(first, axis=1)
    last = np.isfinite(ordered).sum(axis=1)[:, None] - 1
    place = np.maximum(last, 0) * np.asarray(levels)
    below = place.astype(np.intp)
    finite = np.where(np.isfinite(ordered), ordered, 0.0)
    low = np.take_along_axis(finite, below, axis=1)
    high = np.take_along_axis(finite, np.minimum(below + 1, np.maximum(last, 0)), axis=1)
    return np.where(last >= 0, low + (high - low) * (place - below), np.nan)


def _path_frame(paths: Floats) -> tuple[Floats, Floats]:
    """A level and a scale per series that bring its paths into the range of single precision."""
    centre = paths[:, :, 0].mean(axis=1)
    scale = np.abs(paths - centre[:, None, None]).max(axis=(1, 2))
    return centre, np.where(scale > 0, scale, 1.0)
