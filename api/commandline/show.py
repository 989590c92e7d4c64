"""Answers as tables for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from api.commandline.evaluation import Evaluated


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
    """Print a table for each group of series that share a step; lower is better but for coverage (0.9) and AUC (1)."""
    heads = ("forecaster", "MASE", "sCRPS", "90 % covers", "Brier", "AUC", "breach off (s)", "ms a series")
    for group in found:
        title = f"{group.series} series, steps of {group.step_s:g} s, {group.horizon} steps ahead"
        rows = [
            (
                row.forecaster,
                *(f"{value:.3f}" for value in (row.mase, row.scaled_crps, row.coverage, row.brier, row.auc)),
                f"{row.breach_time_error * group.step_s:.0f}",
                f"{row.ms_per_series:.1f}",
            )
            for row in group.rows
        ]
        table(title, heads, rows, "Nothing to compare.")


def figures(answer: Mapping[str, Any]) -> None:
    """Print named figures."""
    rows = [(name.replace("_", " "), value) for name, value in answer.items() if not isinstance(value, dict | list)]
    table("", ("", ""), rows, "Nothing.")
