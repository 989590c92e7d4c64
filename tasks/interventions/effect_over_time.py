"""What acts change on a metric, by their age: learned from the metric's own history, all acts at once.

An outcome says what an act changed within its short window. How long the effect stays, whether it comes late, lingers,
or is another at night, and what two acts in force together do apart, is told by the history as a whole: intervention
analysis (Box and Tiao 1975, doi:10.1080/01621459.1975.10480264) with a Bayesian prior. What acts added is regressed on
a profile of each action over the age of its acts, that may swing with the hour, and on each recent act's own deviation;
what would have been anyway is a daily profile and a first-order autoregression seen through white noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cached_property, lru_cache
from math import inf, pi, sqrt

import numpy as np

from storage.records import BoolArray, FloatArray
from tasks.maintenance import hour_of_day

AGE_EDGES = (0.0, 1 / 6, 1 / 3, 2 / 3, 1.0, 1.5, 2.5, 4.0)
"""Bounds of the ages that are told apart, in durations of the act; those after 1 are for effects that linger."""

AGE_PRIOR_SD = (1.0, 1.0, 1.0, 1.0, 0.5, 0.35, 0.15)
"""How large an effect may be at each age, in standard deviations of the metric: what was declared over fades."""

AGE_SHARED_DURATIONS = 0.5
"""At which distance in age effects have little to do with each other any more, in durations."""

SWING_PRIOR_SD, OWN_PRIOR_SD = 0.5, 0.5
PARTS = 3
"""An action's profile, and what the sine and the cosine of the hour add to it."""

MOST_STEPS = 2_016
MOST_OWN = 12
FEWEST_FREE_STEPS = 60
FREE_RATIO = 0.25
DAY_S = 86_400.0
OUTLIER_SD = 4.0
LASTING_SD = 3.0
"""From how many standard deviations of either level on a metric has moved to another for good, acts or not."""


@dataclass(frozen=True)
class PassingAct:
    """An act on a series whose effect is declared to last `duration_s` from `latency_s` on; an undo ends it.

    How well it works may differ by the hour on the clocks of `zone`.
    """

    series: str
    action_id: str
    action: str
    start: datetime
    duration_s: float
    undone_at: datetime | None = None
    latency_s: float = 0.0
    zone: tzinfo = UTC

    @property
    def works_from(self) -> datetime:
        """Return when its effect is declared to begin: its age counts from then."""
        return self.start + timedelta(seconds=self.latency_s)

    def reaches(self, since: datetime) -> bool:
        """Tell whether an effect of it, lingering included, may be left at a moment."""
        return self.ends_by > since

    @property
    def ends_by(self) -> datetime:
        """Return from when on nothing is left of it, however long it lingers."""
        return min(
            self.works_from + timedelta(seconds=AGE_EDGES[-1] * self.duration_s),
            self.undone_at or datetime.max.replace(tzinfo=self.start.tzinfo),
        )


@dataclass(frozen=True)
class Noise:
    """How a metric moves anyway: deviations keep `kept` of themselves a step later, seen through white noise.

    `smoothed` is the moving-average part of that, `sd` the standard deviation of what one step brings anew.
    """

    kept: float
    smoothed: float
    sd: float

    def whitened(self, values: FloatArray) -> FloatArray:
        """Return what is new in each step of values (n_steps, …), the first as it is."""
        new = values.copy()
        new[1:] -= self.kept * values[:-1]
        # 1 / (1 - xB) is the product of 1 + (xB)^(2^k): a few shifts in place of a loop over the steps.
        weight, shift = self.smoothed, 1
        while weight > 1e-9 and shift < len(new):
            new[shift:] += weight * new[:-shift].copy()
            weight, shift = weight**2, 2 * shift
        return new


