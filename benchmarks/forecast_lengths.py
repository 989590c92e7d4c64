"""One table of all sets at all lengths of history: the fleet beside trivial rules and, if asked for, slow peers.

A fleet that is cut to its last steps is one that began to be watched that long ago. All is judged on what followed the
whole history, in units of the change from one day to the next over all of it, so that lengths can be compared.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.forecast_sets import SHAPES, Floats, HistoryWindows, load
from tasks.forecast import LEVELS, ForecastBatch, forecast_batch
from tasks.forecast.forecasters import get
from tasks.forecast.verification.scores import crossing, mase, quantile_loss, seasonal_scale

SETS = tuple(SHAPES)
LENGTHS = (30, 40, 100, 240, 400, 540, 830)
QUICK_LENGTHS, QUICK_EVERY = (40, 400), 3
LONG_FROM = 830  # steps of history; a fleet that is younger is asked for 48 steps ahead
YOUNG_HORIZON = 48
SHORT_STEPS = 36
GROWN_DAYS = 4.0
GROWN_COVERAGE, YOUNG_COVERAGE = (0.88, 0.92), (0.86, 0.94)
WORSE_THAN_TRIVIAL = 1.03
SAME = 1e-6  # of a scale or a value: closer ones are the same
PEERS = {  # darts takes the automatic ones from statsforecast, which is none of foreact's own libraries
    "ETS": ("AutoETS", "ExponentialSmoothing"),
    "Theta": ("AutoTheta", "Theta"),
}
PEER_SERIES, LONGEST_PEER_SEASON = 4, 24
YOUNG_SETS = ("azmax5m", "azper5m", "petshop5m", "planetlab_1d")
YOUNG_BARS = {400: (0.863, 0.717), 540: (0.853, 0.707), 830: (0.842, 0.714)}  # MASE and sCRPS, geometric means
LONG_BRIER_BAR = 0.194  # mean over the whole sets
BARS = {  # of the whole history: MASE, Brier short, Brier long
    "ops5m": (1.23, None, 0.178),
    "sparse5m": (None, 0.14, 0.10),
}
Rule = Callable[[HistoryWindows], Floats]


def _last(windows: HistoryWindows) -> Floats:
    return np.broadcast_to(windows.history[:, -1:], windows.future.shape)


def _mean(windows: HistoryWindows) -> Floats:
    return np.broadcast_to(windows.history.mean(axis=1, keepdims=True), windows.future.shape)


def _median(windows: HistoryWindows) -> Floats:
    return np.broadcast_to(np.median(windows.history, axis=1)[:, None], windows.future.shape)


def _seasonal_naive(windows: HistoryWindows) -> Floats:
    """The last day again; the last value where there is none."""
    t, season = windows.history.shape[1], windows.seasons[0]
    if t < season:
        return _last(windows)
    return windows.history[:, t - season + np.arange(windows.horizon) % season]


TRIVIAL: dict[str, Rule] = {"last": _last, "mean": _mean, "median": _median, "naive": _seasonal_naive}


def scale_of(windows: HistoryWindows) -> Floats:
    """Mean change from one day to the next, or from step to step where there is no day, at least 1 % of the extent."""
    t, season = windows.history.shape[1], windows.seasons[0]
    extent = windows.history.max(axis=1) - windows.history.min(axis=1)
    return np.maximum(seasonal_scale(windows.history, season if t > season else 1), 0.01 * extent)


@dataclass(frozen=True)
class LengthScore:
    """How the fleet fared on one set at one length, beside others' MASE by name."""

    name: str
    steps: int
    is_whole: bool
    horizon: int
    days: float
    mase: float
    scrps: float
    covered: float
    brier_short: float
    brier_long: float
    others: dict[str, float]
    seconds: float

    @property
    def to_best_trivial(self) -> float:
        return self.mase / min(self.others[rule] for rule in TRIVIAL)

    @property
    def coverage_bar(self) -> tuple[float, float]:
        return GROWN_COVERAGE if self.days >= GROWN_DAYS else YOUNG_COVERAGE


