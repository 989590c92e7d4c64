"""Forecasts for histories too short to show a season, or that show nothing at all.

What the next steps are depends on how rough a series is: the mean squared change from step to step over twice the
variance (von Neumann 1941), 0 for a series that drifts and 1 for one whose steps know nothing of each other. A drifting
one stays where it is, a rough one returns to its median; between, the median of the last steps holds. Where these lie,
and the growth of errors of drifting series, was measured on one half of server and virtual machines, microservices and
nodes, cut to 30 to 340 steps of a day of 288, and confirmed on the other. Errors of drifting series grow like the 0.6th
power of the steps ahead, the more so the less of a day was seen; and series differ so much in what comes next that
errors pooled over them have the tails of a Student t with two degrees of freedom. What a rough series did beside its
median it does again, bursts and all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tasks.forecast.batch import Bools, Float32s, Floats, Ints, median_of, path_quantiles
from tasks.forecast.fleet import method_by_history, untaught
from tasks.forecast.fleet.error_paths import phase_scale
from tasks.forecast.fleet.fit import FleetState
from tasks.forecast.fleet.prepare import Real, Scaled, network_median
from tasks.forecast.fleet.regression import by_step
from tasks.forecast.fleet.seasonal import FEATURES, predict, seasonal_arrays
from tasks.forecast.fleet.untaught import day_likeness, inflation, student_stretch

RECENT_STEPS = 6
LAST_HOLDS, RECENT_HOLDS = (0.1, 0.3), (0.4, 0.7)  # roughness up to which, and from which no more
NEXT_SHARE, NEXT_STEPS = 0.25, 3.0  # of the level that goes on for a few steps however rough a series is
FIRST_STEP_ERROR = 0.6  # in units of √(standard deviation · mean change)
GROWTH_POWER = 0.6
SEEN_DAY_STEPS = 7.0  # steps of growth left once a whole day was seen
LEVEL_REACH = 0.17  # of a day: how long the last level holds once a whole day was seen
OWN_STEPS = 6  # lead times at which a series' own misses are looked at
OWN_WINDOWS = 14.0  # windows side by side, over a whole day, that count as much as what is typical
MISSED_QUANTILE = 0.9
LARGEST_RATIO = 1.5  # as a logarithm
WALKS_AWAY = (0.5, 0.75)  # median miss over the 0.9 quantile of its size: of a random walk it hardly passes 0.45
STEADY_SHARE = 0.5  # of its pace, that a way had at shorter leads as well
ROUGH_DRIFT = 0.035  # of the drift of a smooth series that a rough one has, too
DAILY_GROWTH = 0.7  # of what a rough series did, for each day ahead, in quadrature: no two days are alike
HOLDING_POWER = 1.5  # of the share of the level of late, in the width: what mostly returns does not go far
FLEET_POINTS = 25.0  # points of a series that count as much as what the fleet says of its roughness


def short_forecast(scaled: Scaled, start: Ints, state: FleetState) -> tuple[Float32s, Float32s]:
    """Sample paths (n, s, h) and quantiles (n, h, q), in path units, of series that count from `start`."""
    return _of_level(scaled, start, state).read(state.levels)


@dataclass(frozen=True)
class _Course:
    """Where n series go, (n, 1, h), and what they do beside it, (n, s, h): errors of either sign, and as it was."""

    middle: Float32s
    errors: Float32s
    beside: Float32s

    def mixed(self, other: _Course, share: Float32s) -> _Course:
        """A share (n,) of this and the rest of another, as wide as either though they are independent."""
        mine = share[:, None, None]
        rest = 1 - mine
        wider = 1 / np.sqrt(mine**2 + rest**2)
        return _Course(
            mine * self.middle + rest * other.middle,
            wider * (mine * self.errors + rest * other.errors),
            wider * (mine * self.beside + rest * other.beside),
        )

    def read(self, levels: tuple[float, ...]) -> tuple[Float32s, Float32s]:
        """Paths (n, s, h) and quantiles (n, h, q), whose median is the middle."""
        seen = self.middle + self.beside
        paths = seen + self.errors
        quantiles = path_quantiles(np.concatenate([paths, seen - self.errors], axis=1), levels)
        off = self.middle[:, 0] - median_of(quantiles.astype(float), levels).astype(np.float32)
        return paths + off[:, None], quantiles + off[:, :, None]


def _of_level(scaled: Scaled, start: Ints, state: FleetState) -> _Course:
    level = _Level.of(scaled.raw.astype(float), start).among(state.roughness)
    day = level.day(state.season)
    drift = level.drift(day, state.horizon).astype(np.float32)
    growth = np.hypot(1, DAILY_GROWTH * np.arange(1, state.horizon + 1) / day[:, None, None]).astype(np.float32)
    errors, beside = drift[:, None] * _unit_errors(state), growth * level.beside(state.path_count, state.horizon)
    width, shift = _own_misses(level, day, errors, beside)
    middle = level.ahead(day, state.horizon).astype(np.float32) + shift
    return _Course(middle[:, None], width[:, None] * errors, width[:, None] * beside)


@dataclass(frozen=True)
class _Level:
    """Where each of n series stands and what it returns to; `values` (n, t) count where `inside`."""

    values: Floats
    inside: Bools
    count: Ints
    median: Floats
    roughness: Floats

    @classmethod
    def of(cls, values: Floats, start: Ints) -> _Level:
        inside = np.arange(values.shape[1]) >= start[:, None]
        count = inside.sum(axis=1)
        ordered, rows = np.sort(np.where(inside, values, np.inf), axis=1), np.arange(len(values))
        median = (ordered[rows, (count - 1) // 2] + ordered[rows, count // 2]) / 2
        return cls(values, inside, count, median, untaught.roughness(values, inside))

    def among(self, fleet: float) -> _Level:
        """The same with a roughness drawn toward that of the fleet, the more so the less was seen."""
        rough = (self.count * self.roughness + FLEET_POINTS * fleet) / (self.count + FLEET_POINTS)
        return replace(self, roughness=rough)

    def day(self, season: int) -> Ints:
        """A day (n,) in steps; four times what was seen where there is none."""
        return np.maximum(season, self.count) if season > 1 else 4 * self.count

    @property
    def holds(self) -> Floats:
        """How much of the level of late goes on (n,)."""
        return _falling(self.roughness, *RECENT_HOLDS)

    def ahead(self, day: Ints, horizon: int) -> Floats:
        """The course (n, h): from the level of late to the median."""
        away = _late(self.values[:, -RECENT_STEPS:], self.roughness) - self.median[:, None]
        return np.asarray(self.median[:, None] + away * self.kept(day, np.arange(1, horizon + 1)))

    def kept(self, day: Ints, steps: Ints) -> Floats:
        """How much of the level of late is left (n, k) after so many steps."""
        reach = LEVEL_REACH * day * np.sqrt(day / self.count)
        share = self.holds[:, None] * np.exp(-((steps / reach[:, None]) ** 2))
        return np.asarray(share + (1 - share) * NEXT_SHARE * np.exp(-steps / NEXT_STEPS))

    def missed(self, day: Ints, steps: Ints) -> tuple[Floats, Floats]:
        """How far off this course lay so many steps ahead, from every step on: mostly, and at the median (n, k)."""
        beside = (self.values - self.median[:, None]).astype(np.float32)
        late, kept = _late(beside, self.roughness), self.kept(day, steps).astype(np.float32)
        sizes, middles = [], []
        for ahead, share in zip(steps.tolist(), kept.T, strict=True):
            off = beside[:, RECENT_STEPS - 1 + ahead :] - late[:, :-ahead] * share[:, None]
            inside = self.inside[:, : off.shape[1]]
            off, count = np.where(inside, off, np.float32(np.inf)), inside.sum(axis=1)
            sizes.append(_at_quantile(np.abs(off), count, MISSED_QUANTILE))
            middles.append(_at_quantile(off, count, 0.5))
        return np.stack(sizes, axis=1), np.stack(middles, axis=1)

    def drift(self, day: Ints, horizon: int) -> Floats:
        """Width (n, h) of what is not known of where the level goes."""
        growth = _error_growth(np.arange(1, horizon + 1), day[:, None], self.count[:, None])
        share = self.holds**HOLDING_POWER + (1 - self.holds) * ROUGH_DRIFT
        return np.asarray((share * _typical_error(self.values, self.inside))[:, None] * growth)

    def beside(self, paths: int, horizon: int) -> Float32s:
        """What each series did beside its median (n, s, h), from evenly spread moments on, as far as it is rough."""
        first = self.values.shape[1] - self.count
        begin = (np.arange(paths) * self.count[:, None]) // paths
        ahead = begin[:, :, None] + np.arange(horizon)
        steps = first[:, None, None] + ahead % self.count[:, None, None]
        beside = np.take_along_axis(self.values - self.median[:, None], steps.reshape(len(first), -1), axis=1)
        return np.asarray(((1 - self.holds)[:, None] * beside).astype(np.float32).reshape(steps.shape))


def _own_misses(level: _Level, day: Ints, errors: Float32s, beside: Float32s) -> tuple[Float32s, Float32s]:
    """How much wider (n, h) a series missed than by `errors` and what is `beside` (n, s, h), and to which side (n, h).

    What it missed itself counts the more, the more windows side by side its history holds; beyond them the last ratio
    goes on. Who missed to one side further than a random walk would is under way, and goes on; that narrows nothing.
    """
    horizon = errors.shape[2]
    steps = np.unique(np.geomspace(1, horizon, OWN_STEPS).astype(np.intp))
    steps = steps[steps <= (level.values.shape[1] - RECENT_STEPS) // 2]
    if not len(steps):
        return np.ones((len(errors), horizon), np.float32), np.zeros((len(errors), horizon), np.float32)
    missed, middle = level.missed(day, steps)
    expected = _expected(errors[:, :, steps - 1], beside[:, :, steps - 1])
    windows = np.maximum((level.count[:, None] - RECENT_STEPS) / steps - 1, 0)
    known = (windows > 0) & (missed > 0) & (expected > 0) & np.isfinite(missed)
    trust = windows / (windows + OWN_WINDOWS * np.sqrt(day / level.count)[:, None])
    logs = trust * np.log(np.where(known, missed, 1) / np.where(known, expected, 1))
    one_sided = np.where(known, np.abs(middle) / np.where(known, missed, 1), 0.0)
    logs = np.clip(np.where(logs < 0, logs * np.clip(1 - one_sided, 0, 1), logs), -LARGEST_RATIO, LARGEST_RATIO)
    way = np.where(known, middle, 0.0)
    shift = way * (1 - _falling(one_sided, *WALKS_AWAY)) * _steady(way / steps)
    return np.exp(_between(logs, steps, horizon)).astype(np.float32), _between(shift, steps, horizon)


def _steady(rates: Floats) -> Floats:
    """How far misses a step (n, k) are those of a way that goes on, 0 to 1: one jump shows at long leads alone."""
    before = np.concatenate([rates[:, :1], rates[:, :-1]], axis=1)
    return np.clip(before / np.where(rates != 0, STEADY_SHARE * rates, np.inf), 0, 1)


def _between(values: Floats, steps: Ints, horizon: int) -> Float32s:
    """Values (n, h) at each step ahead from those (n, k) at some `steps`, along the logarithm of the step."""
    between = np.interp(np.log(np.arange(1, horizon + 1)), np.log(steps), np.arange(len(steps)))
    low = between.astype(np.intp)
    high, part = np.minimum(low + 1, len(steps) - 1), between - low
    return np.asarray((values[:, low] * (1 - part) + values[:, high] * part).astype(np.float32))


def _expected(errors: Float32s, beside: Float32s) -> Floats:
    """The 0.9 quantile (n, k) of the size of errors of either sign and what is beside, both (n, s, k)."""
    both = np.abs(np.concatenate([beside + errors, beside - errors], axis=1))
    place = int(MISSED_QUANTILE * (both.shape[1] - 1))
    return np.asarray(np.partition(both, place, axis=1)[:, place].astype(float))


def _at_quantile(values: Float32s, counts: Ints, quantile: float) -> Floats:
    """A quantile (n,) of the `counts` smallest in each row."""
    places = (quantile * np.maximum(counts - 1, 0)).astype(np.intp)
    return np.partition(values, np.unique(places), axis=1)[np.arange(len(values)), places].astype(float)


def _falling(values: Floats, whole: float, none: float) -> Floats:
    """1 up to `whole`, 0 from `none` on, linear between."""
    return np.clip((none - values) / (none - whole), 0, 1)


def constant_forecast(scaled: Scaled, start: Ints, state: FleetState) -> tuple[Float32s, Float32s]:
    """The last value for ever: no path leaves it, and quantiles have a narrow width, none where it is 0."""
    width = np.where(scaled.centre != 0, np.float32(1), np.float32(0)).astype(np.float32)
    offsets = np.sort(np.random.default_rng(state.seed).standard_normal(state.path_count)).astype(np.float32)
    offsets -= np.median(offsets)
    around = np.repeat((width[:, None] * offsets)[:, :, None], state.horizon, axis=2)
    return np.zeros_like(around), path_quantiles(around, state.levels)


def _late(values: NDArray[Real], roughness: Floats) -> NDArray[Real]:
    """The level of late (n, o) at the end of each window of six steps: the last value, or the median of a rough one."""
    last = _falling(roughness, *LAST_HOLDS)[:, None].astype(values.dtype)
    reach = min(RECENT_STEPS, values.shape[1])
    count = values.shape[1] - reach + 1
    middle = network_median([values[:, begin : begin + count] for begin in range(reach)])
    return np.asarray(last * values[:, reach - 1 :] + (1 - last) * middle)


def _typical_error(values: Floats, inside: Bools) -> Floats:
    """Geometric mean of the standard deviation and the mean change from step to step."""
    count = inside.sum(axis=1)
    mean = (values * inside).sum(axis=1) / count
    deviation = np.sqrt((((values - mean[:, None]) * inside) ** 2).sum(axis=1) / count)
    change = (np.abs(np.diff(values, axis=1)) * inside[:, :-1]).sum(axis=1) / np.maximum(count - 1, 1)
    return np.asarray(np.sqrt(deviation * change))


def _error_growth(ahead: Ints, day: Ints, count: Ints) -> Floats:
    """Width of the error at each step: it grows till the other side of the day, less where more was seen."""
    away = np.maximum(day / np.pi * np.abs(np.sin(np.pi * ahead / day)), 1.0)
    left = SEEN_DAY_STEPS * (day / count) ** 1.5
    return np.asarray(FIRST_STEP_ERROR * (1 / (1 / away + 1 / left)) ** GROWTH_POWER)


def _unit_errors(state: FleetState) -> Float32s:
    """Error paths (s, h) shared by all series: part drifting, part new at each step, of unit width at every step.

    Each path is stretched by its own factor, at evenly spread probabilities, which gives the pool heavy tails.
    """
    rng = np.random.default_rng(state.seed)
    fresh = rng.standard_normal((2, state.path_count, state.horizon))
    drift = np.cumsum(fresh[0], axis=1) / np.sqrt(np.arange(1, state.horizon + 1))
    stretch = student_stretch(state.path_count, rng)
    return np.asarray(((0.9 * drift + 0.436 * fresh[1]) * stretch[:, None]).astype(np.float32))


PHASE_POWER = np.float32(0.25)  # of the spread of phases: two days tell little of it
PHASE_CYCLES = 2  # fewer do not show how much each phase differs from the day before
WHOLE_TRUST = 0.85  # what is left is that levels differ from day to day, which the shape allows for
FLEET_HOURS = 8.0  # hours of a series that are seen twice count as much as what the fleet says of its days

ALIKE_POWER = 12  # of the likeness of days


def pooled_forecast(scaled: Scaled, start: Ints, state: FleetState) -> tuple[Float32s, Float32s]:
    """Sample paths (n, s, h) and quantiles (n, h, q), in path units.

    The shape of the day counts as far as days were alike. What one day tells of the next, r, several tell better
    (Spearman 1910, Brown 1910): n·r / (1 + (n − 1)·r). The rest is left to the level, and nothing where the whole fleet
    repeats its days.
    """
    own, hours = day_likeness(scaled, start, state.season)
    alike = np.clip((hours * own + FLEET_HOURS * state.day_likeness) / (hours + FLEET_HOURS), 0, 1)
    cycles = scaled.model.shape[1] / state.season
    trust = np.minimum(cycles * alike / (1 + (cycles - 1) * alike) / WHOLE_TRUST, 1).astype(np.float32)
    trust += (1 - trust) * np.float32(_surely_alike(state))
    return _of_day(scaled, state).mixed(_of_level(scaled, start, state), trust).read(state.levels)


def _surely_alike(state: FleetState) -> float:
    """From 0 to 1, and near 1 only for a fleet in which one day is nearly as the other."""
    return max(state.day_likeness, 0.0) ** ALIKE_POWER


def _of_day(scaled: Scaled, state: FleetState) -> _Course:
    t = scaled.model.shape[1]
    arrays = seasonal_arrays(scaled.model, state.season, state.week, state.horizon)
    cycles = t / state.season
    # With one cycle base and naive are the same, so what long histories teach does not hold yet.
    maturity = min(max((cycles - 1) / (method_by_history.SEASONAL_CYCLES - 1), 0.0), 1.0)
    young = untaught.coefficients(state.season, state.horizon, weekly=True)[:, : arrays.feature_count]
    naive = FEATURES.index("naive")
    young[:, naive] += (1 - young[:, naive]) * _surely_alike(state)  # then yesterday tells more than the mean of all
    learned = state.coefficients[:, : arrays.feature_count]
    steps = by_step((young + maturity * (learned - young))[None], state.horizon)
    predicted = predict(arrays, np.array([t - 1]), steps)
    errors = state.library[None] * np.float32(inflation(cycles))
    if cycles >= PHASE_CYCLES:
        phases = phase_scale(scaled.raw, state.season)
        phases = (phases / phases.mean(axis=1, keepdims=True)) ** PHASE_POWER
        errors = errors * phases[:, None, np.arange(state.horizon) % state.season]
    return _Course(predicted, errors, np.zeros_like(predicted))