@dataclass(frozen=True)
class ActEffects:
    """What is believed of the effects of acts on one series, from a history that ends at `end`.

    `mean` (n_columns,) and `covariance` belong to the columns of `rows`, in units of the metric; `carried` (n_columns,)
    is how much of each column a forecast from that history carries on, of which `kept` is left a step later. `prior` is
    the covariance before any data; `own` are the acts that have a deviation of their own.
    """

    acts: tuple[PassingAct, ...]
    end: datetime
    step_s: float
    mean: FloatArray
    covariance: FloatArray
    carried: FloatArray
    kept: float
    own: tuple[str, ...]
    prior: FloatArray

    def over_life(self, act: PassingAct) -> tuple[float, float, float]:
        """Return the mean change over an act's declared time, its variance, and the variance it had before any data."""
        steps = max(1, round(act.duration_s / self.step_s))
        ends_s = np.asarray(act.works_from.timestamp() + self.step_s * (1 + np.arange(steps)), dtype=np.float64)
        row = self.rows(ends_s, [replace(act, undone_at=None)]).mean(axis=0)
        return float(row @ self.mean), float(row @ self.covariance @ row), float(row @ self.prior @ row)

    def rows(self, ends_s: FloatArray, acts: Sequence[PassingAct] | None = None) -> FloatArray:
        """Return how much of each column acts make up in steps that end at these epoch seconds: (n, n_columns)."""
        return design(ends_s, self.step_s, self.acts if acts is None else acts, self.actions, self.own)

    @cached_property
    def actions(self) -> tuple[str, ...]:
        """Return the actions in the order of their columns."""
        return actions_of(self.acts)

    def changes(self, ends_s: FloatArray, acts: Sequence[PassingAct] | None = None) -> FloatArray:
        """Return by how much acts changed the series in steps that end at these epoch seconds, (n,)."""
        return np.asarray(self.rows(ends_s, acts) @ self.mean)

    def ahead(self, steps: int) -> tuple[FloatArray, FloatArray]:
        """Return what acts will change in the next steps and the error that not knowing it well makes, both (steps,).

        What was taken out of the past and is added again ahead cancels as far as a forecast carries the past on.
        """
        rows = self.rows(self.ends_s(steps))
        apart = rows - self.left(steps)
        variance = np.einsum("ha,ab,hb->h", apart, self.covariance, apart)
        return rows @ self.mean, np.sqrt(np.maximum(0.0, variance))

    def ends_s(self, steps: int, first: int = 0) -> FloatArray:
        """Return when the steps after the history end, in epoch seconds, (steps,), from step `first` on."""
        return np.asarray(self.end.timestamp() + self.step_s * (first + 1 + np.arange(steps)), dtype=np.float64)

    def left(self, steps: int, first: int = 0) -> FloatArray:
        """Return what a forecast carries on of each column in the steps ahead, (steps, n_columns)."""
        return np.outer(self.kept ** (first + np.arange(steps)), self.carried)


def actions_of(acts: Sequence[PassingAct]) -> tuple[str, ...]:
    """Return the actions of some acts, each once."""
    return tuple(dict.fromkeys(act.action for act in acts))


def fit_effects(values: FloatArray, end: datetime, step_s: float, acts: Sequence[PassingAct]) -> ActEffects | None:
    """Learn the effects of acts on one series from its history (n_steps,), NaN where not seen; None without any.

    The acts are those on this series; some may begin after the history ends. Only the newest steps are read.
    """
    values = values[-MOST_STEPS:]
    seen = np.isfinite(values)
    ends_s = end.timestamp() - step_s * np.arange(len(values) - 1, -1, -1.0)
    recent = [act for act in acts if act.ends_by.timestamp() > ends_s[0] - step_s] if len(values) else []
    if not recent or seen.sum() < FEWEST_FREE_STEPS or is_clock(values):
        return None
    own = tuple(act.action_id for act in sorted(recent, key=lambda act: act.start))[-MOST_OWN:]
    actions = actions_of(acts)
    rows = design(ends_s, step_s, recent, actions, own)
    free = free_steps(seen, ends_s, step_s, recent)
    values, is_open = without_shift(values, usual_day(values, ends_s, free), free, round(DAY_S / step_s / 8))
    usual = usual_day(values, ends_s, free)
    scale = float(np.std((values - usual)[free]))
    # An effect may be many times the usual spread: then the acted steps show how large effects are.
    reach = max(scale, float(np.std((values - usual)[seen])))
    if not scale > 1e-9 * (1e-300 + float(np.abs(values[free]).max())):
        return None
    noise = noise_of(np.where(free, values - usual, np.nan), scale)
    prior = prior_precision(len(actions), len(own)) / reach**2
    whole = noise.whitened(rows)
    # Before the first act there is nothing to learn of acts.
    follows = seen & ~is_open & np.append(False, seen[:-1]) & (np.cumsum(rows.any(axis=1)) > 0)
    mean, covariance = np.zeros(rows.shape[1]), np.zeros_like(prior)
    for most_sd in (inf, OUTLIER_SD):
        apart = values - usual - rows @ mean
        new = noise.whitened(without_gaps(apart)) + whole @ mean
        usable = follows & (np.abs(new - whole @ mean) < most_sd * noise.sd)
        chosen = whole[usable]
        covariance = np.asarray(np.linalg.inv(chosen.T @ chosen / noise.sd**2 + prior), dtype=np.float64)
        mean = covariance @ (chosen.T @ new[usable]) / noise.sd**2
        usual = usual_day(values - rows @ mean, ends_s, seen)
    carried = noise.kept * rows[-1] - noise.smoothed * whole[-1]
    before = np.asarray(np.linalg.inv(prior), dtype=np.float64)
    return ActEffects(tuple(acts), end, step_s, mean, covariance, carried, noise.kept, own, before)


