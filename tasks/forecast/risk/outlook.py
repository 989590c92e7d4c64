"""From joint paths to what the loop asks: each objective's breach, the overall state, and how past ones fared."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

import numpy as np
from numpy.typing import NDArray

from storage.records import Breach, Forecast, Frame, Objective, StatePrediction
from tasks.forecast.batch import ForecastBatch
from tasks.forecast.fleet_snapshot import NO_BLOCKS, STORED_LEVELS, Blocks
from tasks.forecast.risk.crossings import Crossing, first_beyond, lead_steps
from tasks.forecast.risk.recalibration import UNTOUCHED, Recalibration
from tasks.forecast.risk.state import JOINT_PATHS, Hit, Shares, joint_paths, overall
from tasks.text import chance

ENOUGH_BLOCKS = 30


@dataclass(frozen=True)
class Outlook:
    """All that one turn foretells; `batches` go with `frames` one to one, `raw_state` is the state's
    probability before recalibration, `notes` are said beside it."""

    frames: tuple[Frame, ...]
    batches: tuple[ForecastBatch, ...]
    forecasts: tuple[Forecast, ...]
    breaches: tuple[Breach, ...]
    state: StatePrediction
    raw_state: Shares | None = None
    notes: tuple[str, ...] = ()

    def by_series(self) -> Mapping[str, Forecast]:
        """Return the forecasts by series, refused ones left out."""
        return {forecast.series: forecast for forecast in self.forecasts if forecast.refusal is None}

    def paths(self) -> PathsBySeries:
        """Return joint sample paths (paths, steps) by series, refused ones left out."""
        return PathsBySeries(
            {
                series: (batch, row)
                for frame, batch in zip(self.frames, self.batches, strict=True)
                for row, series in enumerate(frame.series)
                if batch.refusals[row] is None
            }
        )


class PathsBySeries(Mapping[str, NDArray[np.float64]]):
    """Joint sample paths (paths, steps) by series, made when they are asked for: of a large fleet few are."""

    def __init__(self, places: Mapping[str, tuple[ForecastBatch, int]]) -> None:
        self._places = places

    def __getitem__(self, series: str) -> NDArray[np.float64]:
        batch, row = self._places[series]
        return batch.paths_of(row)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def forecasts_of(frame: Frame, batch: ForecastBatch) -> list[Forecast]:
    """Return one record a series, with the quantiles of the two intervals that are shown."""
    columns = [int(np.argmin(np.abs(np.asarray(batch.levels) - level))) for level in STORED_LEVELS]
    # Mostly they are all there is: then no copy of a whole fleet's is made.
    shown = batch.quantiles if len(columns) == len(batch.levels) else batch.quantiles[:, :, columns]
    return [
        Forecast(
            series=series,
            issued_at=frame.end,
            step_s=frame.step_s,
            levels=STORED_LEVELS,
            point=batch.point[row],
            quantiles=shown[row],
            method=batch.method[row],
            warnings=batch.warnings[row],
            refusal=batch.refusals[row],
        )
        for row, series in enumerate(frame.series)
    ]


def breaches_at(frame: Frame, crossings: Sequence[Crossing], recalibration: Recalibration) -> list[Breach]:
    """Return how likely each objective of the crossings breaks on each series of a frame that it means, and when.

    Probabilities are recalibrated by how past ones fared; the raw ones are kept beside them.
    """
    if not crossings:
        return []
    first = np.concatenate([crossing.first for crossing in crossings])
    probability = np.concatenate([crossing.probability for crossing in crossings])
    honest, steps = recalibration.apply(probability).tolist(), lead_steps(first).tolist()
    places = [(crossing.objective, row) for crossing in crossings for row in crossing.rows.tolist()]
    return [
        _breach(frame, objective, row, (honest[i], raw), (steps[i][1], steps[i][0], steps[i][2]))
        for i, ((objective, row), raw) in enumerate(zip(places, probability.tolist(), strict=True))
    ]


def _breach(
    frame: Frame,
    objective: Objective,
    row: int,
    probabilities: tuple[float, float],
    steps: tuple[float, float, float],
) -> Breach:
    last_value, settled_value = _last_values(frame.values[row])
    broken = last_value is not None and not (objective.is_met(last_value) or objective.is_met(settled_value))
    expected_at, earliest_at, latest_at = (_moment(frame.end, frame.step_s, step) for step in steps)
    probability, raw = probabilities
    is_known = math.isfinite(raw)
    return Breach(
        objective=objective.name,
        series=frame.series[row],
        probability=1.0 if broken else (float(probability) if is_known else 0.0),
        expected_at=frame.end if broken else expected_at,
        earliest_at=frame.end if broken else earliest_at,
        latest_at=latest_at,
        is_breached_now=broken,
        last_value=last_value,
        raw_probability=float(raw) if is_known else None,
    )


def _last_values(values: NDArray[np.float64]) -> tuple[float | None, float]:
    """Return the newest value and the median of the last three, so that one spike alone breaks nothing.

    The newest is None where the last five steps are silent: then nothing is known of now.
    """
    seen = [value for value in values[-5:].tolist() if math.isfinite(value)]
    return (seen[-1], median(seen[-3:])) if seen else (None, math.nan)


def _moment(end: datetime, step_s: float, step: float) -> datetime | None:
    return end + timedelta(seconds=step_s * step) if math.isfinite(step) else None


@dataclass(frozen=True)
class FramePaths:
    """What the overall state is read off in one frame: its forecast, where bounds are crossed, and past errors."""

    frame: Frame
    batch: ForecastBatch
    crossings: tuple[Crossing, ...]
    blocks: Blocks = NO_BLOCKS


@dataclass(frozen=True)
class StateRecalibration:
    """The curves that past state predictions and what became of them call for."""

    unhealthy: Recalibration = UNTOUCHED
    critical: Recalibration = UNTOUCHED

    def apply(self, raw: Shares) -> Shares:
        """Return honest shares; critical is never likelier than not healthy."""
        unhealthy = float(self.unhealthy.apply(np.array([raw.unhealthy]))[0])
        return Shares(unhealthy, min(unhealthy, float(self.critical.apply(np.array([raw.critical]))[0])))


def predicted_state(
    parts: Sequence[FramePaths],
    tick: datetime,
    recalibration: StateRecalibration = StateRecalibration(),
    seed: int = 0,
    needed: int = 1,
) -> tuple[StatePrediction, Shares | None]:
    """Return the probability of each overall state within the objectives' horizons, and that before recalibration.

    A joint path is critical when it breaks `needed` objectives of severity 0.7 or more, degraded when it breaks so many
    of any severity: for 1 the worst counts. The paths add one past origin's whole error block across all series to the
    forecast (the Schaake shuffle): from the ledger where it holds 30 blocks far enough apart, else from origins within
    the history.
    """
    hits = [hit for part in parts for hit in _hits(part, seed)]
    if not hits:
        reason = "No objective has a forecast yet; record metrics first."
        return StatePrediction(at=tick, state="unknown", probabilities={}, reason=reason), None
    raw = overall(hits, needed)
    shares = recalibration.apply(raw).by_name()
    state = max(shares, key=lambda name: shares[name])
    resolved = min(recalibration.unhealthy.forecasts, recalibration.critical.forecasts)
    n_paths, n_objectives = max(len(hit.broken) for hit in hits), len({hit.objective for hit in hits})
    wanted = f"{n_objectives} objective{'' if n_objectives == 1 else 's'}"
    reason = f"in {chance(raw.by_name()[state])} of {n_paths} simulated futures of {wanted}"
    if needed > 1:
        reason += f"; {min(needed, n_objectives)} of {n_objectives} must be broken to count"
    if recalibration.unhealthy.serves:
        reason += f"; {chance(shares[state])} once corrected by {resolved} verified forecasts"
    at = tick + timedelta(seconds=max(_reach_s(part) for part in parts if part.crossings))
    return StatePrediction(at=at, state=state, probabilities=shares, reason=reason), raw


def _reach_s(part: FramePaths) -> float:
    return max(crossing.within for crossing in part.crossings) * part.frame.step_s


def _hits(part: FramePaths, seed: int) -> list[Hit]:
    """Return which joint paths are broken, for each objective on each series with a forecast."""
    hits: list[Hit] = []
    for crossing in part.crossings:
        first = _ledger_first(part, crossing, seed)
        judged_rows = np.flatnonzero(~np.isnan(crossing.first[:, 0])).tolist()
        name, severity = crossing.objective.name, crossing.objective.severity
        hits += [Hit(name, severity, np.isfinite(first[row])) for row in judged_rows]
    return hits


def _ledger_first(part: FramePaths, crossing: Crossing, seed: int) -> NDArray[np.float64]:
    """Where joint paths made of the ledger's errors first cross; those of the forecast where it has too few."""
    if len(part.blocks.errors) < ENOUGH_BLOCKS or part.blocks.errors.shape[2] < crossing.within:
        return crossing.first
    errors = part.blocks.of([part.frame.series[row] for row in crossing.rows.tolist()])
    if errors is None:
        return crossing.first
    point = part.batch.point[crossing.rows, : crossing.within]
    paths = joint_paths(point, errors[:, :, : crossing.within], seed=seed, count=JOINT_PATHS)
    return first_beyond(paths, crossing.objective)
