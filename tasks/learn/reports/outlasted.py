"""Which changes beside its aim were not an act's: those that stay long after what it does is over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from storage.records import BoolArray, FloatArray

Columns = Mapping[str, Sequence[Any] | np.ndarray[Any, Any]]

OVER_WINDOWS = 3.0
"""So many windows after an act that passes by itself nothing of it is left, also where it lingers."""


def outlasted(
    changes: Columns, lasting_at_s: Mapping[str, FloatArray], passing: frozenset[str], seen_at_s: float
) -> BoolArray:
    """Mark the rows (n,) of side effects and guards in whose window a level moved that has stayed since.

    `changes` are columns of equal length: action, series, role, acted_at_s and horizon_s. `lasting_at_s` holds by
    series when its level moved for good, as it was seen at `seen_at_s`, `passing` the actions whose effect is declared
    to end by itself. What stays once it must have ended has another cause, as a release at the same time.
    """
    acted_at_s = np.asarray(changes["acted_at_s"], dtype=np.float64)
    ends_s = acted_at_s + np.asarray(changes["horizon_s"], dtype=np.float64)
    is_over = seen_at_s - acted_at_s >= OVER_WINDOWS * (ends_s - acted_at_s)
    marked = np.zeros(len(acted_at_s), dtype=np.bool_)
    rows = zip(changes["action"], changes["series"], changes["role"], strict=True)
    for row, (action, series, role) in enumerate(rows):
        if is_over[row] and role != "target" and action in passing and series in lasting_at_s:
            moved_at_s = lasting_at_s[series]
            marked[row] = bool(((moved_at_s >= acted_at_s[row]) & (moved_at_s <= ends_s[row])).any())
    return marked
