"""The series the forecast benchmark is run on: recordings where present, else a seeded synthetic twin."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
DEFAULT_DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"


@dataclass(frozen=True)
class HistoryWindows:
    """Windows of history (n, t) and what followed (n, h); `seasons` are a day and a week in steps."""

    name: str
    history: Floats
    future: Floats
    seasons: tuple[int, ...]
    synthetic: bool

    @property
    def horizon(self) -> int:
        return int(self.future.shape[1])

    def cut(self, steps: int, horizon: int) -> HistoryWindows:
        """The last so many steps of history alone, and the first of what followed."""
        return replace(self, history=self.history[:, -steps:], future=self.future[:, :horizon])

    def every(self, nth: int) -> HistoryWindows:
        """Every nth series, beginning with the first."""
        return replace(self, history=self.history[::nth], future=self.future[::nth])


SHAPES = {  # name: windows, history, horizon, seasons of the synthetic twin
    "ops5m": (150, 2016, 288, (288, 2016)),
    "opsh": (150, 672, 48, (24, 168)),
    "m4h": (150, 700, 48, (24, 168)),
    "azmax5m": (98, 2016, 288, (288, 2016)),
    "azper5m": (72, 2016, 288, (288, 2016)),
    "azh": (150, 504, 48, (24, 168)),
    "petshop5m": (150, 540, 48, (288, 2016)),
    "planetlab_1d": (150, 240, 48, (288, 2016)),
    "sparse5m": (26, 2016, 288, (288, 2016)),
}


def half_of(name: str) -> str:
    """Return the half that a series belongs to, by its name alone: what precedes a `#` and a number."""
    return "ab"[hashlib.sha256(name.partition("#")[0].encode()).digest()[0] % 2]


def load(name: str, data: Path) -> HistoryWindows:
    """A set by name; the twin of it where the file is absent."""
    path = data / "forecast" / f"{name}_dev.npz"
    if not path.exists():
        return _twin(name)
    with np.load(path, allow_pickle=False) as file:
        values, cut = file["Y"].astype(float), int(file["T"])
        return HistoryWindows(name, values[:, :cut], values[:, cut:], tuple(int(m) for m in file["m"]), synthetic=False)


def _twin(name: str) -> HistoryWindows:
    """Daily and weekly shapes, a wandering level, bursts and noise; the hourly M4 twin is nearly free of noise."""
    count, length, horizon, seasons = SHAPES[name]
    rng = np.random.default_rng([1, *name.encode()])
    day, week = seasons
    t = np.arange(length + horizon)
    phase = 2 * np.pi * (t / day + rng.random((count, 1)))
    shape = np.sin(phase) + 0.4 * np.sin(2 * phase + rng.random((count, 1)))
    weekday = 1 - 0.4 * rng.random((count, 1)) * ((t // day) % 7 >= 5)
    noise = (0.05 if name == "m4h" else 0.4) * rng.standard_normal((count, len(t)))
    level = np.cumsum(rng.normal(0, 0.5 / np.sqrt(week), (count, len(t))), axis=1)
    bursts = rng.exponential(2, (count, len(t))) * (rng.random((count, len(t))) < (0 if name == "m4h" else 0.01))
    values = 10.0 ** rng.uniform(-1, 4, (count, 1)) * np.maximum(4 + weekday * shape + level + noise + bursts, 0)
    return HistoryWindows(name, values[:, :length], values[:, length:], seasons, synthetic=True)