def design(
    ends_s: FloatArray, step_s: float, acts: Sequence[PassingAct], actions: Sequence[str], own: Sequence[str]
) -> FloatArray:
    """Return how much of each column acts make up in the steps that end at ascending epoch seconds: (n, n_columns).

    For each action its ages three times (plain, by the sine and by the cosine of the hour), then each of `own`.
    """
    ages = len(AGE_EDGES) - 1
    rows = np.zeros((len(ends_s), len(actions) * PARTS * ages + len(own)))
    places, own_places = {name: n for n, name in enumerate(actions)}, {key: n for n, key in enumerate(own)}
    for act in acts:
        start_s, until_s = act.works_from.timestamp(), act.ends_by.timestamp()
        first, last = np.searchsorted(ends_s, [start_s + 1e-6, until_s + step_s - 1e-6])
        if first >= last:
            continue
        steps = np.arange(first, last)
        begins_s = np.maximum(ends_s[steps] - step_s, start_s)
        share = np.clip((np.minimum(ends_s[steps], until_s) - begins_s) / step_s, 0.0, 1.0)
        age = np.searchsorted(AGE_EDGES, (begins_s - start_s) / act.duration_s + 1e-9, side="right") - 1
        age = np.minimum(age, ages - 1)
        angle = 2 * pi * hour_of_day(start_s, act.zone) / 24
        first_column = places[act.action] * PARTS * ages
        for part, weight in enumerate((1.0, np.sin(angle), np.cos(angle))):
            rows[steps, first_column + part * ages + age] += weight * share
        if act.action_id in own_places:
            held = age < AGE_EDGES.index(1.0)
            rows[steps[held], len(actions) * PARTS * ages + own_places[act.action_id]] += share[held]
    return rows


def prior_precision(n_actions: int, n_own: int) -> FloatArray:
    """Return the inverse of the prior covariance of the columns, in standard deviations of the metric."""
    size = n_actions * PARTS * (len(AGE_EDGES) - 1)
    precision = np.zeros((size + n_own, size + n_own))
    precision[:size, :size] = np.kron(np.eye(n_actions), _profile_precision())
    precision[range(size, size + n_own), range(size, size + n_own)] = OWN_PRIOR_SD**-2
    return precision


@lru_cache(maxsize=1)
def _profile_precision() -> FloatArray:
    middle = (np.array(AGE_EDGES[:-1]) + np.array(AGE_EDGES[1:])) / 2
    alike = np.exp(-np.abs(middle[:, None] - middle[None, :]) / AGE_SHARED_DURATIONS)
    profile = np.linalg.inv(np.outer(AGE_PRIOR_SD, AGE_PRIOR_SD) * alike)
    return np.asarray(np.kron(np.diag([1.0, SWING_PRIOR_SD**-2, SWING_PRIOR_SD**-2]), profile))


