"""The audit trail: who decided what, each line sealed by the hash of the one before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import duckdb

from storage.engine.protocol import CONFLICT_ATTEMPTS, Engine
from storage.records import AuditEntry
from storage.table import Clock, asked

GENESIS = "0" * 64


class AuditTrail:
    """The `audit` table: one line for all that a person or the loop decided, each with the hash before it."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine, self._clock = engine, clock

    def append(self, actor: str, verb: str, subject: str, detail: Mapping[str, Any] | None = None) -> AuditEntry:
        """Add a line; two writers at once get two consecutive lines."""
        text = json.dumps(dict(detail or {}), sort_keys=True, default=str)
        for attempt in range(CONFLICT_ATTEMPTS):
            entry = self._next(actor, verb, subject, text)
            try:
                self._write(entry, text)
            except duckdb.ConstraintException:
                if attempt == CONFLICT_ATTEMPTS - 1:
                    raise
            else:
                return entry
        raise AssertionError("unreachable")

    def latest(self, limit: int = 100) -> list[AuditEntry]:
        """Return the newest lines, newest first."""
        return self._select("ORDER BY seq DESC LIMIT $limit", {"limit": limit})

    def first_broken_line(self) -> int | None:
        """Return the number of the first line whose hash does not follow from the one before, or None."""
        previous = GENESIS
        rows = self._engine.rows(
            "SELECT seq, written_at, actor, verb, subject, detail, previous_hash, entry_hash FROM audit ORDER BY seq"
        )
        for number, (seq, at, actor, verb, subject, detail, before, entry_hash) in enumerate(rows, start=1):
            if (
                seq != number
                or before != previous
                or entry_hash != _hash(before, seq, at, actor, verb, subject, detail)
            ):
                return number
            previous = entry_hash
        return None

    def _next(self, actor: str, verb: str, subject: str, detail: str) -> AuditEntry:
        rows = self._engine.rows("SELECT seq, entry_hash FROM audit ORDER BY seq DESC LIMIT 1")
        seq, previous = (rows[0][0] + 1, rows[0][1]) if rows else (1, GENESIS)
        at = self._clock()
        return AuditEntry(
            seq=seq,
            at=at,
            actor=actor,
            verb=verb,
            subject=subject,
            detail=json.loads(detail),
            previous_hash=previous,
            entry_hash=_hash(previous, seq, at, actor, verb, subject, detail),
        )

    def _write(self, entry: AuditEntry, detail: str) -> None:
        sql = "INSERT INTO audit VALUES ($seq, $at, $actor, $verb, $subject, $detail, $previous_hash, $entry_hash)"
        self._engine.rows(sql, entry.model_dump() | {"detail": detail})

    def _select(self, tail: str, params: Mapping[str, Any]) -> list[AuditEntry]:
        columns = ("seq", "at", "actor", "verb", "subject", "detail", "previous_hash", "entry_hash")
        stored = ("written_at" if column == "at" else column for column in columns)
        sql = f"SELECT {', '.join(stored)} FROM audit {tail}"

        def read() -> tuple[AuditEntry, ...]:
            rows = self._engine.rows(sql, params)
            return tuple(
                AuditEntry(**dict(zip(columns, row, strict=True)) | {"detail": json.loads(row[5])}) for row in rows
            )

        return list(self._engine.recall(("audit",), ("audit", tail, asked(params)), read))


def _hash(previous: str, seq: int, at: datetime, actor: str, verb: str, subject: str, detail: str) -> str:
    moment = at.astimezone(UTC).isoformat(timespec="microseconds")
    text = json.dumps([previous, seq, moment, actor, verb, subject, detail])
    return hashlib.sha256(text.encode()).hexdigest()
