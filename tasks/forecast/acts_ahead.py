"""What acts in force will still change, added to a forecast of what would come without them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from storage.records import Frame
from tasks.forecast.batch import ForecastBatch
from tasks.interventions.effect_over_time import ActEffects
from tasks.interventions.removed_from_history import within_nature
from tasks.special import ndtri


def with_acts(batch: ForecastBatch, frame: Frame, effects: Mapping[str, ActEffects], seed: int) -> ForecastBatch:
    """Return forecasts of a frame's series with what acts will change, by series, and with the doubt about it.

    The doubt widens quantiles and paths alike; each path takes one draw of it for all its steps.
    """
    rows = [row for row, name in enumerate(frame.series) if name in effects and batch.refusals[row] is None]
    if not rows:
        return batch
    point, quantiles, paths = batch.point.copy(), batch.quantiles.copy(), batch.scaled_paths.copy()
    draws = _draws(paths.shape[1], seed)
    for row in rows:
        series, seen = frame.series[row], frame.values[row]
        change, doubt = effects[frame.series[row]].ahead(batch.horizon)
        spread = np.maximum((quantiles[row, :, -1] - quantiles[row, :, 0]) / (2 * ndtri(batch.levels[-1])), 1e-12)
        wider = np.sqrt(1 + np.square(np.minimum(doubt / spread, 1e6)))
        around = (quantiles[row] - point[row][:, None]) * wider[:, None]
        point[row] = within_nature(series, seen, point[row] + change)
        quantiles[row] = within_nature(series, seen, point[row][:, None] + around)
        moved = batch.paths_of(row) + change + draws[:, None] * doubt
        paths[row] = (within_nature(series, seen, moved) - batch.centre[row]) / batch.scale[row]
    return replace(batch, point=point, quantiles=quantiles, scaled_paths=paths).unlike_past(rows)


def _draws(count: int, seed: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return evenly spread standard normal draws, one a path, in random order."""
    levels = (np.arange(count) + 0.5) / count
    draws = np.array([ndtri(float(level)) for level in levels])
    return np.random.default_rng([seed, 31]).permutation(draws)
