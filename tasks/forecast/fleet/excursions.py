"""Series that have just jumped far off their usual level are forecast to stay there about as long as they have.

A model of means lets them fall back at once, since most of the past was quiet, and a jump counts as a shift of level
only after hours. How long this one lasts is told by those before it that lasted as long (their survival, as Kaplan and
Meier 1958 count it), and where there were few by Lindy's law: what has stood for a while stands as long again with an
even chance. On recorded series such chances came true as often as they say.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from storage.records import FloatArray
from tasks.forecast.batch import Floats
from tasks.interventions.jumps import is_jump

FAR_SD = 2.0
FEWEST_STEPS, MOST_OF_DAY = 2, 1 / 8
"""Of an excursion: one value is a spike, and what has stood for hours is a shift of level."""

PRIOR_COUNT = 2.0
"""How many excursions that lasted as long Lindy's law counts for."""

CLOCK_STEPS = 2
LEAST_SHARE = 0.05
"""Of the paths, that would have to be moved: fewer are left as they are."""


@dataclass(frozen=True)
class Excursion:
    """Where one series has stood for `age` steps: `values` there, and the chance (h,) that it still does, step by step.

    `middle` lies half-way from its usual level, above it where `side` is 1, below where it is -1.
    """

    values: FloatArray
    survival: FloatArray
    middle: float
    side: float

    @property
    def age(self) -> int:
        """Return for how many steps it has stood there."""
        return len(self.values)

    def is_there(self, values: Floats) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        """Tell which values lie on its side of the middle."""
        return np.asarray(self.side * (values - self.middle) >= 0)


def find_excursions(values: Floats, season: int, horizon: int) -> dict[int, Excursion]:
    """Return by row the excursions that series (n, t), NaN where missing, are on; `season` is a day in steps."""
    if values.shape[1] <= season:
        return {}
    with np.errstate(invalid="ignore"):
        usual, sd = np.nanmedian(values, axis=1), np.nanstd(values, axis=1)
        newest = values[:, -FEWEST_STEPS:] - usual[:, None]
        far = (np.abs(newest) > FAR_SD * sd[:, None]).all(axis=1) & (
            np.abs(np.sign(newest).sum(axis=1)) == FEWEST_STEPS
        )
    rows = np.flatnonzero(far & (sd > 0)).tolist()
    found = ((row, _excursion(values[row], float(usual[row]), season, horizon)) for row in rows)
    return {row: each for row, each in found if each is not None}


def _excursion(values: FloatArray, usual: float, season: int, horizon: int) -> Excursion | None:
    size = float(np.median(values[-FEWEST_STEPS:])) - usual
    with np.errstate(invalid="ignore"):
        there = (values - usual) / size >= 1 / 2
    away = np.flatnonzero(~there)
    begun = int(away[-1]) + 1 if len(away) else 0
    age = len(values) - begun
    if not FEWEST_STEPS <= age <= MOST_OF_DAY * season or not is_jump(values, begun, size):
        return None
    before = begun - season
    if before >= CLOCK_STEPS and there[before - CLOCK_STEPS : before + CLOCK_STEPS + 1].any():
        return None
    lengths = _lengths(there[:begun])
    ahead = np.arange(1, horizon + 1)
    lasted = (lengths >= age).sum()
    longer = (lengths[:, None] >= age + ahead).sum(axis=0)
    survival = (longer + PRIOR_COUNT * age / (age + ahead)) / (lasted + PRIOR_COUNT)
    return Excursion(values[begun:], survival, usual + size / 2, float(np.sign(size)))


def _lengths(there: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Return how long each stretch of true values is."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], there, [0]])))
    return np.asarray(edges[1::2] - edges[::2])


def staying(excursion: Excursion, paths: Floats, chances: Floats) -> Floats | None:
    """Return paths (s, h) of which as many stay as do by its survival; None where enough of them do already.

    `chances` (s,), spread evenly over (0, 1), say which do, and for how long each.
    """
    there = excursion.is_there(paths)
    share = there.mean(axis=0)
    lacking = np.minimum.accumulate(np.clip((excursion.survival - share) / np.maximum(1 - share, 1e-9), 0.0, 1.0))
    if lacking[0] < LEAST_SHARE:
        return None
    steps = np.arange(paths.shape[1])
    shown = excursion.values[(np.arange(len(paths))[:, None] + steps) % excursion.age]
    return np.where((chances[:, None] < lacking) & ~there, shown, paths)


def told_of_excursion(excursion: Excursion) -> str:
    """Return in words where it is, and how long it may stay."""
    return f"it jumped {excursion.age} steps ago to where it stands, and may stay about as long again"
