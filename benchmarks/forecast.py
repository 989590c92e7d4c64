"""How good, fast and small forecasts are. Run `python -m benchmarks.forecast`, see --help; a few minutes at most.

Every figure stands beside trivial rules measured in the same run and beside its bar (b). Times are processor time of
one core. `--quick` takes every third series at few lengths: a minute. `--peers` adds AutoETS and AutoTheta, a few
series a row.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import forecast_shapes
from benchmarks.forecast_lengths import (
    LENGTHS,
    QUICK_EVERY,
    QUICK_LENGTHS,
    SETS,
    print_summary,
    print_table,
    scores,
)
from benchmarks.forecast_sets import DEFAULT_DATA, Floats, HistoryWindows, load
from tasks.forecast import LEVELS, FleetState, fit_fleet, forecast_batch
from tasks.forecast.forecasters import get
from tasks.forecast.verification.scores import mase, quantile_loss, seasonal_scale

QUICK_SHAPES = 7  # series of each
DECILES = tuple(i for i, level in enumerate(LEVELS) if round(level * 100) % 10 == 0)


def m4_as_gift_eval(data: Path, console: Console) -> None:
    """MASE per series scaled in sample at 24; WQL: summed quantile losses of the deciles over summed |y|."""
    windows = load("m4h", data)
    table = Table(title=f"M4 Hourly as GIFT-Eval scores it ({len(windows.history)} series, b: MASE .70, WQL .0213)")
    for column in ("forecaster", "MASE", "WQL"):
        table.add_column(column, justify="right")
    scale = seasonal_scale(windows.history, windows.seasons[0])
    for name in ("fleet", "seasonal_naive"):
        forecast = get(name)(
            windows.history, season_lengths=windows.seasons, horizon=windows.horizon, levels=LEVELS, seed=0
        )
        deciles = quantile_loss(windows.future, forecast.quantiles, LEVELS)[:, :, DECILES].mean(axis=2).sum()
        table.add_row(
            name,
            f"{mase(windows.future, forecast.point, scale).mean():.3f}",
            f"{deciles / np.abs(windows.future).sum():.4f}",
        )
    table.add_row("record (Toto-2.0-2.5B / TiRex, published)", ".653", ".020")
    console.print(table)


def seconds_of(run: Callable[[], object]) -> float:
    began = time.process_time()
    run()
    return time.process_time() - began


def many(data: Path, count: int) -> tuple[Floats, HistoryWindows]:
    """So many series of 2016 steps, repeated from the set of five minutes and slightly varied."""
    windows = load("ops5m", data)
    values = np.empty((count, windows.history.shape[1]))
    for first in range(0, count, len(windows.history)):
        part = values[first : first + len(windows.history)]
        np.multiply(windows.history[: len(part)], 1 + 1e-3 * first, out=part)
    return values, windows


def one_turn(values: Floats, windows: HistoryWindows, state: FleetState | None = None) -> None:
    """A whole cycle: 19 quantiles, breach probability and time, after a fit of the fleet unless one was kept."""
    forecast = forecast_batch(values, season_lengths=windows.seasons, horizon=windows.horizon, state=state)
    forecast.breach(upper=1.1 * np.abs(values[:, -1]))


def speed(data: Path, console: Console) -> None:
    table = Table(title="Speed and size at 2016/288, 19 quantiles, breach (b: ≥ 2000 series/s, ≤ 200 MB, ratio ≤ 11)")
    for column in ("series", "series/s, kept fit", "series/s, fit anew", "peak MB above the values"):
        table.add_column(column, justify="right")
    for count in (20, 1_000):
        values, windows = many(data, count)
        state = fit_fleet(values, season_lengths=windows.seasons, horizon=windows.horizon)
        kept, anew = (min(seconds_of(partial(one_turn, values, windows, k)) for _ in range(8)) for k in (state, None))
        table.add_row(f"{count:,}", f"{count / kept:.0f}", f"{count / anew:.0f}", f"{peak_megabytes(data, count):.0f}")
    few, many_s = side_by_side(values, *many(data, 10_000), state)
    table.add_row("10,000", f"{10_000 / many_s:.0f}")
    console.print(table)
    console.print(f"10,000 series take {many_s / few:.1f} × the processor time of 1,000, the system's included")


def side_by_side(thousand: Floats, more: Floats, windows: HistoryWindows, state: FleetState) -> tuple[float, float]:
    """Median seconds of a turn of each fleet, ten of the smaller between two of the larger.

    The least of many short turns would be compared with that of few long ones, for which no quiet moment of a shared
    machine is long enough.
    """
    few, many_s = [], []
    for _ in range(3):
        few += [seconds_of(partial(one_turn, thousand, windows, state)) for _ in range(10)]
        many_s.append(seconds_of(partial(one_turn, more, windows, state)))
    return float(np.median(few)), float(np.median(many_s))


def peak_megabytes(data: Path, count: int) -> float:
    """Peak resident memory of one turn above what the process held with its values loaded, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.forecast", "--data", str(data), "--peak-of", str(count)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def print_peak(data: Path, count: int) -> None:
    values, windows = many(data, count)
    one_turn(values[:2], windows)
    before = _status_kilobytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of loading
    one_turn(values, windows)
    print((_status_kilobytes("VmHWM") - before) / 1024)


def _status_kilobytes(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1])


def on_one_core() -> None:
    """Start over with one thread for linear algebra: the libraries read this when they are loaded."""
    if os.environ.get("OPENBLAS_NUM_THREADS") != "1":
        single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        command = [sys.executable, "-m", "benchmarks.forecast", *sys.argv[1:]]
        raise SystemExit(subprocess.run(command, env={**os.environ, **single}, check=False).returncode)


def main() -> None:
    on_one_core()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder with forecast/*_dev.npz")
    parser.add_argument("--only", choices=("lengths", "m4", "shapes", "speed"), help="one part alone")
    parser.add_argument("--set", choices=SETS, action="append", help="of the lengths, this set alone; may be repeated")
    parser.add_argument("--quick", action="store_true", help="every third series, two lengths and the whole, no speed")
    parser.add_argument("--peers", action="store_true", help="AutoETS and AutoTheta too, on a few series of each row")
    parser.add_argument("--peak-of", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.peak_of:
        print_peak(chosen.data, chosen.peak_of)
        return
    console = Console(width=180)
    if chosen.only in (None, "lengths"):
        lengths(chosen, console)
    if chosen.only in (None, "m4"):
        m4_as_gift_eval(chosen.data, console)
    if chosen.only in (None, "shapes"):
        forecast_shapes.print_tables(console, QUICK_SHAPES if chosen.quick else forecast_shapes.SERIES)
    if chosen.only == "speed" or (chosen.only is None and not chosen.quick):
        speed(chosen.data, console)


def lengths(chosen: argparse.Namespace, console: Console) -> None:
    every, steps = (QUICK_EVERY, QUICK_LENGTHS) if chosen.quick else (1, LENGTHS)
    found = scores(chosen.data, tuple(chosen.set or SETS), steps, every, chosen.peers)
    print_table(found, console, chosen.peers)
    print_summary(found, console)


if __name__ == "__main__":
    main()
