"""What a fleet has learned, as a value: kept by a store as text, and handed to every chunk that is forecast."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tasks.forecast.batch import LEVELS, Float32s, Floats
from tasks.forecast.fleet.seasonal import FEATURES
from tasks.forecast.fleet.seasonal_model import Tuning, path_counts


@dataclass(frozen=True)
class FleetState:
    """Everything `forecast_chunk` needs beside the values. Serialisable, so that a store can keep it for a day."""

    season_lengths: tuple[int, ...]
    horizon: int
    levels: tuple[float, ...]
    seed: int
    tuning: Tuning
    coefficients: Floats  # (buckets, features)
    library: Float32s  # (paths, h): errors of other series, in units of their scale
    offsets: Floats  # (buckets, levels): added to quantiles, in units of the scale
    floor_ratio: float  # width of a constant series relative to its level
    past_weight: float  # of what a series' past windows did, in the probability that it crosses a bound
    roughness: float  # how little a step tells of the next, in the last day and a bit: the median of the fleet
    day_likeness: float  # how much a day tells of the next, as a correlation: the median of the fleet
    fitted_series: int  # how many series taught the coefficients; 0: defaults
    young_width: float = 1.0  # of the intervals of series with too little history for errors of their own

    @property
    def season(self) -> int:
        """A day in steps; 1 without a season."""
        return day_and_week(self.season_lengths)[0]

    @property
    def week(self) -> int | None:
        """A week in steps, if there is one and the fleet has learned to use it."""
        return day_and_week(self.season_lengths)[1] if self.coefficients.shape[1] == len(FEATURES) else None

    def serves(self, season_lengths: tuple[int, ...], horizon: int, levels: tuple[float, ...] = LEVELS) -> bool:
        """Whether a kept state answers this question; one a day old costs less than .5 % of accuracy."""
        mine = self.season_lengths, self.horizon, self.levels
        return mine == (tuple(season_lengths), horizon, tuple(levels))

    @property
    def path_count(self) -> int:
        return sum(path_counts(self.horizon, self.tuning.raw_share))

    def to_json(self) -> str:
        plain = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in asdict(self).items()}
        return json.dumps(plain)

    @classmethod
    def from_json(cls, text: str) -> FleetState:
        plain: dict[str, Any] = json.loads(text)
        plain["tuning"] = Tuning(**plain["tuning"])
        for name in ("season_lengths", "levels"):
            plain[name] = tuple(plain[name])
        for name in ("coefficients", "offsets"):
            plain[name] = np.asarray(plain[name], dtype=float)
        plain["library"] = np.asarray(plain["library"], dtype=np.float32)
        return cls(**plain)


def day_and_week(season_lengths: tuple[int, ...]) -> tuple[int, int | None]:
    """A day and, if there is one, a week in steps."""
    longer = sorted(int(m) for m in season_lengths if m > 1)
    return (longer[0] if longer else 1), (longer[1] if len(longer) > 1 else None)
