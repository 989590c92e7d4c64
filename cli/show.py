"""Print answers as tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tasks.text import span

if TYPE_CHECKING:
    from flows.reports.results import BacktestReport, Comparison, ObjectiveFigures


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
    """Print the status of the agent."""
    counts, last = answer["statistics"], answer.get("last_cycle")
    rows = [
        ("agent", answer["agent"]),
        ("stack", "running" if is_live else "not running in this folder (start it: foreact up)"),
        ("mode", answer["mode"]["note"]),
        ("metrics", f"{counts['series_known']} recorded"),
        ("goals", f"{answer['active_goals']} open, {counts['goals_created']} set, {counts['goals_achieved']} achieved"),
        ("actions", f"{counts['actions_executed']} executed, {counts['actions_failed']} failed"),
        ("waiting for you", f"{answer['pending_approvals']} (foreact approve ID)"),
        ("cycles", f"{counts['cycles_completed']}, last {moment(last['tick'] if last else None)} UTC"),
        ("version", answer["version"]),
    ]
    if answer["configuration_trouble"]:
        rows.append(("configuration", f"invalid, the last usable one applies: {answer['configuration_trouble']}"))
    table("", ("", ""), rows, "")


def goals(answer: Mapping[str, Any]) -> None:
    """Print the goals, most important first."""
    rows = [
        (
            goal["goal_id"],
            goal["state"],
            f"{goal['priority']:.2f}",
            share(goal["progress"]),
            f"{goal['goal_type']}: {goal['description']} (by {moment(goal['deadline'])} UTC). {goal['now']}",
        )
        for goal in answer["goals"]
    ]
    heads = ("id", "state", "priority", "progress", "goal")
    table("", heads, rows, "No open goals.")


def objectives(answer: Mapping[str, Any]) -> None:
    """Print the objectives in force and where each comes from, then what is amiss with them."""
    rows = [
        (
            each["objective"]["name"],
            each["objective"]["kind"],
            f"{each['objective']['metric']} {'at most' if each['objective']['side'] == 'below' else 'at least'} "
            f"{each['objective']['bound']:g}",
            f"{each['objective']['severity']:.2f}",
            each["origin"],
        )
        for each in answer["objectives"]
    ]
    table("", ("objective", "kind", "bound", "severity", "from"), rows, "No objectives.")
    for line in (*answer["contradictions"], *answer["trouble"]):
        say(line)


def goal(answer: Mapping[str, Any]) -> None:
    """Print one goal with its reason, its newest decision and its actions."""
    say(f"{answer['goal_id']}  {answer['goal_type']}  {answer['state']}  {share(answer['progress'])} done")
    say(f"{answer['description']}, by {moment(answer['deadline'])} UTC")
    if sentence := answer["because"].get("sentence"):
        say(f"Reason: {sentence} (at {moment(answer['created_at'])} UTC)")
    say(f"Now: {answer['now']}")
    if members := answer["members"]:
        say(f"Set for: {', '.join(members)}")
    if answer["objective_from"]:
        say(f"Objective: {answer['objective']}, from {answer['objective_from']}")
    say(f"State: {answer['state']}, {answer['reason']}")
    for decision in answer["decisions"][:1]:
        say(f"Decision at {moment(decision['at'])} UTC: {decision['explanation']}")
    actions(answer)


def actions(answer: Mapping[str, Any]) -> None:
    """Print actions with their state."""
    rows = [
        (
            row["action"]["action_id"],
            f"undo of {row['action']['name']}" if row["action"]["undo_of"] else row["action"]["name"],
            moment(row["action"]["due_at"]),
            ". ".join(part for part in (_stands(row), row.get("waits_for"), _came_to(row)) if part),
        )
        for row in answer["actions"]
    ]
    table("", ("id", "action", "due (UTC)", "status"), rows, "No actions.")


def _stands(row: Mapping[str, Any]) -> str:
    """Return the status of an action in words, and the action that undoes it."""
    return str(row["status"]).replace("_", " ") + (f" (undo: {row['undone_by']})" if row["undone_by"] else "")


def _came_to(row: Mapping[str, Any]) -> str:
    """Return the receipt of an action on one line."""
    return str(row["receipt"]["detail"]).partition("\n")[0] if row["receipt"] else ""


def audit(answer: Mapping[str, Any]) -> None:
    """Print decisions: what, by whom and when."""
    rows = [(entry["seq"], moment(entry["at"]), entry["actor"], _in_words(entry)) for entry in answer["entries"]]
    table("", ("line", "at (UTC)", "who", "what"), rows, "No decisions yet.")
    if answer["verified"] is not None:
        broken = answer["first_broken_line"]
        say("The audit trail is intact." if broken is None else f"The audit trail was changed at line {broken}.")


def _in_words(entry: Mapping[str, Any]) -> str:
    from api.background.notifications import of_line
    from storage.records import AuditEntry

    line = AuditEntry.model_validate(entry)
    sentence = of_line(line).sentence
    return sentence if line.subject in sentence else f"{sentence} ({line.subject})"


def backtest(report: BacktestReport) -> None:
    """Print the figures of a backtest, in all and per objective."""
    total = report.summary()
    lead_s = total["median_lead_time_s"]
    rows = [
        ("configuration", report.configuration),
        ("history", f"{moment(report.start.isoformat())} to {moment(report.end.isoformat())} UTC"),
        ("turns", f"{total['ticks']}, one every {span(report.every_s)}"),
        ("breaches", f"{total['breaches']}, {total['breach_minutes']:g} minutes in all"),
        (
            "foretold",
            f"{total['foretold_breaches']}, {total['late_breaches']} late, {total['missed_breaches']} missed",
        ),
        ("lead time", "none" if lead_s is None else f"{_lead(lead_s)} (median)"),
        ("false alarms", total["false_alarms"]),
        ("goals", total["goals"]),
        ("actions", f"{total['actions_taken']} would have run, cost {total['cost']:g}"),
    ]
    table("", ("", ""), rows, "")
    heads = ("objective", "breaches", "foretold", "late", "missed", "false alarms", "lead", "broken for")
    table("", heads, map(_objective, report.by_objective), "No objective sets a bound on a metric in this history.")


def _lead(lead_s: float) -> str:
    """Return how long before a breach its goal came, or how long after its start."""
    return span(lead_s) if lead_s > 0 else f"{span(-lead_s)} late"


def _objective(fared: ObjectiveFigures) -> tuple[object, ...]:
    lead = "–" if fared.median_lead_time_s is None else _lead(fared.median_lead_time_s)
    broken = span(fared.breach_s) if fared.breach_s else "–"
    counts = fared.breaches, fared.foretold, fared.late, fared.missed, fared.false_alarms
    return fared.objective, *counts, lead, broken


def comparison(both: Comparison) -> None:
    """Print the figures of two configurations side by side, and the breaches only one foretold."""
    rows = [
        (name.removesuffix("_s").replace("_", " "), *(_plain(name, value) for value in figures))
        for name, *figures in both.rows()
    ]
    heads = ("", both.one.configuration, both.other.configuration, "difference")
    table("", heads, rows, "Nothing to compare.")
    for report in (both.one, both.other):
        for breach in both.only(report):
            say(f"only {report.configuration} foretold {breach}")


def _plain(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    if name.endswith("_s"):
        return f"{'-' if value < 0 else ''}{span(abs(value))}" if value else "0 s"
    return f"{value:g}"


def figures(answer: Mapping[str, Any]) -> None:
    """Print named figures."""
    rows = [(name.replace("_", " "), value) for name, value in answer.items() if not isinstance(value, dict | list)]
    table("", ("", ""), rows, "Nothing.")
