"""What resolved forecasts teach the next ones: offsets of quantiles, and whole error blocks for joint paths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from storage.forecasts import Resolved
from tasks.forecast.batch import Bools, Floats
from tasks.forecast.fleet.offsets import no_offsets
from tasks.forecast.fleet.regression import by_step
from tasks.forecast.fleet_snapshot import NO_BLOCKS, STORED_LEVELS, Blocks
from tasks.forecast.verification.error_ledger import Ledger, calibration_offsets, error_blocks

CALIBRATED_METHOD = "seasonal"
MOST_ORIGINS = 60


@dataclass(frozen=True)
class ResolvedForecasts:
    """Resolved forecasts as a ledger over `series`; `calibrated` (o, n) tells which of them took offsets."""

    series: tuple[str, ...]
    ledger: Ledger
    calibrated: Bools

    def offsets(self, step_s: float) -> Floats:
        """Return the offsets (buckets, levels) that would have made the quantiles right, as yet by halves."""
        return calibration_offsets(replace(self.ledger, overlapped=self.ledger.overlapped | ~self.calibrated), step_s)

    def blocks(self, series: Sequence[str], steps: int) -> Blocks:
        """Return the first steps of the errors that all of some series made together, by origin."""
        columns = [self.series.index(name) for name in series if name in self.series]
        if len(columns) < len(series) or not columns:
            return NO_BLOCKS
        part = replace(
            self.ledger,
            errors=self.ledger.errors[:, columns, :steps],
            overlapped=self.ledger.overlapped[:, columns],
        )
        return Blocks(tuple(series), error_blocks(part).astype(np.float32))


def far_apart(moments: Sequence[datetime], gap_s: float) -> list[datetime]:
    """Return the newest of ascending moments that lie at least a gap apart, ascending: nearer ones saw the same."""
    picked: list[datetime] = []
    for moment in reversed(moments):
        if not picked or picked[-1] - moment >= timedelta(seconds=gap_s):
            picked.append(moment)
        if len(picked) == MOST_ORIGINS:
            break
    return picked[::-1]


def past_of(resolved: Resolved, horizon: int) -> ResolvedForecasts:
    """Lay resolved forecasts of one horizon out as a ledger, spreads freed of the offsets that were in them."""
    columns = resolved.columns
    series = tuple(sorted(set(columns["series"])))
    moments = sorted(set(columns["issued_at"]))
    shape = len(moments), len(series)
    levels = len(STORED_LEVELS)
    errors, spreads = np.full((*shape, horizon), np.nan), np.full((*shape, horizon, levels), np.nan)
    scale, overlapped, calibrated = np.ones(shape), np.ones(shape, dtype=bool), np.zeros(shape, dtype=bool)
    rows = {moment: place for place, moment in enumerate(moments)}
    places = {name: place for place, name in enumerate(series)}
    added = _added_by_each(columns["offsets"], horizon)
    for i in range(len(resolved)):
        at = rows[columns["issued_at"][i]], places[columns["series"][i]]
        quantiles = np.asarray(columns["quantiles"][i], dtype=float).reshape(horizon, -1)
        if quantiles.shape[1] != levels or len(columns["errors"][i]) != horizon:
            continue
        errors[at] = columns["errors"][i]
        spreads[at] = quantiles - np.asarray(columns["point"][i], dtype=float)[:, None]
        spreads[at] -= added[i] * columns["scale"][i]
        scale[at], overlapped[at] = columns["scale"][i], columns["overlapped"][i]
        calibrated[at] = str(columns["method"][i]).startswith(CALIBRATED_METHOD)
    issued_at_s = np.array([moment.timestamp() for moment in moments])
    return ResolvedForecasts(series, Ledger(errors, spreads, scale, overlapped, issued_at_s, STORED_LEVELS), calibrated)


def _added_by_each(offsets: Sequence[Sequence[float] | None], horizon: int) -> list[Floats]:
    """Return for each forecast what offsets added to its steps (h, levels); those of one cycle are the same."""
    known: dict[bytes, Floats] = {}
    added = []
    for each in offsets:
        told = np.asarray(() if each is None else each, dtype=float)
        key = told.tobytes()
        if key not in known:
            known[key] = _added(told, horizon)
        added.append(known[key])
    return added


def _added(offsets: Floats, horizon: int) -> Floats:
    """Return what offsets added to each step (h, levels), in units of the scale; 0 where there were none."""
    shape = no_offsets(horizon, STORED_LEVELS).shape
    if len(offsets) != shape[0] * shape[1]:
        return np.zeros((horizon, len(STORED_LEVELS)))
    return np.asarray(by_step(offsets.reshape(1, *shape), horizon)[0], dtype=float)
