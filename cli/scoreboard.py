"""The table of `foreact evaluate`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.evaluation import Evaluated
from tasks.forecast.verification.rolling_origin import ForecasterRow


def evaluations(evaluated: Sequence[Evaluated]) -> None:
    """Print a table for each group of series that share a step, the best figure of each column bold."""
    console = Console()
    for group in evaluated:
        title = f"{group.series} series, steps of {group.step_s:g} s"
        if not group.rows:
            console.print(f"{title}: not compared, {group.reason}.")
            continue
        shown = Table(title=f"{title}, {group.horizon} ahead", title_justify="left", box=None, pad_edge=False)
        shown.add_column("forecaster", overflow="fold")
        for head in ("n", "MASE", "sCRPS", "covers", "Brier", "AUC", "late by", "ms"):
            shown.add_column(head, justify="right", no_wrap=True)
        best = {name: _best(name, group.rows) for name in _TARGETS}
        for row in group.rows:
            figures = [_figure(name, getattr(row, name), best[name], group.step_s) for name in _TARGETS]
            shown.add_row(escape(row.forecaster), str(row.forecasts), *figures)
        console.print(shown)
    console.print(
        "n: forecasts scored. MASE, sCRPS, Brier: lower is better. covers: by the 90 % interval, ideally .900. "
        "AUC: for breaches of the 95 % quantile, ideally 1. late by: error of the breach time. ms: per series.",
        style="dim",
    )


_TARGETS: Mapping[str, float] = {
    "mase": 0.0,
    "scaled_crps": 0.0,
    "coverage": 0.9,
    "brier": 0.0,
    "auc": 1.0,
    "breach_time_error": 0.0,
    "ms_per_series": 0.0,
}


def _best(name: str, rows: Sequence[ForecasterRow]) -> float:
    """Return how near to the ideal the best forecaster comes."""
    distances = [abs(getattr(row, name) - _TARGETS[name]) for row in rows if math.isfinite(getattr(row, name))]
    return min(distances, default=math.nan)


def _figure(name: str, value: float, best: float, step_s: float) -> str:
    if not math.isfinite(value):
        return "–"
    text = f"{value:.3f}"
    if name == "breach_time_error":
        text = _span(value * step_s)
    elif name == "ms_per_series":
        text = f"{value:.1f}"
    return f"[bold]{text}[/bold]" if abs(value - _TARGETS[name]) <= best else text


def _span(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
