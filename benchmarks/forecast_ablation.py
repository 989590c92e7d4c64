"""What each part of the hourly forecasts is worth, left out one at a time: `python -m benchmarks.forecast_ablation`.

Every variant forecasts from several ends of the history, a day apart, so that no single test window decides; the last
column is the one window that `benchmarks.forecast` reports. A variant fits, tunes and forecasts anew. Two minutes.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.forecast_lengths import scale_of
from benchmarks.forecast_sets import DEFAULT_DATA, HistoryWindows, load
from tasks.forecast import LEVELS, forecast_batch
from tasks.forecast.fleet import ensemble, seasonal, tuning
from tasks.forecast.verification.scores import mase, quantile_loss

SETS = ("m4h", "opsh")
DAYS_BACK = (0, 1, 2, 3, 4, 5, 6)
LAG_SETS = ensemble.lag_sets
Change = tuple[ModuleType, str, object]
VARIANTS: dict[str, tuple[Change, ...]] = {
    "as it is": (),
    "no second opinions": ((tuning, "OPINIONS_SHARES", (0.0,)),),
    "a third of second opinions at most": ((tuning, "OPINIONS_SHARES", (0.3, 0.0)),),
    "no autoregression around two weeks": ((ensemble, "lag_sets", lambda *seasons: LAG_SETS(*seasons)[:1]),),
    "no autoregression around one week": ((ensemble, "lag_sets", lambda *seasons: LAG_SETS(*seasons)[1:]),),
    "past days alike instead of those like today": ((ensemble, "SHARPNESS", 0.0),),
    "errors of second opinions no wider": ((ensemble, "OPTIMISM", 0.0),),
    "last week alone instead of four": ((seasonal, "WEEKS", 1),),
    "level of six steps instead of three": ((seasonal, "LEVEL_STEPS", 6),),
    "no tuning by backtest": (
        (tuning, "OPINIONS_SHARES", (0.3,)),
        (tuning, "RAW_SHARES", (1 / 3,)),
        (tuning, "SHRINKAGES", {8.0: (0.3,)}),
    ),
    "one standard error, not two, to leave the default": ((tuning, "CERTAINTY", 1.0),),
}


@contextmanager
def changed(changes: tuple[Change, ...]) -> Iterator[None]:
    """Constants of the forecaster set to other values for a while."""
    before = [getattr(module, name) for module, name, _ in changes]
    try:
        for module, name, value in changes:
            setattr(module, name, value)
        yield
    finally:
        for (module, name, _), value in zip(changes, before, strict=True):
            setattr(module, name, value)


def ending_earlier(windows: HistoryWindows, steps: int) -> HistoryWindows:
    """The same series with their history cut so many steps earlier."""
    values = np.concatenate([windows.history, windows.future], axis=1)
    end = windows.history.shape[1] - steps
    future = values[:, end : end + windows.horizon]
    return HistoryWindows(windows.name, values[:, :end], future, windows.seasons, windows.synthetic)


def errors(windows: HistoryWindows) -> tuple[float, float]:
    """MASE and scaled CRPS."""
    forecast = forecast_batch(windows.history, season_lengths=windows.seasons, horizon=windows.horizon)
    scale = scale_of(windows)
    loss = quantile_loss(windows.future, forecast.quantiles, LEVELS).mean(axis=(1, 2)) / scale
    return float(mase(windows.future, forecast.point, scale).mean()), float(loss.mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder with forecast/*_dev.npz")
    console = Console(width=130)
    data = parser.parse_args().data
    for name in SETS:
        windows = load(name, data)
        label = f"{name}{' (synthetic)' if windows.synthetic else ''}"
        table = Table(title=f"{label}: mean over {len(DAYS_BACK)} ends of the history, a day apart")
        for column in ("variant", "MASE", "sCRPS", "MASE of the last end"):
            table.add_column(column, justify="right")
        ends = [ending_earlier(windows, windows.seasons[0] * days) for days in DAYS_BACK]
        for variant, changes in VARIANTS.items():
            with changed(changes):
                error_table = np.array([errors(each) for each in ends])
            table.add_row(variant, *(f"{mean:.3f}" for mean in error_table.mean(axis=0)), f"{error_table[0, 0]:.3f}")
        console.print(table)


if __name__ == "__main__":
    main()
