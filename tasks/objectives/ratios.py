"""Objectives on a ratio of two metrics: the ratio is a series of its own, derived where both are recorded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

import numpy as np

from storage.records import FloatArray, Frame, Objective, Sample, metric_of


def with_ratios(frame: Frame, objectives: Iterable[Objective]) -> Frame:
    """Return a frame with a row for every ratio that objectives name and both of whose series it holds.

    Series of one set of labels belong together. A ratio is unknown (NaN) where either part is, and where its
    denominator is zero.
    """
    rows = {
        name: row for objective in objectives for name, row in _ratios(frame, objective) if name not in frame.series
    }
    if not rows:
        return frame
    values = np.concatenate([frame.values, np.stack(list(rows.values()))])
    return frame.model_copy(update={"series": (*frame.series, *rows), "values": values})


def ratio_samples(frame: Frame, objectives: Iterable[Objective], since: dict[str, datetime]) -> Iterator[Sample]:
    """Return the values of every ratio at the steps of a frame, those alone that lie after `since` of their series."""
    present = set(frame.series)
    derived = with_ratios(frame, objectives)
    count = derived.values.shape[1]
    for series, row in zip(derived.series, derived.values, strict=True):
        if series in present:
            continue
        for place in np.flatnonzero(np.isfinite(row)).tolist():
            ts = frame.end - timedelta(seconds=frame.step_s * (count - 1 - place))
            if series not in since or ts > since[series]:
                yield Sample(metric=metric_of(series), labels=labels_of(series), value=float(row[place]), ts=ts)


def labels_of(series: str) -> dict[str, str]:
    """Return the labels of a series key."""
    inner = series.partition("{")[2].removesuffix("}")
    pairs = (part.partition("=") for part in inner.split('",') if part)
    return {name: value.strip('"') for name, _, value in pairs}


def _ratios(frame: Frame, objective: Objective) -> Iterator[tuple[str, FloatArray]]:
    if objective.denominator is None:
        return
    for series in frame.series:
        labels = series.removeprefix(metric_of(series))
        below = objective.denominator if objective.denominator in frame.series else objective.denominator + labels
        is_meant = objective.metric in {series, metric_of(series)}
        if is_meant and below in frame.series:
            parts = frame.row(below)
            name = objective.measured if series == objective.metric else objective.measured + labels
            yield name, frame.row(series) / np.where(parts == 0, np.nan, parts)
