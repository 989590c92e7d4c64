"""History told by the clocks of the people served: after a clock change, what happens at nine still happens at nine."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, tzinfo

import numpy as np

from storage.records import Frame
from tasks.forecast.batch import ForecastBatch

SEASONAL = ("seasonal", "pooled")
LOOK = timedelta(hours=12)


def on_todays_clock(frame: Frame, zone: tzinfo) -> Frame:
    """Return a frame whose history before a clock change lies at the times of day of the clock at its end.

    The step that the clocks jump over stays unknown, the one that they show twice is seen once.
    """
    begins = frame.end - timedelta(seconds=frame.step_s * frame.values.shape[1])
    values = frame.values
    for changed_at, forward in _changes(begins, frame.end, zone):
        steps = round(forward.total_seconds() / frame.step_s)
        since = values.shape[1] - round((frame.end - changed_at).total_seconds() / frame.step_s)
        before = values[:, : max(0, since)]
        moved = np.full_like(before, np.nan)
        if not steps or abs(steps) >= before.shape[1]:
            continue
        if steps > 0:
            moved[:, :-steps] = before[:, steps:]
        elif steps < 0:
            moved[:, -steps:] = before[:, :steps]
        values = np.concatenate([moved, values[:, before.shape[1] :]], axis=1)
    return frame if values is frame.values else frame.model_copy(update={"values": values})


def on_clocks_ahead(batch: ForecastBatch, frame: Frame, zone: tzinfo) -> ForecastBatch:
    """Return the forecast of a frame on today's clock with the steps after a clock change ahead at the times it shows.

    Only what lives by the time of day is moved: series forecast by their season alone. The last steps before the end
    of the horizon, of which a clock set forward shows later ones, take those of a day before.
    """
    day, horizon = frame.season_lengths[0], batch.horizon
    source = np.arange(horizon)
    for changed_at, forward in _changes(frame.end, frame.end + timedelta(seconds=frame.step_s * horizon), zone):
        steps = round(forward.total_seconds() / frame.step_s)
        first = max(0, round((changed_at - frame.end).total_seconds() / frame.step_s))
        moved = np.arange(first, horizon) + steps
        beyond = moved >= horizon
        moved[beyond] = np.where(moved[beyond] >= day, moved[beyond] - day, horizon - 1)
        source[first:] = source[np.clip(moved, 0, horizon - 1)]
    rows = np.array([method in SEASONAL for method in batch.method])
    if (source == np.arange(horizon)).all() or not rows.any():
        return batch
    arrays = {name: getattr(batch, name).copy() for name in ("point", "quantiles", "scaled_paths")}
    for name, array in arrays.items():
        array[rows] = array[rows][:, :, source] if name == "scaled_paths" else array[rows][:, source]
    return replace(batch, **arrays)


def _changes(begins: datetime, end: datetime, zone: tzinfo) -> list[tuple[datetime, timedelta]]:
    """Return when the clocks of a zone were set within a time, to the minute, and by how much forward."""
    found, moment = [], begins
    while moment < end:
        later = min(moment + LOOK, end)
        if (forward := _offset(later, zone) - _offset(moment, zone)) != timedelta(0):
            early, late = moment, later
            while late - early > timedelta(minutes=1):
                middle = early + (late - early) / 2
                early, late = (early, middle) if _offset(middle, zone) != _offset(moment, zone) else (middle, late)
            found.append((late, forward))
        moment = later
    return found


def _offset(moment: datetime, zone: tzinfo) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta(0)