def cuts(windows: HistoryWindows, lengths: tuple[int, ...]) -> Iterator[HistoryWindows]:
    """The windows cut to each of the lengths that their history exceeds, and whole."""
    t = windows.history.shape[1]
    for steps in lengths:
        if steps < t:
            yield windows.cut(steps, windows.horizon if steps >= LONG_FROM else min(YOUNG_HORIZON, windows.horizon))
    yield windows


def brier(windows: HistoryWindows, forecast: ForecastBatch, level: float, within: int) -> float:
    """Brier score for crossing a quantile of the history, of series not above it at the origin."""
    threshold = np.quantile(windows.history, level, axis=1)
    below = windows.history[:, -1] <= threshold
    probability, _ = forecast.breach(upper=threshold, within=within)
    happened, _ = crossing(windows.future, threshold, within)
    return float(np.nanmean(((probability - happened) ** 2)[below]))


def score(windows: HistoryWindows, scale: Floats, is_whole: bool, peers: bool) -> LengthScore:
    """Forecast as a fleet that learned from these windows alone."""
    began = time.process_time()
    forecast = forecast_batch(windows.history, season_lengths=windows.seasons, horizon=windows.horizon)
    seconds = time.process_time() - began
    loss = quantile_loss(windows.future, forecast.quantiles, LEVELS).mean(axis=(1, 2))
    covered = coverage(windows.future, forecast)
    moving = scale > 0
    others = {name: _mean_mase(windows.future, rule(windows), scale) for name, rule in TRIVIAL.items()}
    return LengthScore(
        name=f"{windows.name}{' (synthetic)' if windows.synthetic else ''}",
        steps=windows.history.shape[1],
        is_whole=is_whole,
        horizon=windows.horizon,
        days=windows.history.shape[1] / windows.seasons[0],
        mase=_mean_mase(windows.future, forecast.point, scale),
        scrps=float((loss[moving] / scale[moving]).mean()),
        covered=float(covered.mean()),
        brier_short=brier(windows, forecast, 0.95, min(SHORT_STEPS, windows.horizon)),
        brier_long=brier(windows, forecast, 0.99, windows.horizon),
        others=others | (peer_scores(windows, forecast, scale) if peers else {}),
        seconds=seconds,
    )


def coverage(truth: Floats, forecast: ForecastBatch) -> Floats:
    """How much of each true value (n, h) the 90 % interval holds: 1, 0, or a part of what lies on an end of it.

    A series that rests has most of its probability on one value, often on an end: all of it would count as covered
    however good the forecast is; of `sparse5m` the quantiles of the future itself hold .98. So a value on an end counts
    as far as the probability of exactly that value lies inside (the randomised transform of Czado, Gneiting & Held
    2009).
    """
    low, high = forecast.quantiles[:, :, 0], forecast.quantiles[:, :, -1]
    covered = ((truth >= low) & (truth <= high)).astype(float)
    near = SAME * np.maximum(forecast.scale[:, None], np.abs(truth))
    on_end = (np.abs(truth - low) <= near) | (np.abs(truth - high) <= near)
    for row in np.flatnonzero(on_end.any(axis=1)).tolist():
        paths = forecast.paths_of(row)
        below, up_to = ((paths <= truth[row] + side * near[row]).mean(axis=0) for side in (-1, 1))
        inside = np.minimum(up_to, LEVELS[-1]) - np.maximum(below, LEVELS[0])
        has_mass = on_end[row] & (up_to > below)
        covered[row] = np.where(has_mass, np.maximum(inside, 0) / np.where(has_mass, up_to - below, 1), covered[row])
    return covered


def _mean_mase(truth: Floats, point: Floats, scale: Floats) -> float:
    return float(np.nanmean(mase(truth, point, scale)))


def peer_scores(windows: HistoryWindows, forecast: ForecastBatch, scale: Floats) -> dict[str, float]:
    """MASE of each slow peer on a few series spread over the set, over that of the fleet on the same ones."""
    few = np.unique(np.linspace(0, len(scale) - 1, PEER_SERIES).astype(int))
    found = {}
    for name in PEERS:
        chosen = peer_class(name)
        peer = get(f"darts:{chosen}", peer_options(chosen, windows))(
            windows.history[few],
            season_lengths=windows.seasons,
            horizon=windows.horizon,
            levels=LEVELS,
            seed=0,
        )
        theirs = _mean_mase(windows.future[few], peer.point, scale[few])
        found[name] = theirs / _mean_mase(windows.future[few], forecast.point[few], scale[few])
    return found


