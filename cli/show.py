"""Print answers as tables."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tasks.text import number, span

if TYPE_CHECKING:
    from flows.reports.results import BacktestReport, Comparison, ObjectiveFigures

_FILLED = re.compile(r" +((?:\x1b\[[0-9;]*m)*)$")
LEAST_WIDTH = 24
"""A column of sentences that is narrower than this many letters is hard to read."""
WORTH_A_LINE = 0.2
MOST_BREACHES = 3
NO_OBJECTIVES = "No objectives. Add [[objectives]] to foreact.toml, or set use_default_objectives = true."


def table(title: str, heads: Sequence[str], rows: Iterable[Sequence[object]], empty: str) -> None:
    """Print a table, or a sentence where it has no rows; without heads it is a list of names and what they are.

    The last column is the one that is folded; where the others leave it no room, each row becomes a paragraph.
    """
    built = [[str(cell) for cell in row] for row in rows]
    if not built:
        say(empty)
        return
    console = Console()
    widths = [max(map(cell_len, (head, *(row[place] for row in built)))) for place, head in enumerate(heads)]
    if sum(widths[:-1]) + len(widths) + min(widths[-1], LEAST_WIDTH) > console.width:
        paragraphs(((row[:-1], row[-1]) for row in built), empty)
        return
    shown = Table(title=title or None, title_justify="left", header_style="bold", box=None, pad_edge=False)
    shown.show_header = any(heads)
    for head in heads[:-1]:
        shown.add_column(head, no_wrap=True)
    shown.add_column(heads[-1], overflow="fold")
    for row in built:
        shown.add_row(*map(escape, row))
    _print(console, shown)


def paragraphs(rows: Iterable[tuple[Sequence[object], str]], empty: str) -> None:
    """Print for each row a line of what it is about, and below it, indented, the sentences about it."""
    console, is_any = Console(highlight=False), False
    for heads, text in rows:
        is_any = True
        console.print(escape("  ".join(str(head) for head in heads if str(head))), style="bold", soft_wrap=True)
        for line in _folded(text, max(20, console.width - 2)):
            console.print(f"  {escape(line)}", soft_wrap=True)
    if not is_any:
        say(empty)


def _print(console: Console, shown: Table) -> None:
    """Print a table without the blanks with which it fills its lines."""
    with console.capture() as captured:
        console.print(shown)
    for line in captured.get().splitlines():
        typer.echo(_FILLED.sub(r"\1", line))


def check(finding: str, what: str, text: str, remedy: str) -> None:
    """Print what a check found and, on a line of its own, what mends it."""
    console = Console(highlight=False, soft_wrap=True)
    sentences = [f"{finding:<6}{what:<30}{text}"]
    if remedy:
        sentences.append(f"      mend: {remedy}")
    for sentence in sentences:
        for line in _folded(sentence, console.width, " " * 8):
            console.print(escape(line))


def _folded(text: str, width: int, indent: str = "") -> list[str]:
    """Return the lines of a text, broken between words alone: what is copied stays whole."""
    return textwrap.wrap(text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def say(text: str) -> None:
    """Print a text as it is; on a terminal its lines are broken between words."""
    console = Console(highlight=False, soft_wrap=True)
    for line in text.splitlines() or [""]:
        is_long = console.is_terminal and cell_len(line) > console.width
        for part in _folded(line, console.width) if is_long else [line]:
            console.print(escape(part))


def moment(text: str | None) -> str:
    """Return a moment to the second."""
    return (text or "never").replace("T", " ").partition(".")[0].removesuffix("Z")


def times(count: int) -> str:
    """Return how often, in words for few."""
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")


def share(value: float | None) -> str:
    """Return a ratio as a percentage."""
    return "unknown" if value is None else f"{100 * value:.0f} %"


def status(answer: Mapping[str, Any], is_live: bool, ahead: Mapping[str, Any]) -> None:
    """Print how the agent is, what is expected, what waits for a person, and what was done."""
    counts, last = answer["statistics"], answer.get("last_cycle")
    waiting = answer["pending_approvals"]
    cycles = f"{counts['cycles_completed']}, last at {moment(last['tick'])} UTC" if last else "none yet"
    rows = [
        ("stack", "running" if is_live else "not running in this folder (start it: foreact up)"),
        *(("look at this", warning) for warning in answer.get("warnings", ())),
        ("mode", answer["mode"]["note"]),
        *_expected(ahead),
        ("waiting for you", f"{waiting} to approve (foreact actions)" if waiting else "nothing"),
        ("goals", f"{answer['active_goals']} open, {counts['goals_created']} set, {counts['goals_achieved']} achieved"),
        ("actions", f"{counts['actions_executed']} executed, {counts['actions_failed']} failed"),
        *(("shared", sentence) for sentence in answer.get("shared", ())),
        ("metrics", f"{counts['series_known']} recorded"),
        ("cycles", cycles),
        ("agent", f"{answer['agent']}, foreact {answer['version']}"),
    ]
    if answer["configuration_trouble"]:
        trouble = f"invalid, the last usable one applies: {answer['configuration_trouble']}"
        rows.insert(1, ("configuration", trouble))
    table("", ("", ""), rows, "")


def _expected(ahead: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what the newest forecasts say in all, and the breaches that are likeliest."""
    state = ahead["predicted_state"]
    if ahead["cycle_id"] is None:
        return [("expected", ahead["note"])]
    said = f"{state['state']} ({share(state['probability'])}): {state['reason']}"
    likely = [each for each in ahead["breaches"] if each["probability"] >= WORTH_A_LINE]
    return [("expected", said), *(("", breach(each)) for each in likely[:MOST_BREACHES])]


