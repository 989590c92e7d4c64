"""Can it be told? Effects of known size put on real series: power foretold and realised, and verdicts before the end.

    python -m benchmarks.acts_foretold.power [--data ../shared/data] [--series 80] [--half b] [--seed 0]

The loop runs over recorded series and does nothing. On the windows of acts that never were, as the loop judges them,
effects of 0 to 4 standard errors are put. What `foreseen` says of the power before the act stands beside the share that
was found; the verdict at the end of the window beside the one that was clear before it, looked at as often as it is in
the loop. Series are halved by name: how power is foretold and where the bounds lie was chosen on half a.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from benchmarks.forecast_sets import DEFAULT_DATA, half_of
from benchmarks.impact import SERIES_STEPS, START, STEP, observed_loop, plain_settings
from benchmarks.rolling import recorded_series
from flows.wiring import live_context
from storage.records import FloatArray, Verdict
from tasks.measure import MetricWindow, detectability, early_in, measure_many, placebo_windows

HORIZONS = (20, 60)
PLACEBOS = 6
ERRORS = (0.0, 1.0, 2.0, 3.0, 4.0)
FOUND = frozenset({Verdict.IMPROVED, Verdict.WORSE})
BINS = (0.0, 0.3, 0.7, 0.9, 1.0)
MOST_OFF, MOST_FALSE, LEAST_SOONER, MOST_LOST = 0.05, 0.06, 0.30, 0.02
"""Bars: predicted against realised power; false alarms at every look; time saved; power that may be lost for it."""


@dataclass(frozen=True)
class Trial:
    """One effect, in standard errors, on one window: how likely it was to be found, and whether and when it was."""

    series: str
    horizon: int
    placed: str
    errors: float
    power: float
    is_found: bool
    is_found_early: bool
    time_ratio: float


def trials(
    series: Sequence[tuple[str, FloatArray]], folder: Path, seed: int, per_series: int = PLACEBOS
) -> Iterator[Trial]:
    """Put effects on placebo windows of series at every horizon."""
    metrics = {f"series_{place}": name for place, (name, _) in enumerate(series)}
    values = [values for _, values in series]
    store = observed_loop(list(zip(metrics, values, strict=True)), plain_settings(folder))
    end = START + STEP * (SERIES_STEPS - 1)
    for horizon in HORIZONS:
        context = live_context(plain_settings(folder, horizon), store, end, actions={})
        for act, window in placebo_windows(context, list(metrics), per_series, seed):
            yield from _on(window, metrics[act.series], horizon, act.placed)
    store.close()


def _on(window: MetricWindow, series: str, horizon: int, placed: str) -> Iterator[Trial]:
    steps = window.window_steps or len(window.forecast)
    told = detectability(window.forecast, window.ledger, steps)
    if told is None:
        return
    for errors in ERRORS:
        # Both signs, for what a loop acts on falls by itself.
        for sign in (1, -1) if errors else (1,):
            effect = sign * errors * told.error
            moved = replace(window, observed=window.observed + effect)
            is_found = measure_many([moved])[window.name].verdict in FOUND
            early = early_in(moved)
            yield Trial(
                series,
                horizon,
                placed,
                errors,
                told.power(effect),
                is_found,
                is_found if early is None else early.verdict in FOUND,
                1.0 if early is None else early.steps / steps,
            )


def clustered(rows: Sequence[Trial], of: Callable[[Trial], float]) -> tuple[float, float]:
    """Return the mean of a figure and its standard error, each series being one cluster."""
    values, names = np.array([of(each) for each in rows]), np.array([each.series for each in rows])
    sums = [float((values[names == name] - values.mean()).sum()) for name in np.unique(names)]
    return float(values.mean()), float(np.sqrt(np.sum(np.square(sums))) / len(values))


def report(rows: Sequence[Trial]) -> int:
    """Print the tables; return how many bars are missed."""
    return _power(rows) + _early(rows)


def _power(rows: Sequence[Trial]) -> int:
    print(f"{'foretold power':>14} {'n':>6} {'foretold':>9} {'found':>6}   off (bar ± {MOST_OFF})")
    off = list[float]()
    real = [each for each in rows if each.errors]
    for low, high in pairwise(BINS):
        chosen = [each for each in real if low <= each.power < high or each.power == high == 1.0]
        if chosen:
            foretold, found = (float(np.mean([getattr(each, key) for each in chosen])) for key in ("power", "is_found"))
            error = clustered(chosen, lambda each: each.is_found - each.power)[1]
            off.append(found - foretold)
            counted = f"{low:>7.1f} to {high:.1f} {len(chosen):>7}"
            print(f"{counted} {foretold:>9.3f} {found:>6.3f}  {off[-1]:+.3f} ± {error:.3f}")
    return sum(abs(each) > MOST_OFF for each in off)


def _early(rows: Sequence[Trial]) -> int:
    print(f"\n{'effect':>6} {'placed':>7} {'n':>5} {'found at the end':>17} {'found at a look':>18} {'time':>6}")
    missed = 0
    for placed in ("random", "high"):
        for errors in ERRORS:
            chosen = [each for each in rows if each.placed == placed and each.errors == errors]
            if not chosen:
                continue
            (end, end_error), (look, error) = (
                clustered(chosen, lambda each: each.is_found),
                clustered(chosen, lambda each: each.is_found_early),
            )
            time = float(np.mean([each.time_ratio for each in chosen]))
            found = f"{end:>9.3f} ± {end_error:.3f} {look:>10.3f} ± {error:.3f}"
            print(f"{errors:>6g} {placed:>7} {len(chosen):>5} {found} {time:>6.2f}")
            missed += placed == "random" and not errors and look > MOST_FALSE
    real = [each for each in rows if each.errors]
    lost = float(np.mean([each.is_found for each in real]) - np.mean([each.is_found_early for each in real]))
    sooner = 1 - float(np.mean([each.time_ratio for each in real]))
    print(
        f"\nbars: false alarms at a look, at random <= {MOST_FALSE}; over all effects verdicts are {sooner:.0%} sooner "
        f"(>= {LEAST_SOONER:.0%}), power lost {lost:+.3f} (<= {MOST_LOST})"
    )
    return missed + (sooner < LEAST_SOONER) + (lost > MOST_LOST)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark, print its tables; return 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA)
    parser.add_argument("--series", type=int, default=80)
    parser.add_argument("--half", choices=("a", "b", "both"), default="b", help="b was not used for choosing")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    series = recorded_series(given.data, 4 * given.series, given.seed)
    series = [each for each in series if given.half in ("both", half_of(each[0]))][: given.series]
    with tempfile.TemporaryDirectory() as folder:
        rows = list(trials(series, Path(folder), given.seed))
    print(f"{len(series)} series of half {given.half}, {len(rows)} effects put on windows without an act\n")
    return int(report(rows) > 0)


if __name__ == "__main__":
    raise SystemExit(main())
