"""Actions and what became of them: approval, intent before the act, receipt after it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from storage.engine.protocol import Engine
from storage.records import NOTHING, Action, Approval, Autonomy, Intent, Receipt, ReceiptStatus
from storage.table import Clock, RecordTable, asked, pattern_of, whole_day

_NOT_DONE = frozenset({ReceiptStatus.SKIPPED, ReceiptStatus.DRY_RUN})
_FINISHED = "SELECT action_id FROM receipts"
_VIEWED = ("actions", "approvals", "intents", "receipts", "outcomes")


@dataclass(frozen=True)
class ActionView:
    """An action with all that is recorded of it."""

    action: Action
    approval: Approval | None
    intent: Intent | None
    receipt: Receipt | None

    @property
    def touched(self) -> Receipt | None:
        """Return the receipt where something may have been changed, however it ended; doing nothing changes nothing."""
        is_act = self.receipt is not None and self.receipt.status not in _NOT_DONE and self.action.name != NOTHING
        return self.receipt if is_act else None

    def awaits_approval(self, now: datetime) -> bool:
        """Tell whether the action waits for a person: none has answered, and it has neither begun nor expired."""
        is_open = (
            self.receipt is None and self.intent is None and self.approval is None and now < self.action.expires_at
        )
        return is_open and self.action.level is not Autonomy.AUTO


def _in_order(view: ActionView) -> tuple[float, str, int]:
    """Return by what due actions are sorted: the most important first, the steps of a sequence as they follow."""
    return -view.action.priority, view.action.sequence_id or view.action.action_id, view.action.position


class ActionTable:
    """The `actions`, `approvals`, `intents` and `receipts` tables."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine, self._clock = engine, clock
        self._actions = RecordTable(engine, clock, "actions", Action)
        self._approvals = RecordTable(engine, clock, "approvals", Approval)
        self._intents = RecordTable(engine, clock, "intents", Intent)
        self._receipts = RecordTable(engine, clock, "receipts", Receipt)

    def append(self, actions: Sequence[Action], cycle_id: str) -> int:
        """Record planned actions; return how many were new."""
        return self._actions.append(actions, cycle_id)

    def get(self, action_id: str) -> ActionView | None:
        """Return an action with all that is recorded of it, or None."""
        found = self.views("WHERE a.action_id = $action_id", {"action_id": action_id})
        return found[0] if found else None

    def cycle_of(self, action_id: str) -> str | None:
        """Return the id of the cycle that planned an action, or None."""
        return self._actions.cycle_of(action_id)

    def due(self, tick: datetime) -> list[ActionView]:
        """Return actions whose time has come and which have no receipt, most important first."""
        due = (view for view in self.pending() if view.action.due_at <= tick)
        return sorted(due, key=_in_order)

    def pending(self) -> list[ActionView]:
        """Return every action without a receipt."""
        return self.views(f"WHERE a.action_id NOT IN ({_FINISHED})")

    def of_cycle(self, cycle_id: str, limit: int) -> list[ActionView]:
        """Return what one cycle planned, oldest first."""
        tail = "WHERE a.cycle_id = $cycle_id ORDER BY a.recorded_at, a.action_id LIMIT $limit"
        return self.views(tail, {"cycle_id": cycle_id, "limit": limit})

    def of_goal(self, goal_id: str) -> list[ActionView]:
        """Return the actions of a goal, oldest first."""
        return self.views("WHERE a.goal_id = $goal_id ORDER BY a.recorded_at", {"goal_id": goal_id})

    def of_sequence(self, sequence_id: str) -> list[ActionView]:
        """Return the steps of a sequence in their order, without the undos of them."""
        tail = "WHERE a.undo_of IS NULL AND (a.body->>'$.sequence_id') = $sequence_id"
        return sorted(self.views(tail, {"sequence_id": sequence_id}), key=lambda view: view.action.position)

    def sequences(self, since: datetime, limit: int = 100) -> list[str]:
        """Return the ids of the sequences planned since the day of a moment, the newest first."""
        sql = """SELECT body->>'$.sequence_id' AS id FROM actions
                 WHERE recorded_at >= $since AND coalesce(body->>'$.sequence_id', '') <> ''
                 GROUP BY id ORDER BY max(recorded_at) DESC, id LIMIT $limit"""
        params = {"since": whole_day(since), "limit": limit}
        read = partial(self._engine.rows, sql, params)
        return [found for (found,) in self._engine.recall(("actions",), ("sequences", asked(params)), read)]

    def of_names(self, names: Collection[str]) -> list[ActionView]:
        """Return all acts by some names, without undos, in the order in which they ended; those without a receipt last.

        What they brought about may last for good, so that none is too old.
        """
        tail = "WHERE a.undo_of IS NULL AND a.name IN (SELECT unnest($names)) ORDER BY r.finished_at, a.action_id"
        return self.views(tail, {"names": sorted(names)}) if names else []

    def finished(self, since: datetime) -> list[ActionView]:
        """Return actions with a receipt after a moment, oldest first."""
        tail = "WHERE r.finished_at > $since ORDER BY r.finished_at"
        views = self.views(tail, {"since": whole_day(since)})
        return [view for view in views if view.receipt and view.receipt.finished_at > since]

    def unmeasured(self) -> list[ActionView]:
        """Return acts that are to be measured, were carried out and have no outcome yet; undos are not measured.

        Those aimed at a metric, and those that set an amount, for which was fixed what they are judged by.
        """
        tail = """WHERE r.status IN ('succeeded', 'failed', 'timed_out', 'unknown') AND a.undo_of IS NULL
                  AND ((a.body->>'$.series') IS NOT NULL OR a.action_id IN (SELECT action_id FROM estimands))
                  AND a.action_id NOT IN (SELECT action_id FROM outcomes WHERE role = 'target')
                  ORDER BY r.finished_at"""
        return self.views(tail)

    def proposed(self) -> list[ActionView]:
        """Return what others than the loop proposed, oldest first."""
        return self.views("WHERE coalesce(a.body->>'$.proposed_by', '') <> '' ORDER BY a.recorded_at, a.action_id")

    def latest(self, limit: int) -> list[ActionView]:
        """Return the newest actions, newest first."""
        return self.views("ORDER BY a.recorded_at DESC LIMIT $limit", {"limit": limit})

    def page(self, text: str, limit: int, offset: int = 0) -> tuple[list[ActionView], int]:
        """Return some of the actions that contain a text, newest first, and how many do."""
        params = {"text": pattern_of(text)}
        where = "WHERE a.body ILIKE $text ESCAPE '!'"
        sql = f"SELECT count(*) FROM actions a {where}"
        count = self._engine.recall(("actions",), ("actions counted", text), lambda: self._engine.rows(sql, params))
        tail = f"{where} ORDER BY a.recorded_at DESC, a.action_id LIMIT $limit OFFSET $offset"
        return self.views(tail, {**params, "limit": limit, "offset": offset}), int(count[0][0])

    def undo_for(self, action_id: str) -> ActionView | None:
        """Return the undo of an action that was planned last, None where none was."""
        found = self.views("WHERE a.undo_of = $action_id ORDER BY a.recorded_at", {"action_id": action_id})
        return found[-1] if found else None

    def undos_of(self, action_ids: Sequence[str]) -> dict[str, list[ActionView]]:
        """Return the undos that were planned, by the act they undo, oldest first: several where the world refused."""
        undos: dict[str, list[ActionView]] = {}
        tail = "WHERE a.undo_of IN (SELECT unnest($action_ids)) ORDER BY a.recorded_at"
        for view in self.views(tail, {"action_ids": list(action_ids)}) if action_ids else ():
            undos.setdefault(str(view.action.undo_of), []).append(view)
        return undos

    def undone_at(self) -> dict[str, datetime]:
        """Return when acts began to be undone, by action id; undos that did not succeed are left out."""
        sql = """SELECT a.undo_of, CAST(r.body->>'$.started_at' AS TIMESTAMPTZ) FROM actions a
                 JOIN receipts r USING (action_id) WHERE a.undo_of IS NOT NULL AND r.status = 'succeeded'"""
        return dict(self._engine.recall(("actions", "receipts"), "undone", lambda: self._engine.rows(sql)))

    def approve(self, approval: Approval) -> bool:
        """Record a person's answer; only the first counts. Returns whether this was it."""
        return bool(self._approvals.append([approval]))

    def claim(self, intent: Intent) -> bool:
        """Write the promise to act; False where another run already made it: then do not act."""
        return bool(self._intents.append([intent]))

    def finish(self, receipt: Receipt) -> bool:
        """Write what came of an act; only the first receipt counts. Returns whether this was it."""
        return bool(self._receipts.append([receipt]))

    def views(self, tail: str = "", params: dict[str, Any] | None = None) -> list[ActionView]:
        """Read actions with their approval, newest intent and receipt; `tail` is SQL after the joins."""
        sql = f"""SELECT a.body, p.body, i.body, r.body FROM actions a
                  LEFT JOIN approvals p USING (action_id)
                  LEFT JOIN (SELECT action_id, arg_max(body, attempt) AS body FROM intents GROUP BY 1) i
                    USING (action_id)
                  LEFT JOIN receipts r USING (action_id) {tail}"""

        def read() -> tuple[ActionView, ...]:
            return tuple(
                ActionView(
                    Action.model_validate_json(action),
                    Approval.model_validate_json(approval) if approval else None,
                    Intent.model_validate_json(intent) if intent else None,
                    Receipt.model_validate_json(receipt) if receipt else None,
                )
                for action, approval, intent, receipt in self._engine.rows(sql, params)
            )

        return list(self._engine.recall(_VIEWED, ("action views", tail, asked(params)), read))

    def counts_by_status(self) -> dict[str, int]:
        """Return how many receipts have each status."""
        sql = "SELECT status, count(*) FROM receipts GROUP BY status"
        rows = self._engine.recall(("receipts",), "receipt counts", lambda: self._engine.rows(sql))
        return {status: int(count) for status, count in rows}
