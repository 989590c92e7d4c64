"""Rolling-origin evaluation: forecasters side by side on the same past, never looking ahead."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from tasks.forecast.batch import LEVELS, Bools, Floats
from tasks.forecast.forecasters.protocol import Forecaster
from tasks.forecast.verification.scores import (
    breach_scores,
    interval_coverage,
    mase,
    scaled_quantile_loss,
    seasonal_scale,
)
from tasks.reliability import auc

BREACH_LEVEL = 0.95  # quantile of the history taken as the bound, since a recording has no objective
SMALLEST_SCALE = 0.01  # of the range: a history almost without change must not decide the mean


@dataclass(frozen=True)
class Turn:
    """One forecaster at one origin: a score for each of n series, NaN where it gave no forecast."""

    forecaster: str
    origin: int  # how many steps of history it saw
    mase: Floats
    scaled_crps: Floats
    coverage: Floats  # share of steps inside the 90 % interval
    breach_probability: Floats
    breached: Bools
    breach_time_error: Floats  # steps; NaN where no breach happened
    eligible: Bools  # below the bound at the origin: there was a breach to foretell
    duration_s: float
    done: int  # turns finished, of
    total: int


@dataclass(frozen=True)
class ForecasterRow:
    """What the table says of one forecaster over all origins and series."""

    forecaster: str
    forecasts: int
    mase: float
    scaled_crps: float
    coverage: float
    brier: float
    auc: float
    breach_time_error: float  # steps
    ms_per_series: float


def evaluate(
    values: Floats,
    forecasters: Mapping[str, Forecaster],
    *,
    season_lengths: tuple[int, ...],
    horizon: int,
    origins: Iterable[int],
    timer: Callable[[], float],
    seed: int = 0,
) -> Iterator[Turn]:
    """Score every forecaster at every origin, one turn at a time, so that progress can be shown.

    `values` (n, t) with NaN where missing; each origin is a number of steps of history, at most t −
    horizon; `timer` gives seconds. Raises ValueError if no origin leaves a whole horizon to judge.
    """
    usable = sorted({o for o in origins if 0 < o <= values.shape[1] - horizon})
    if not usable:
        raise ValueError(f"no origin leaves {horizon} steps to judge in a history of {values.shape[1]}")
    total, done = len(usable) * len(forecasters), 0
    for origin in usable:
        for name, forecaster in forecasters.items():
            done += 1
            yield _turn(name, forecaster, values, season_lengths, horizon, origin, seed, timer, done, total)


def _turn(
    name: str,
    forecaster: Forecaster,
    values: Floats,
    season_lengths: tuple[int, ...],
    horizon: int,
    origin: int,
    seed: int,
    timer: Callable[[], float],
    done: int,
    total: int,
) -> Turn:
    history, truth = values[:, :origin], values[:, origin : origin + horizon]
    began = timer()
    forecast = forecaster(history, season_lengths=season_lengths, horizon=horizon, levels=LEVELS, seed=seed)
    duration_s = timer() - began
    scale = _scale(history, season_lengths)
    threshold, below = _bound(history)
    probability, breached, late = breach_scores(forecast, truth, threshold, horizon)
    return Turn(
        forecaster=name,
        origin=origin,
        mase=mase(truth, forecast.point, scale),
        scaled_crps=scaled_quantile_loss(truth, forecast.quantiles, LEVELS, scale),
        coverage=np.where(
            np.isnan(forecast.point[:, 0]),
            np.nan,
            interval_coverage(truth, forecast.quantiles[:, :, 0], forecast.quantiles[:, :, -1]),
        ),
        breach_probability=probability,
        breached=breached,
        breach_time_error=late,
        eligible=below & np.isfinite(truth).all(axis=1) & np.isfinite(probability),
        duration_s=duration_s,
        done=done,
        total=total,
    )


def summarise(turns: Iterable[Turn]) -> list[ForecasterRow]:
    """One row a forecaster, means over series and origins, in the order they first appear."""
    grouped: dict[str, list[Turn]] = {}
    for turn in turns:
        grouped.setdefault(turn.forecaster, []).append(turn)
    return [_row(name, group) for name, group in grouped.items()]


def _row(name: str, turns: list[Turn]) -> ForecasterRow:
    eligible = np.concatenate([turn.eligible for turn in turns])
    probability = np.concatenate([turn.breach_probability for turn in turns])[eligible]
    breached = np.concatenate([turn.breached for turn in turns])[eligible]
    late = np.concatenate([turn.breach_time_error for turn in turns])[eligible]
    error = np.concatenate([turn.mase for turn in turns])
    return ForecasterRow(
        forecaster=name,
        forecasts=int(np.isfinite(error).sum()),
        mase=_mean(error),
        scaled_crps=_mean(np.concatenate([turn.scaled_crps for turn in turns])),
        coverage=_mean(np.concatenate([turn.coverage for turn in turns])),
        brier=_mean((probability - breached) ** 2),
        auc=auc(probability, breached) if len(probability) else float("nan"),
        breach_time_error=_mean(late),
        ms_per_series=1e3 * sum(turn.duration_s for turn in turns) / max(len(error), 1),
    )


def _scale(history: Floats, season_lengths: tuple[int, ...]) -> Floats:
    """The MASE divisor, from a day if the history holds two, else from step to step."""
    day = min((m for m in season_lengths if m > 1), default=1)
    season = day if history.shape[1] > 2 * day else 1
    held = np.where(np.isfinite(history), history, np.nan)
    extent = np.nan_to_num(_reduce(np.fmax, held) - _reduce(np.fmin, held))
    return np.maximum(seasonal_scale(history, season), SMALLEST_SCALE * extent)


def _bound(history: Floats) -> tuple[Floats, Bools]:
    """The 95 % quantile of each history and whether its last observation lies at or below it."""
    seen = np.isfinite(history)
    ordered = np.sort(np.where(seen, history, np.inf), axis=1)
    rank = np.maximum(np.ceil(BREACH_LEVEL * seen.sum(axis=1)).astype(np.intp) - 1, 0)
    bound = ordered[np.arange(len(history)), rank]
    newest = history.shape[1] - 1 - seen[:, ::-1].argmax(axis=1)
    return bound, seen.any(axis=1) & (history[np.arange(len(history)), newest] <= bound)


def _reduce(keep: np.ufunc, values: Floats) -> Floats:
    return np.asarray(keep.reduce(values, axis=1))


def _mean(values: Floats) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else float("nan")