def usual_day(values: FloatArray, ends_s: FloatArray, free: BoolArray) -> FloatArray:
    """Return what is usual at the time of day of each step (n,), smoothed over about an hour; one level under two days.

    Where a time of day was never free, all that was seen of it is taken.
    """
    level = np.full(len(values), float(np.median(values[free])))
    step_s = float(ends_s[1] - ends_s[0])
    day = round(DAY_S / step_s)
    if len(values) < 2 * day or day < 4:
        return level
    whole = len(values) // day * day
    folded = np.where(free, values, np.nan)[-whole:].reshape(-1, day)
    anyhow = values[-whole:].reshape(-1, day)
    mean = _mean(folded)
    mean = np.where(np.isfinite(mean), mean, _mean(anyhow))
    mean = np.where(np.isfinite(mean), mean, level[0])
    width = max(1, round(3_600 / step_s))
    around = np.concatenate([mean[-width:], mean, mean[:width]])
    kernel = np.ones(2 * (width // 2) + 1) / (2 * (width // 2) + 1)
    smooth = np.convolve(around, kernel, mode="same")[width : width + day]
    return np.asarray(np.tile(smooth, len(values) // day + 1)[-len(values) :])


def is_clock(values: FloatArray) -> bool:
    """Tell whether values (n,) rise as a clock does: an act may end its run, but lifts or lowers nothing."""
    change = np.diff(values)
    rises = change > 0
    if not rises.any():
        return False
    is_even = np.abs(change[rises] - change[rises].max()) <= 1e-6 * change[rises].max()
    return bool(is_even.mean() > 0.9 and (rises[1:] & rises[:-1]).sum() > 0.5 * rises.sum())


def without_shift(values: FloatArray, usual: FloatArray, free: BoolArray, fewest: int) -> tuple[FloatArray, BoolArray]:
    """Return values (n,) on the level that they came to, and which steps leave open whether that had come already.

    A level that has stood for so many steps, free of acts, is no effect of one. Where none was left for good, values
    are returned as they are, and no step is open.
    """
    is_open, places = np.zeros(len(values), dtype=np.bool_), np.flatnonzero(free)
    apart = (values - usual)[places]
    count, fewest = len(apart), max(fewest, 2)
    if count < 2 * fewest:
        return values, is_open
    before, total = np.arange(fewest, count - fewest + 1), np.cumsum(apart)
    means = total[before - 1] / before, (total[-1] - total[before - 1]) / (count - before)
    split = int(before[np.argmax(np.square(means[1] - means[0]) * before * (count - before))])
    early, late = apart[:split], apart[split:]
    shift = float(np.median(late) - np.median(early))
    if abs(shift) < LASTING_SD * max(float(np.std(early)), float(np.std(late))):
        return values, is_open
    is_open[places[split - 1] + 1 : places[split]] = True
    moved = values.copy()
    moved[: places[split]] += shift
    return moved, is_open


def _mean(folded: FloatArray) -> FloatArray:
    """Return the mean of each column over the rows in which it was seen; NaN where in none."""
    seen = np.isfinite(folded)
    count = seen.sum(axis=0)
    total = np.where(seen, folded, 0.0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def noise_of(apart: FloatArray, scale: float) -> Noise:
    """Return how deviations (n,), NaN where they do not count, move: by their correlation one and some steps later."""
    lag = 6
    variance, near, far = (_covariance(apart, step) for step in (0, 1, lag))
    if not near > 0.05 * variance:
        return Noise(0.0, 0.0, scale)
    kept = float(np.clip(max(far, 1e-6 * near) / near, 1e-6, 1.0)) ** (1 / (lag - 1))
    kept = min(max(kept, 0.05), 0.999)
    moving = min(near / kept, variance)
    white, fresh = max(variance - moving, 0.0), moving * (1 - kept**2)
    if white < 1e-6 * variance:
        return Noise(kept, 0.0, sqrt(max(fresh, 1e-12 * variance)))
    ratio = (fresh + (1 + kept**2) * white) / (kept * white)
    smoothed = (ratio - sqrt(max(ratio**2 - 4, 0.0))) / 2
    return Noise(kept, smoothed, sqrt(kept * white / smoothed))


def _covariance(apart: FloatArray, lag: int) -> float:
    products = apart[lag:] * apart[: len(apart) - lag]
    products = products[np.isfinite(products)]
    return float(products.mean()) if len(products) else 0.0


def free_steps(seen: BoolArray, ends_s: FloatArray, step_s: float, acts: Sequence[PassingAct]) -> BoolArray:
    """Mark the steps (n,) that show what is usual: those farthest from acts, where they are enough; all without any."""
    for times in (AGE_EDGES[-1], AGE_EDGES[-2], 1.0):
        free = seen & ~_in_force(ends_s, step_s, acts, times)
        if free.sum() >= max(FEWEST_FREE_STEPS, FREE_RATIO * seen.sum()):
            return free
    return free if free.sum() >= FEWEST_FREE_STEPS else seen


def _in_force(ends_s: FloatArray, step_s: float, acts: Sequence[PassingAct], times: float) -> BoolArray:
    """Mark the steps (n,) in which an act was within so many times its declared time."""
    marked = np.zeros(len(ends_s), dtype=np.bool_)
    for act in acts:
        start_s = act.works_from.timestamp()
        until_s = min(start_s + times * act.duration_s, act.undone_at.timestamp() if act.undone_at else inf)
        first, last = np.searchsorted(ends_s, [start_s + 1e-6, until_s + step_s - 1e-6])
        marked[first:last] = True
    return marked


def without_gaps(values: FloatArray) -> FloatArray:
    """Return values (n,) with gaps filled by what was seen last, 0 before the first."""
    last = np.maximum.accumulate(np.where(np.isfinite(values), np.arange(len(values)), -1))
    return np.where(last >= 0, values[np.maximum(last, 0)], 0.0)
