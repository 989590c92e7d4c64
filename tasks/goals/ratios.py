"""Objectives on a ratio of two metrics: the ratio is a series of its own, derived where both are recorded."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from storage.records import Frame, Objective


def measured_series(objective: Objective) -> str:
    """Return what an objective looks at: its metric, or `metric/denominator` where it names one."""
    return objective.metric if objective.denominator is None else f"{objective.metric}/{objective.denominator}"


def judges(objective: Objective, series: str) -> bool:
    """Tell whether an objective is about a series; one on a ratio is about neither of its parts."""
    if objective.denominator is not None:
        return series == measured_series(objective)
    return objective.matches(series)


def with_ratios(frame: Frame, objectives: Iterable[Objective]) -> Frame:
    """Return a frame with a row for every ratio that objectives name and both of whose series it holds.

    A ratio is unknown (NaN) where either part is, and where its denominator is zero.
    """
    wanted = {
        measured_series(objective): objective
        for objective in objectives
        if objective.denominator is not None and {objective.metric, objective.denominator} <= set(frame.series)
    }
    missing = {name: objective for name, objective in wanted.items() if name not in frame.series}
    if not missing:
        return frame
    rows = []
    for objective in missing.values():
        below = frame.row(str(objective.denominator))
        usable = np.where(below == 0, np.nan, below)
        rows.append(frame.row(objective.metric) / usable)
    values = np.concatenate([frame.values, np.stack(rows)])
    return frame.model_copy(update={"series": (*frame.series, *missing), "values": values})
