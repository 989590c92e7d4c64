"""Second opinions for series of few steps a day: two autoregressions and past days like today, beside the fleet model.

They err in other ways than the regression on seasonal features does, so that a mixture errs less than each of its parts
(Bates & Granger 1969). How much of them a fleet takes is tuned by a backtest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.forecast.batch import Float32s, Ints
from tasks.forecast.fleet.autoregression import Autoregression, fit_autoregression
from tasks.forecast.fleet.seasonal import Seasonal

LONGEST_SEASON = 48  # steps a day
MOST_DAYS = 2  # ahead; the cost grows with their square
LEAST_WEEKS = 3
OPTIMISM = 0.04  # per share: errors at past origins, without the days like today, are that much too small


def served(arrays: Seasonal) -> bool:
    """Whether histories are long, and days short, enough for them."""
    long_enough = arrays.week is not None and arrays.values.shape[1] >= LEAST_WEEKS * arrays.week
    return long_enough and arrays.season <= LONGEST_SEASON


def lag_sets(season: int, week: int) -> tuple[tuple[int, ...], ...]:
    """One model looks closely at today and one week back, the other at the shape of the days around two weeks."""
    around_day = (season - 1, season, season + 1, season + 2)
    near = (1, 2, 3, 4, *around_day, 2 * season, 2 * season + 1, week - 1, week, week + 1)
    week_and_day = (*range(week - 1, week + 3), *range(week + season - 1, week + season + 3))
    far = (1, 2, 3, *around_day, *week_and_day, *range(2 * week - 1, 2 * week + 2))
    return tuple(tuple(sorted(set(lags))) for lags in (near, far))


@dataclass(frozen=True)
class EnsembleMembers:
    """Courses of each opinion in path units: all of them ahead, the autoregressions' also from past origins.

    They go `h` steps far, which may be fewer than those of the courses that they are mixed into.
    """

    ahead: tuple[Float32s, ...]  # (n, h)
    past: tuple[Float32s, ...]  # (n, o, h), from the latest origins only, where all lags are known

    def mixed_ahead(self, course: Float32s, share: float) -> Float32s:
        """The course (n, horizon) with a share of the opinions."""
        each, result = np.float32(share / len(self.ahead)), course.copy()
        part = result[:, : self.ahead[0].shape[1]]
        part *= np.float32(1 - share)
        for other in self.ahead:
            part += each * other
        return result

    def mixed_past(self, courses: Float32s, share: float) -> Float32s:
        """Courses (n, o, horizon) from past origins with the same shares, of those opinions that had one there.

        The days like today are left out: a hundred searches for them would cost more than all the rest.
        """
        each, result = np.float32(share / len(self.ahead)), courses.copy()
        part = result[:, :, : self.ahead[0].shape[1]]
        weight = np.full(courses.shape[1], 1 - share, dtype=np.float32)
        part *= np.float32(1 - share)
        for other in self.past:
            late = len(weight) - other.shape[1]
            part[:, late:] += each * other
            weight[late:] += each
        part /= weight[:, None]
        return result


def ensemble_members(arrays: Seasonal, origins: Ints, horizon: int) -> EnsembleMembers:
    """Ask all of them about the first two days after the last step, and after `origins` (ascending)."""
    season, week, values = arrays.season, arrays.week or arrays.season, arrays.values
    steps = min(horizon, MOST_DAYS * season)
    models = [fit_autoregression(values, lags) for lags in lag_sets(season, week)]
    return EnsembleMembers(
        (*(model.ahead(steps) for model in models), analog_course(values, season, week, steps)),
        tuple(_past(model, origins, steps) for model in models),
    )


def _past(model: Autoregression, origins: Ints, horizon: int) -> Float32s:
    return model.past(origins[np.searchsorted(origins, model.first_origin) :], horizon)


LEVEL_STEPS = 3
SHARPNESS = 4.0  # a day twice as far away, in squares, counts a sixteenth
SAME_WEEKDAY = 0.5  # of its distance, for a day whole weeks ago
SMALL_DISTANCE = 1e-4
LARGEST_VALUE = 50.0


def analog_course(values: Float32s, season: int, week: int, horizon: int) -> Float32s:
    """Course (n, horizon) after the last step of `values` (n, t): what followed the same hour of past days.

    Days are compared over one season, each relative to its last three steps, and what followed is laid on the last
    three of today.
    """
    values = np.clip(values, -LARGEST_VALUE, LARGEST_VALUE)
    t = values.shape[1]
    ends = np.arange(t - season * -(-horizon // season), season + LEVEL_STEPS, -season)
    ago = t - ends
    days = np.stack([values[:, end - season : end + horizon] - _level(values, end) for end in ends.tolist()], axis=1)
    today = values[:, None, t - season :] - _level(values, t)[:, None]
    distance = ((days[:, :, :season] - today) ** 2).mean(axis=2)
    distance *= np.where(ago % week == 0, SAME_WEEKDAY, 1.0).astype(np.float32)
    distance += np.float32(SMALL_DISTANCE)
    weight = (distance / distance.min(axis=1, keepdims=True)) ** -SHARPNESS
    weight /= weight.sum(axis=1, keepdims=True)
    return np.asarray((weight[:, None] @ days[:, :, season:])[:, 0] + _level(values, t))


def _level(values: Float32s, end: int) -> Float32s:
    return np.asarray(values[:, end - LEVEL_STEPS : end].mean(axis=1, keepdims=True))
