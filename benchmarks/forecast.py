"""How good, fast and small forecasts are. Run `python -m benchmarks.forecast`, see --help; a few minutes at most.

Every figure stands beside seasonal naive measured in the same run and beside a bar (b) measured earlier on the same
development windows. Times are processor time of one core.
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

from benchmarks.forecast_sets import DEFAULT_DATA, Floats, HistoryWindows, load
from tasks.forecast import LEVELS, FleetState, ForecastBatch, fit_fleet, forecast_batch
from tasks.forecast.forecasters import get
from tasks.forecast.risk.recalibration import auc
from tasks.forecast.verification.scores import crossing, interval_coverage, mase, quantile_loss, seasonal_scale

SETS = ("ops5m", "opsh", "m4h")
BARS = {  # MASE, scaled CRPS, Brier short and long, coverage, ms per series
    "ops5m": ("1.342", "1.145", ".104", ".195", ".88-.92", ".45"),
    "opsh": (".763", ".593", ".239", ".150", ".88-.92", ".3"),
    "m4h": (".757", ".582", ".129", ".147", ".88-.92", ".2"),
}
DECILES = tuple(i for i, level in enumerate(LEVELS) if round(level * 100) % 10 == 0)
SHORT_STEPS = 36


def scale_of(windows: HistoryWindows) -> Floats:
    extent = windows.history.max(axis=1) - windows.history.min(axis=1)
    return np.maximum(seasonal_scale(windows.history, windows.seasons[0]), 0.01 * extent)


def breach(windows: HistoryWindows, forecast: ForecastBatch, level: float, within: int) -> tuple[float, float]:
    """Brier score and AUC for crossing a quantile of the history, of series not above it at the origin."""
    threshold = np.quantile(windows.history, level, axis=1)
    below = windows.history[:, -1] <= threshold
    probability, _ = forecast.breach(upper=threshold, within=within)
    happened, _ = crossing(windows.future, threshold, within)
    return float(((probability - happened)[below] ** 2).mean()), auc(probability[below], happened[below])


def judge(windows: HistoryWindows, forecast: ForecastBatch) -> tuple[str, ...]:
    scale = scale_of(windows)
    loss = quantile_loss(windows.future, forecast.quantiles, LEVELS).mean(axis=(1, 2)) / scale
    covered = interval_coverage(windows.future, forecast.quantiles[:, :, 0], forecast.quantiles[:, :, -1])
    short = breach(windows, forecast, 0.95, min(SHORT_STEPS, windows.horizon))
    long = breach(windows, forecast, 0.99, windows.horizon)
    return (
        f"{mase(windows.future, forecast.point, scale).mean():.3f}",
        f"{loss.mean():.3f}",
        f"{short[0]:.3f}",
        f"{long[0]:.3f}",
        f"{short[1]:.2f} / {long[1]:.2f}",
        f"{covered.mean():.3f}",
    )


def timed(run: Callable[[], ForecastBatch], times: int = 3) -> tuple[ForecastBatch, float]:
    """The result and the least processor time of a few runs, in seconds."""
    durations = []
    for _ in range(times):
        began = time.process_time()
        result = run()
        durations.append(time.process_time() - began)
    return result, min(durations)


def accuracy(data: Path, console: Console) -> None:
    table = Table(title="Accuracy on one window a series (b: bar to reach)")
    columns = ("set", "forecaster", "MASE", "sCRPS", "Brier short", "Brier long", "AUC s / l", "90 % covered")
    for column in (*columns, "ms/series", "fit ms"):
        table.add_column(column, justify="right")
    for name in SETS:
        windows = load(name, data)
        where = {"season_lengths": windows.seasons, "horizon": windows.horizon}
        state = fit_fleet(windows.history, **where)
        fit_s = min(seconds_of(lambda w=windows, k=where: fit_fleet(w.history, **k)) for _ in range(3))
        fleet, fleet_s = timed(lambda w=windows, k=where, s=state: forecast_batch(w.history, state=s, **k))
        naive, naive_s = timed(
            lambda w=windows, k=where: get("seasonal_naive")(w.history, levels=LEVELS, seed=0, **k), times=1
        )
        n = len(windows.history)
        label = f"{name}{' (synthetic)' if windows.synthetic else ''}"
        table.add_row(label, "fleet", *judge(windows, fleet), f"{1e3 * fleet_s / n:.2f}", f"{1e3 * fit_s:.0f}")
        table.add_row("", "seasonal naive", *judge(windows, naive), f"{1e3 * naive_s / n:.2f}", "")
        if windows.synthetic:  # the bars were measured on the recordings
            table.add_section()
            continue
        bars = BARS[name]
        table.add_row("", "b", *bars[:4], "", bars[4], bars[5], "", end_section=True)
    console.print(table)


def short_histories(data: Path, console: Console) -> None:
    table = Table(title="Short histories: the last 30 and 60 points alone (b: coverage .88-.92)")
    for column in ("set", "points", "method", "MASE", "MASE of last value", "sCRPS", "90 % covered"):
        table.add_column(column, justify="right")
    for name in SETS:
        windows = load(name, data)
        scale = scale_of(windows)
        for points in (30, 60):
            history = windows.history[:, -points:]
            forecast = forecast_batch(history, season_lengths=windows.seasons, horizon=windows.horizon)
            loss = quantile_loss(windows.future, forecast.quantiles, LEVELS).mean(axis=(1, 2)) / scale
            covered = interval_coverage(windows.future, forecast.quantiles[:, :, 0], forecast.quantiles[:, :, -1])
            last = np.broadcast_to(history[:, -1:], windows.future.shape)
            table.add_row(
                name,
                str(points),
                max(set(forecast.method), key=forecast.method.count),
                f"{mase(windows.future, forecast.point, scale).mean():.3f}",
                f"{mase(windows.future, last, scale).mean():.3f}",
                f"{loss.mean():.3f}",
                f"{covered.mean():.3f}",
            )
    console.print(table)


def m4_as_gift_eval(data: Path, console: Console) -> None:
    """MASE per series scaled in sample at 24; WQL: summed quantile losses of the deciles over summed |y|."""
    windows = load("m4h", data)
    table = Table(title=f"M4 Hourly as GIFT-Eval scores it ({len(windows.history)} series, b: MASE .800, WQL .031)")
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


PARTS = {"accuracy": accuracy, "short": short_histories, "m4": m4_as_gift_eval, "speed": speed}


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
    parser.add_argument("--only", choices=PARTS, help="one part alone")
    parser.add_argument("--peak-of", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.peak_of:
        print_peak(chosen.data, chosen.peak_of)
        return
    console = Console(width=130)
    for name, part in PARTS.items():
        if chosen.only in (None, name):
            part(chosen.data, console)


if __name__ == "__main__":
    main()