def breach(each: Mapping[str, Any]) -> str:
    """Return in words how likely an objective breaks, and when."""
    if each["is_breached_now"]:
        return f"{each['series']} breaks {each['objective']} now"
    when = f", expected at {moment(each['expected_at'])} UTC" if each["expected_at"] else ""
    return f"{each['series']} breaks {each['objective']} with a probability of {share(each['probability'])}{when}"


def goals(answer: Mapping[str, Any]) -> None:
    """Print the goals, most important first."""
    rows = (
        (
            (goal["goal_id"], goal["state"], f"priority {goal['priority']:.2f}", f"{share(goal['progress'])} done"),
            f"{goal['goal_type']}: {goal['description']} (by {moment(goal['deadline'])} UTC). {goal['now']}",
        )
        for goal in answer["goals"]
    )
    paragraphs(rows, "No open goals. If you expected one: foreact doctor")
    for line in answer.get("conflicts", ()):
        say(f"In conflict: {line}")


def objectives(answer: Mapping[str, Any]) -> None:
    """Print the objectives in force and where each comes from, then what is amiss with them."""
    rows = [
        (
            each["objective"]["name"],
            each["objective"]["kind"],
            each["origin"],
            f"{each['objective']['severity']:.2f}",
            f"{each['objective']['metric']} {'at most' if each['objective']['side'] == 'below' else 'at least'} "
            f"{each['objective']['bound']:g}",
        )
        for each in answer["objectives"]
    ]
    table("", ("objective", "kind", "from", "severity", "bound"), rows, NO_OBJECTIVES)
    for each in answer["objectives"]:
        for warning in each["warnings"]:
            say(f"{each['objective']['name']}: {warning}")
    for line in dict.fromkeys((*answer["contradictions"], *answer["trouble"], *answer["shares"])):
        say(line)


def goal(answer: Mapping[str, Any]) -> None:
    """Print one goal with its reason, its newest decision and its actions."""
    say(f"{answer['goal_id']}  {answer['goal_type']}  {answer['state']}  {share(answer['progress'])} done")
    say(f"{answer['description']}, by {moment(answer['deadline'])} UTC")
    if sentence := answer["because"].get("sentence"):
        say(f"Reason: {sentence} (at {moment(answer['created_at'])} UTC)")
    if causes := answer["because"].get("causes"):
        say(f"Causes: {causes['sentence']}")
    say(f"Now: {answer['now']}")
    if members := answer["members"]:
        say(f"Set for: {', '.join(members)}")
    if answer["objective_from"]:
        say(f"Objective: {answer['objective']}, from {answer['objective_from']}")
    say(f"State: {answer['state']}, {answer['reason']}")
    for decision in answer["decisions"][:1]:
        say(f"Decision at {moment(decision['at'])} UTC: {decision['explanation']}")
        for each in decision["flip_points"]:
            say(f"  {each['sentence']}")
    actions(answer)


