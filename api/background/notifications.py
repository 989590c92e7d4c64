"""What a line of the audit trail, or the end of a goal, means to those outside: an event, its weight, a sentence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import NAMESPACE_URL, uuid5

from storage.records import NOTHING, AuditEntry, Autonomy, GoalState, GoalView, ReceiptStatus

Severity = Literal["info", "warning", "critical"]
WAITING = "foreact.action.waiting"
SEVERITIES: tuple[Severity, ...] = ("info", "warning", "critical")
_WENT_WRONG = {ReceiptStatus.FAILED, ReceiptStatus.TIMED_OUT, ReceiptStatus.UNKNOWN}


@dataclass(frozen=True)
class Notification:
    """One thing worth telling; `key` is the same whenever the same thing is told."""

    key: str
    at: datetime
    event: str
    subject: str
    severity: Severity
    sentence: str
    payload: Mapping[str, Any] = field(default_factory=dict)

    def as_prefect_event(self, agent: str) -> dict[str, Any]:
        """Return it as Prefect takes it; told twice it is one event, since the id follows from the key."""
        return {
            "id": str(uuid5(NAMESPACE_URL, f"foreact:{agent}:{self.key}")),
            "occurred": self.at.isoformat(),
            "event": self.event,
            "resource": {
                "prefect.resource.id": f"foreact.{self.subject or agent}"[:500],
                "prefect.resource.name": self.subject or agent,
                "foreact.severity": self.severity,
            },
            "related": [{"prefect.resource.id": f"foreact.agent.{agent}", "prefect.resource.role": "agent"}],
            "payload": {"severity": self.severity, "sentence": self.sentence, **self.payload},
        }


Teller = Callable[[AuditEntry], tuple[str, Severity, str]]


def of_line(line: AuditEntry) -> Notification:
    """Return the news of an audit line."""
    teller: Teller = _TELLERS.get(line.verb, _other)
    event, severity, sentence = teller(line)
    payload = {"actor": line.actor, "line": line.seq, "hash": line.entry_hash, "detail": line.detail}
    return Notification(f"line-{line.seq}-{line.entry_hash}", line.at, event, line.subject, severity, sentence, payload)


def of_closed_goal(view: GoalView) -> Notification:
    """Return the news of a goal that has come to its end."""
    goal, state = view.goal, view.state
    severity: Severity = "critical" if state is GoalState.FAILED else "info"
    sentence = f"Goal {state}: {goal.description} ({view.reason})."
    payload = {"goal_type": goal.goal_type, "objective": goal.objective, "reason": view.reason}
    return Notification(
        f"{goal.goal_id}-{state}", view.since, f"foreact.goal.{state}", goal.goal_id, severity, sentence, payload
    )


def is_at_least(severity: Severity, least: Severity) -> bool:
    """Tell whether something weighs at least as much as is wanted."""
    return SEVERITIES.index(severity) >= SEVERITIES.index(least)


def _goal_set(line: AuditEntry) -> tuple[str, Severity, str]:
    kind, description = line.detail.get("type", ""), line.detail.get("description", "")
    because = (line.detail.get("because") or {}).get("sentence", "")
    return "foreact.goal.proposed", "warning", f"New goal ({kind}): {description}. {because}".strip()


def _planned(line: AuditEntry) -> tuple[str, Severity, str]:
    action = _action(line)
    if line.detail.get("level") == Autonomy.APPROVE:
        sentence = f"{action} waits for your approval: foreact approve {line.subject}"
        return WAITING, "warning", sentence
    return "foreact.action.planned", "info", f"{action} is planned."


def _acted(line: AuditEntry) -> tuple[str, Severity, str]:
    status, detail = line.detail.get("status", ""), line.detail.get("detail", "")
    if line.detail.get("action") == NOTHING:
        return "foreact.action.finished", "info", f"{detail}"
    severity: Severity = "warning" if status in _WENT_WRONG else "info"
    return "foreact.action.finished", severity, f"{_action(line)} {str(status).replace('_', ' ')}. {detail}".strip()


def _undone(line: AuditEntry) -> tuple[str, Severity, str]:
    return "foreact.action.undone", "warning", f"{_action(line)} was undone. {line.detail.get('detail', '')}".strip()


def _undo_failed(line: AuditEntry) -> tuple[str, Severity, str]:
    said, remedy = line.detail.get("detail", ""), line.detail.get("remedy", "")
    sentence = f"{_action(line)} could not be undone. {str(said).rstrip('.')}. {remedy}"
    return "foreact.undo.failed", "critical", sentence.strip()


def _undo_planned(line: AuditEntry) -> tuple[str, Severity, str]:
    sentence = f"{_action(line)} is being undone, because {line.detail.get('reason', '')}. It was {line.subject}."
    return "foreact.undo.planned", "critical", sentence


def _mode(line: AuditEntry) -> tuple[str, Severity, str]:
    is_on = "acts automatically" if line.detail.get("autonomous") else "only recommends"
    return "foreact.mode.changed", "critical", f"{line.actor} changed the mode: foreact now {is_on}."


def _kill_switch(line: AuditEntry) -> tuple[str, Severity, str]:
    state = line.verb.rpartition(" ")[2]
    note = line.detail.get("note", "")
    did = f"turned the kill switch {state}" if note else f"found the kill switch {'on' if state == 'on' else 'removed'}"
    return f"foreact.kill_switch.{state}", "critical", f"{line.actor} {did}: {line.subject}. {note}".strip()


def _autonomy(line: AuditEntry) -> tuple[str, Severity, str]:
    step = f"{line.detail.get('from')} to {line.detail.get('to')}"
    reason = line.detail.get("reason", "")
    return f"foreact.autonomy.{line.verb}", "warning", f"{line.subject} was {line.verb} from {step}: {reason}"


def _out_of_depth(line: AuditEntry) -> tuple[str, Severity, str]:
    sentence = f"{line.detail.get('reason', '')} foreact depth {line.subject} --note REASON is such a word."
    return "foreact.autonomy.out_of_depth", "warning", sentence


def _simple(event: str, severity: Severity, words: str) -> Teller:
    def tell(line: AuditEntry) -> tuple[str, Severity, str]:
        note = line.detail.get("note") or line.detail.get("reason") or line.detail.get("trouble") or ""
        return event, severity, f"{line.actor} {words} {line.subject}. {note}".strip()

    return tell


def _other(line: AuditEntry) -> tuple[str, Severity, str]:
    return f"foreact.audit.{line.verb.replace(' ', '_')}", "info", f"{line.actor}: {line.verb} {line.subject}."


def _action(line: AuditEntry) -> str:
    name, target = line.detail.get("action", "An action"), line.detail.get("target", "")
    return f"{name} on {target}" if target else str(name)


_TELLERS: Mapping[str, Teller] = {
    "goal set": _goal_set,
    "action planned": _planned,
    "propose action": _planned,
    "acted": _acted,
    "undone": _undone,
    "undo failed": _undo_failed,
    "undo planned": _undo_planned,
    "set mode": _mode,
    "promoted": _autonomy,
    "demoted": _autonomy,
    "out of depth": _out_of_depth,
    "in depth again": _simple("foreact.autonomy.in_depth", "info", "trusts again:"),
    "kill switch on": _kill_switch,
    "kill switch off": _kill_switch,
    "configuration unusable": _simple(
        "foreact.configuration.unusable", "critical", "continues with the last usable configuration instead of"
    ),
    "configuration usable again": _simple("foreact.configuration.usable", "critical", "can use again"),
    "approve action": _simple("foreact.action.approved", "info", "approved"),
    "reject action": _simple("foreact.action.rejected", "info", "rejected"),
    "undo action": _simple("foreact.undo.asked", "info", "asked to undo"),
    "cancel goal": _simple("foreact.goal.given_up", "info", "cancelled"),
    "set objective": _simple("foreact.objective.changed", "info", "set the objective"),
    "remove objective": _simple("foreact.objective.removed", "info", "removed the objective"),
    "source failed": _simple("foreact.source.failed", "warning", "could not read a source of"),
    "forecaster misconfigured": _simple(
        "foreact.forecaster.misconfigured", "warning", "cannot use the configured forecaster for"
    ),
    "drill failed": _simple("foreact.drill.failed", "critical", "could not run and undo"),
    "drilled": _simple("foreact.drill.passed", "info", "ran and undid"),
}