def peer_class(name: str) -> str:
    """The class of darts that stands for a peer: the automatic one where its library is there."""
    import darts.models

    automatic, plain = PEERS[name]
    return automatic if isinstance(getattr(darts.models, automatic, None), type) else plain


def peer_options(chosen: str, windows: HistoryWindows) -> dict[str, object]:
    """A day as the season where it is short: with 288 steps ETS takes half a minute a series."""
    season = windows.seasons[0]
    is_seasonal = season <= LONGEST_PEER_SEASON and windows.history.shape[1] >= 2 * season
    if chosen.startswith("Auto"):
        return {"season_length": season if is_seasonal else 1}
    if chosen == "ExponentialSmoothing":
        return {"seasonal_periods": season} if is_seasonal else {"seasonal": None}
    return {}


def scores(data: Path, names: tuple[str, ...], lengths: tuple[int, ...], every: int, peers: bool) -> list[LengthScore]:
    found = []
    for name in names:
        windows = load(name, data).every(every)
        scale = scale_of(windows)
        found += [score(cut, scale, cut is windows, peers) for cut in cuts(windows, lengths)]
    return found


def print_table(found: list[LengthScore], console: Console, peers: bool) -> None:
    title = (
        f"All sets and lengths; ! misses its bar: MASE ≤ {WORSE_THAN_TRIVIAL} × the best trivial rule's, 90 % covered"
    )
    table = Table(title=f"{title} {YOUNG_COVERAGE} under {GROWN_DAYS:g} days, else {GROWN_COVERAGE}")
    shown = (*TRIVIAL, *(f"{peer_class(name)} / fleet" for name in PEERS if peers))
    for column in ("set", "steps", "ahead", "MASE", "sCRPS", "covered", "Brier s", "Brier l", *shown, "to best", "s"):
        table.add_column(column, justify="right")
    for each in found:
        bars = BARS.get(each.name, (None, None, None)) if each.is_whole else (None, None, None)
        low, high = each.coverage_bar
        table.add_row(
            each.name,
            str(each.steps),
            str(each.horizon),
            _against(each.mase, bars[0]),
            f"{each.scrps:.3f}",
            f"{each.covered:.3f}{'' if low <= each.covered <= high else ' !'}",
            _against(each.brier_short, bars[1]),
            _against(each.brier_long, bars[2]),
            *(f"{other:.3f}" for other in each.others.values()),
            f"{each.to_best_trivial:.3f}{'' if each.to_best_trivial <= WORSE_THAN_TRIVIAL else ' !'}",
            f"{each.seconds:.1f}",
            end_section=each.is_whole,
        )
    console.print(table)


def _against(value: float, bar: float | None) -> str:
    return f"{value:.3f}" if bar is None else f"{value:.3f} ({'≤' if value <= bar else '! >'} {bar:g})"


def print_summary(found: list[LengthScore], console: Console) -> None:
    """The means that have a bar of their own, and how many rows miss one."""
    whole = [each for each in found if each.is_whole]
    short, long = (float(np.mean([getattr(each, f"brier_{which}") for each in whole])) for which in ("short", "long"))
    console.print(f"mean over {len(whole)} whole sets: Brier short {short:.4f}, long {_against(long, LONG_BRIER_BAR)}")
    for steps, bars in YOUNG_BARS.items():
        young = [each for each in found if each.steps == steps and each.name in YOUNG_SETS]
        if young:
            logs = np.log([(each.mase, each.scrps) for each in young])
            means = [_against(mean, bar) for mean, bar in zip(np.exp(logs.mean(axis=0)), bars, strict=True)]
            console.print(
                f"{len(young)} young sets at {steps} steps: MASE {means[0]}, sCRPS {means[1]} (geometric means)"
            )
    loose = sum(not each.coverage_bar[0] <= each.covered <= each.coverage_bar[1] for each in found)
    worse = sum(each.to_best_trivial > WORSE_THAN_TRIVIAL for each in found)
    console.print(f"of {len(found)} rows {loose} miss the coverage, {worse} are worse than a trivial rule")
