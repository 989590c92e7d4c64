"""Answers as tables for people."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from api.dashboard.words import span

if TYPE_CHECKING:
    from api.commandline.evaluation import Evaluated
    from tasks.forecast.evaluate import Row
    from flows.backtest import BacktestReport, ObjectiveFigures
    from flows.compare import Comparison


def table(title: str, heads: Sequence[str], rows: Iterable[Sequence[object]], empty: str) -> None:
    """Print a table, or a sentence where it has no rows."""
    built = list(rows)
    console = Console()
    if not built:
        console.print(empty)
        return
    shown = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for head in heads[:-1]:
        shown.add_column(head, no_wrap=True)
    shown.add_column(heads[-1], overflow="fold")
    for row in built:
        shown.add_row(*(escape(str(cell)) for cell in row))
    console.print(shown)


def say(text: str) -> None:
    """Print a line as it is."""
    Console(highlight=False, soft_wrap=True).print(escape(text))


def moment(text: str | None) -> str:
    """Return a moment to the second."""
    return (text or "never").replace("T", " ").partition(".")[0].removesuffix("Z")


def share(value: float | None) -> str:
    """Return a ratio as a percentage."""
    return "unknown" if value is None else f"{100 * value:.0f} %"


def status(answer: Mapping[str, Any], is_live: bool) -> None:
    """Print how the agent is."""
    counts, last = answer["statistics"], answer.get("last_cycle")
    rows = [
        ("agent", answer["agent"]),
        ("stack", "runs" if is_live else "does not run in this folder (foreact up starts it)"),
        ("acts by itself", answer["mode"]["note"]),
        ("goals", f"{answer['active_goals']} open, {counts['goals_created']} created, {counts['goals_achieved']} met"),
        ("actions", f"{counts['actions_executed']} executed, {counts['actions_failed']} failed"),
        ("waiting for you", f"{answer['pending_approvals']} (foreact approve ID)"),
        ("series", str(answer["series"])),
        ("cycles", f"{counts['cycles_completed']}, last {moment(last['tick'] if last else None)} UTC"),
        ("version", answer["version"]),
    ]
    table("", ("", ""), rows, "")


def goals(answer: Mapping[str, Any]) -> None:
    """Print the goals, most important first."""
    rows = [
        (
            goal["goal_id"],
            goal["state"],
            f"{goal['priority']:.2f}",
            share(goal["progress"]),
            f"{goal['goal_type']}: {goal['description']} (by {moment(goal['deadline'])} UTC)",
        )
        for goal in answer["goals"]
    ]
    heads = ("id", "state", "priority", "progress", "goal")
    table("", heads, rows, "No goals: nothing is foreseen that would break an objective.")


def goal(answer: Mapping[str, Any]) -> None:
    """Print one goal with what is done about it."""
    say(f"{answer['goal_id']}  {answer['goal_type']}  {answer['state']}")
    say(f"{answer['description']}: {answer['reason']}")
    actions(answer)


def actions(answer: Mapping[str, Any]) -> None:
    """Print actions with their state."""
    rows = [
        (row["action"]["action_id"], row["action"]["name"], row["status"], moment(row["action"]["due_at"]))
        for row in answer["actions"]
    ]
    table("", ("id", "action", "status", "due (UTC)"), rows, "No actions.")


def audit(answer: Mapping[str, Any]) -> None:
    """Print what was decided, by whom and when."""
    rows = [
        (entry["seq"], moment(entry["at"]), entry["actor"], entry["verb"], entry["subject"])
        for entry in answer["entries"]
    ]
    table("", ("line", "at (UTC)", "who", "did", "what"), rows, "Nothing was decided yet.")
    if answer["verified"] is not None:
        broken = answer["first_broken_line"]
        say("The trail is whole." if broken is None else f"The trail was changed at line {broken}.")


def evaluations(found: Sequence[Evaluated]) -> None:
    """Print a table for each group of series that share a step, the best figure of each column bold."""
    console = Console()
    for group in found:
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
        "n: forecasts scored. MASE, sCRPS, Brier: lower is better. covers: of the 90 % interval, ideally .900. "
        "AUC: of breaches of the 95 % quantile, ideally 1. late by: error of the time of a breach. ms: per series.",
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


def _best(name: str, rows: Sequence[Row]) -> float:
    """Return how near to the ideal the best forecaster comes."""
    known = [abs(getattr(row, name) - _TARGETS[name]) for row in rows if math.isfinite(getattr(row, name))]
    return min(known, default=math.nan)


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


def figures(answer: Mapping[str, Any]) -> None:
    """Print named figures."""
    rows = [(name.replace("_", " "), value) for name, value in answer.items() if not isinstance(value, dict | list)]
    table("", ("", ""), rows, "Nothing.")
