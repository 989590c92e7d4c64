"""Series that have just jumped far off their usual level are forecast to stay there about as long as they have.

A model of means lets them fall back at once, since most of the past was quiet, and a jump counts as a shift of level
only after hours. How long this one lasts is told by those before it that lasted as long (their survival, as Kaplan and
Meier 1958 count it), and where there were few by Lindy's law: what has stood for a while stands as long again with an
even chance. On recorded series such chances came true as often as they say.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from storage.records import BoolArray, FloatArray
from tasks.forecast.batch import Floats, Ints
from tasks.forecast.fleet.level_shifts import run_lengths
from tasks.forecast.fleet.prepare import PLAUSIBLE_MAGNITUDE, smoothed_by_clock
from tasks.interventions.jumps import is_jump

FAR_SD = 2.0
FEWEST_STEPS, MOST_OF_DAY = 2, 1 / 8
"""Of an excursion: one value is a spike, and what has stood for hours is a shift of level."""

PRIOR_COUNT = 2.0
"""How many excursions that lasted as long Lindy's law counts for."""

CLOCK_STEPS = 2
LEAST_SHARE = 0.05
"""Of the paths, that would have to be moved: fewer are left as they are."""

BLOCK_ROWS = 64

FEWEST_DAYS, CLOCK_SHARE = 3, 1 / 96
"""Of a course of the day: the days it is the median of, and the part of a day over which it is smoothed."""


@dataclass(frozen=True)
class Excursion:
    """Where one series has stood for `age` steps: `values` there, and the chance (h,) that it still does, step by step.

    `middle` lies half-way from its usual level, above it where `side` is 1, below where it is -1; both are beyond
    `course` (h,), what the time of day makes of the steps to come.
    """

    values: FloatArray
    survival: FloatArray
    middle: float
    side: float
    course: FloatArray

    @property
    def age(self) -> int:
        """Return for how many steps it has stood there."""
        return len(self.values)

    def is_there(self, values: Floats) -> BoolArray:
        """Tell which values lie on its side of the middle."""
        return np.asarray(self.side * (values - self.course - self.middle) >= 0)


def find_excursions(values: Floats, season: int, horizon: int) -> dict[int, Excursion]:
    """Return by row the excursions that series (n, t), NaN where missing, are on; `season` is a day in steps.

    They are off the usual level of all times, or of this time of day.
    """
    if values.shape[1] <= season:
        return {}
    level = np.zeros(horizon)
    found = {row: _excursion(values[row], season, level) for row in _far_off(values).tolist()}
    if values.shape[1] >= FEWEST_DAYS * season:
        by_clock = [row for row in _far_off(values, season).tolist() if found.get(row) is None]
        found |= {row: _excursion_by_clock(values[row], season, horizon) for row in by_clock}
    return {row: each for row, each in found.items() if each is not None}


def _far_off(values: Floats, since: int = 0) -> Ints:
    """Return at a glance the rows whose newest values, less those `since` steps before, lie farther off than usually.

    So many rows at once as fit into a processor's cache.
    """
    blocks = range(0, max(1, len(values)), BLOCK_ROWS)
    return np.concatenate([first + _far_off_in(values[first : first + BLOCK_ROWS], since) for first in blocks])


def _far_off_in(values: Floats, since: int) -> Ints:
    with np.errstate(invalid="ignore"):
        moved = values[:, since:] - values[:, :-since] if since else values
        seen = np.abs(moved) <= PLAUSIBLE_MAGNITUDE
    filled, count = np.where(seen, moved, 0.0), np.maximum(seen.sum(axis=1), 1)
    mean = filled.sum(axis=1) / count
    off = np.where(seen, filled - mean[:, None], 0.0)
    far = np.abs(off[:, -FEWEST_STEPS:]).min(axis=1)
    return np.flatnonzero(far * far * count > np.einsum("ij,ij->i", off, off))


def _excursion_by_clock(values: FloatArray, season: int, horizon: int) -> Excursion | None:
    """Return the excursion from the course of the day, the median of all whole days that end with the newest value."""
    whole = values[len(values) % season :].reshape(-1, season)
    if not (np.abs(whole) <= PLAUSIBLE_MAGNITUDE).all():
        return None
    course = smoothed_by_clock(np.median(whole, axis=0), round(season * CLOCK_SHARE / 2))
    return _excursion((whole - course).ravel(), season, np.resize(course, horizon))


def _excursion(values: FloatArray, season: int, course: FloatArray) -> Excursion | None:
    """Return the excursion that values (n,), beyond `course` (h,) where one is given, are on."""
    seen = values[np.abs(values) <= PLAUSIBLE_MAGNITUDE]
    usual, sd = float(np.median(seen)), float(np.std(seen))
    size = float(np.median(values[-FEWEST_STEPS:])) - usual
    if not abs(size) > FAR_SD * sd > 0:
        return None
    there = (values - usual) / size >= 1 / 2
    # One value nearer to the usual level is noise.
    there[1:-1] |= there[:-2] & there[2:]
    away = np.flatnonzero(~there)
    begun = int(away[-1]) + 1 if len(away) else 0
    age = len(values) - begun
    if not FEWEST_STEPS <= age <= MOST_OF_DAY * season:
        return None
    if not is_jump(values, begun, float(np.median(values[begun:])) - usual):
        return None
    before = begun - season
    if before >= CLOCK_STEPS and there[before - CLOCK_STEPS : before + CLOCK_STEPS + 1].any():
        return None
    lengths, ahead = run_lengths(there[:begun]), np.arange(1, len(course) + 1)
    longer = (lengths[:, None] >= age + ahead).sum(axis=0) + PRIOR_COUNT * age / (age + ahead)
    survival = longer / ((lengths >= age).sum() + PRIOR_COUNT)
    return Excursion(values[begun:], survival, usual + size / 2, float(np.sign(size)), course)


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
    return np.where((chances[:, None] < lacking) & ~there, shown + excursion.course, paths)


def told_of_excursion(excursion: Excursion) -> str:
    """Return in words where it is, and how long it may stay."""
    return f"it jumped {excursion.age} steps ago to where it stands, and may stay about as long again"