def actions(answer: Mapping[str, Any]) -> None:
    """Print actions with their state; those that wait for a person come first."""
    ordered = sorted(answer["actions"], key=lambda row: not row["needs_approval"])
    rows = (
        (
            (row["action"]["action_id"], _named(row["action"]), f"due {moment(row['action']['due_at'])} UTC"),
            ". ".join(part for part in (_stands(row), row.get("waits_for"), _came_to(row), _approve(row)) if part),
        )
        for row in ordered
    )
    paragraphs(rows, "No actions. If you expected one: foreact doctor")


def action(row: Mapping[str, Any], can_be_told: str = "") -> None:
    """Print one action with all that is recorded of it, and how small an effect of it can be told."""
    act, approval, receipt = row["action"], row["approval"], row["receipt"]
    rows = [
        ("action", f"{act['action_id']}  {_named(act)}"),
        ("status", ". ".join(part for part in (_stands(row), row.get("waits_for"), _approve(row)) if part)),
        ("goal", act["goal_id"]),
        ("target", act["target"] or "none"),
        ("parameters", ", ".join(f"{name}={value}" for name, value in act["params"].items()) or "none"),
        ("level", act["level"]),
        ("due", f"{moment(act['due_at'])} UTC; expires {moment(act['expires_at'])} UTC"),
    ]
    if approval:
        verb = "approved" if approval["approved"] else "rejected"
        rows.append(("answer", f"{verb} by {approval['by']} at {moment(approval['at'])} UTC. {approval['note']}"))
    if receipt:
        rows.append(("receipt", f"{receipt['status']} at {moment(receipt['finished_at'])} UTC. {_came_to(row)}"))
    rows += [("can be told", can_be_told)] if can_be_told else []
    rows += [("effect", row["early"]["sentence"])] if row.get("early") else []
    rows += [("effect", _effect(each)) for each in row["outcomes"]]
    table("", ("", ""), rows, "")


def _effect(outcome: Mapping[str, Any]) -> str:
    """Return in words what an act changed, or why that cannot be told."""
    if None in (outcome["estimate"], outcome["low"], outcome["high"]):
        return f"{outcome['series']}: {outcome['verdict']}. {outcome['reason']}".strip()
    interval = f"{outcome['estimate']:+.3g} ({outcome['low']:+.3g} to {outcome['high']:+.3g})"
    return f"{outcome['series']}: {outcome['verdict']}, {interval}. {outcome['reason']}".strip()


def _named(act: Mapping[str, Any]) -> str:
    return f"undo of {act['name']}" if act["undo_of"] else str(act["name"])


def _approve(row: Mapping[str, Any]) -> str:
    """Return how to answer an action that waits."""
    return f"foreact approve {row['action']['action_id']}, or reject" if row["needs_approval"] else ""


def _stands(row: Mapping[str, Any]) -> str:
    """Return the status of an action in words, and the action that undoes it."""
    return str(row["status"]).replace("_", " ") + (f" (undo: {row['undone_by']})" if row["undone_by"] else "")


def _came_to(row: Mapping[str, Any]) -> str:
    """Return the receipt of an action on one line."""
    return str(row["receipt"]["detail"]).partition("\n")[0] if row["receipt"] else ""


def audit(answer: Mapping[str, Any]) -> None:
    """Print decisions: what, by whom and when."""
    rows = (
        ((f"line {entry['seq']}", f"{moment(entry['at'])} UTC", entry["actor"]), _in_words(entry))
        for entry in answer["entries"]
    )
    paragraphs(rows, "No decisions yet.")
    if answer["verified"] is not None:
        broken, check = answer["first_broken_line"], answer["check"]
        say("The audit trail is intact." if broken is None else f"The audit trail was changed at line {broken}.")
        for sentence in (*check["findings"], f"Proved: {check['proves']}", f"Not proved: {check['cannot_prove']}"):
            say(sentence)


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
        ("turns", f"{total['ticks']}, one every {span(report.every_s)}{_widened(report)}"),
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


def _widened(report: BacktestReport) -> str:
    return f", not {span(report.asked_every_s)}: at most 2,000 are taken" if report.is_widened else ""


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


