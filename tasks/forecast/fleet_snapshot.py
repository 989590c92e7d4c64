"""What a fleet learned, kept as text between cycles: when it serves again, and how it is read back."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.forecast.batch import Float32s, Floats
from tasks.forecast.fleet.fit import FleetState
from tasks.forecast.fleet.forecast import fit_fleet
from tasks.forecast.fleet.offsets import no_offsets

STORED_LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
GROWTH = 1.25  # of history or fleet, after which another fit learns more than it costs


class CorruptSnapshot(ValueError):
    """A kept state that cannot be read, or holds what no fit produces."""


@dataclass(frozen=True)
class Blocks:
    """Whole error paths of past origins, those of all series together: (origins, series, steps)."""

    series: tuple[str, ...]
    errors: Float32s

    def of(self, series: Sequence[str]) -> Floats | None:
        """Return the errors of some series in their order, None where one of them is missing or nothing is kept."""
        places = {name: place for place, name in enumerate(self.series)}
        if not len(self.errors) or not series or any(name not in places for name in series):
            return None
        return self.errors[:, [places[name] for name in series]].astype(float)


NO_BLOCKS = Blocks((), np.empty((0, 0, 0), dtype=np.float32))


@dataclass(frozen=True)
class FleetSnapshot:
    """A fitted fleet with the size of what it was fitted on, and the errors it made since it is known."""

    state: FleetState
    series: int
    steps: int
    blocks: Blocks = NO_BLOCKS

    def serves(self, values: Floats, season_lengths: tuple[int, ...], horizon: int, seed: int) -> bool:
        """Tell whether another fit on `values` (series, steps) would learn little: same question, no more to see."""
        n, t = values.shape
        grown = n > GROWTH * self.series or t > GROWTH * self.steps
        shrunk = GROWTH * n < self.series or GROWTH * t < self.steps
        asked = self.state.serves(season_lengths, horizon, STORED_LEVELS) and self.state.seed == seed
        return asked and not grown and not shrunk

    def to_text(self) -> str:
        """Return all of it as JSON."""
        blocks = {"series": self.blocks.series, "errors": np.round(self.blocks.errors, 6).tolist()}
        plain = {"series": self.series, "steps": self.steps, "blocks": blocks}
        return json.dumps(plain | {"state": self.state.to_json()})


def fit_snapshot(values: Floats, *, season_lengths: tuple[int, ...], horizon: int, seed: int) -> FleetSnapshot:
    """Fit a fleet on `values` (series, steps); it then gives the quantiles that are stored, without offsets."""
    state = fit_fleet(values, season_lengths=season_lengths, horizon=horizon, seed=seed)
    narrow = replace(state, levels=STORED_LEVELS, offsets=no_offsets(horizon, STORED_LEVELS))
    return FleetSnapshot(narrow, len(values), values.shape[1])


@lru_cache(maxsize=32)
def read_snapshot(text: str) -> FleetSnapshot:
    """Read what `Kept.to_text` wrote; raises CorruptState for anything else.

    Cached, since a process that runs many cycles is handed the same text in each of them.
    """
    try:
        plain = json.loads(text)
        errors = np.asarray(plain["blocks"]["errors"], dtype=np.float32)
        names = tuple(str(name) for name in plain["blocks"]["series"])
        blocks = Blocks(names, errors) if errors.ndim == 3 and errors.shape[1] == len(names) else NO_BLOCKS
        kept = FleetSnapshot(FleetState.from_json(plain["state"]), int(plain["series"]), int(plain["steps"]), blocks)
        _check(kept)
    except CorruptSnapshot:
        raise
    except Exception as trouble:  # whatever stands there instead of a state, it is not one
        raise CorruptSnapshot(f"{type(trouble).__name__}: {trouble}") from trouble
    return kept


def _check(kept: FleetSnapshot) -> None:
    """Compare shapes and figures with those that every fit has."""
    state = kept.state
    shape = no_offsets(state.horizon, state.levels).shape
    if state.offsets.shape != shape or state.coefficients.shape[:1] != shape[:1]:
        raise CorruptSnapshot(f"offsets {state.offsets.shape} and coefficients {state.coefficients.shape} do not fit")
    if state.library.shape != (state.path_count, state.horizon):
        raise CorruptSnapshot(f"an error library of shape {state.library.shape}")
    arrays: list[NDArray[Any]] = [state.offsets, state.coefficients, state.library, kept.blocks.errors]
    if not all(bool(np.isfinite(array).all()) for array in arrays) or not math.isfinite(state.floor_ratio):
        raise CorruptSnapshot("figures that are not finite")