def patterns(answer: Mapping[str, Any]) -> None:
    """Print the patterns, strongest first."""
    rows = (
        (
            (each["kind"], f"strength {each['strength']:.2f}", _p_value(each["p_value"])),
            f"{each['statement']}{_next(each['next_at'])}",
        )
        for each in answer["patterns"]
    )
    paragraphs(rows, answer["note"] or "No patterns yet.")


def _p_value(p_value: float | None) -> str:
    return "" if p_value is None else f"p {p_value:.2g}"


def _next(at: str | None) -> str:
    return f" Next at {moment(at)} UTC." if at else ""


def rollout(answer: Mapping[str, Any]) -> None:
    """Print the level of each action for each type of goal, and what is missing for the next."""
    rows = [
        (each["action"], each["goal_type"] or "not planned yet", each["level"], _missing(each))
        for each in answer["pairs"]
    ]
    empty = "No action is enabled. docs/write-an-action.md says how to add one."
    table("Roll-out", ("action", "for", "level", "missing for the next one"), rows, empty)
    if answer["note"]:
        say(answer["note"])


def depth(answer: Mapping[str, Any]) -> None:
    """Print what is out of its depth, and why."""
    for each in answer["lost"]:
        say(f"{each['key']}: {each['reason']}")
    if answer["note"]:
        say(answer["note"])


def shared(answer: Mapping[str, Any]) -> None:
    """Print what is shared with other foreacts, and who holds how much until when."""
    for each in answer["shares"]:
        say(each["sentence"])
    for budget in answer["granted"]:
        say(budget["sentence"])
        heads = ("holder", "share", "holds", "wanted", "until", "how it stands")
        rows = [
            (
                each["holder"],
                *(number(each[key], 3) for key in ("amount", "in_use", "wanted")),
                f"{moment(each['until'])} UTC",
                each["sentence"],
            )
            for each in budget["holders"]
        ]
        if rows:
            table("", heads, rows, "")
    if answer["note"]:
        say(answer["note"])


def _missing(pair: Mapping[str, Any]) -> str:
    if pair["next_level"] is None:
        return f"nothing: this is the highest ({pair['reason']})"
    wanted = "; ".join(pair["missing"]) or "nothing: it changes with the next measured outcome"
    return f"{pair['next_level']} needs {wanted}" if pair["missing"] else wanted


def insights(answer: Mapping[str, Any]) -> None:
    """Print which actions work, what each changes, and what is settled."""
    rates = [
        (name, rate["count"], _interval(rate), rate["undecided"], rate["failed"])
        for name, rate in answer["action_success_rates"].items()
    ]
    heads = ("action", "decided", "improved (90 %)", "undecided", "failed")
    if rates:
        table("Which actions work", heads, rates, "")
    effects = [(each["action"], each["goal_type"], each["count"], _in_sd(each)) for each in answer["effects"]]
    if effects:
        table("What they change", ("action", "for", "times", "effect, in sd of the metric (90 %)"), effects, "")
    for each in answer["convergence"]:
        settled = "settled" if each["is_settled"] else "not settled yet"
        best = "doing nothing" if each["best"] == "nothing" else each["best"]
        say(f"{each['goal_type']}: {best} is best with a probability of {share(each['best_ratio'])}; {settled}.")
    for each in answer["common_failures"]:
        say(f"{each['action']} went wrong {times(each['count'])}: {each['reason']}.")
    if answer["note"]:
        say(answer["note"])


def _interval(rate: Mapping[str, Any]) -> str:
    """Return a share with its interval; of nothing there is none."""
    return f"{share(rate['rate'])} ({share(rate['low'])} to {share(rate['high'])})" if rate["count"] else "–"


def _in_sd(each: Mapping[str, Any]) -> str:
    return f"{each['effect_sd_units']:+.2f} ({each['low']:+.2f} to {each['high']:+.2f})"


def flat(value: Any, path: str = "") -> dict[str, str]:
    """Return a configuration by key, as JSON and in the order in which it is written: `agent.seed` and the like."""
    import json

    if isinstance(value, Mapping) and value:
        parts = ((str(key), each) for key, each in value.items())
    elif isinstance(value, list) and any(isinstance(each, Mapping) for each in value):
        parts = ((str(place), each) for place, each in enumerate(value))
    else:
        return {path: json.dumps(value, ensure_ascii=False)}
    lines: dict[str, str] = {}
    for key, each in parts:
        lines |= flat(each, f"{path}.{key}" if path else key)
    return lines
