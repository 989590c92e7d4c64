"""What the loop keeps of itself: its cycles, its patterns, the switches in force, and the audit trail."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

import duckdb

from storage.engine import CONFLICT_ATTEMPTS, Engine
from storage.records import AuditEntry, Cycle, Pattern
from storage.table import Clock, RecordTable, append_few, asked, next_number

GENESIS = "0" * 64


class Cycles:
    """The `cycles` and `cycle_stages` tables."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine, self._clock = engine, clock
        keys = {"cycle_id": "cycle_id", "agent": "agent", "tick": "tick", "kind": "kind"}
        self._cycles = RecordTable(engine, clock, "cycles", Cycle, keys, first_by=("cycle_id",))
        self._begun: tuple[str, datetime] | None = None
        self._measured_at: datetime | None = None

    def begin(self, cycle: Cycle) -> bool:
        """Record that a cycle runs; False where this (agent, tick) already ran or runs."""
        is_new = bool(self._cycles.append([cycle]))
        self._engine.when_written(partial(self._note_begun, cycle))
        return is_new

    def stages_done(self, cycle_id: str, stages: Sequence[tuple[str, datetime, float, Mapping[str, Any]]]) -> None:
        """Record stages that finished: name, moment, duration in seconds, and what each came to."""
        if not stages:
            return
        names, moments, taken_s, summaries = zip(*stages, strict=True)
        columns = {
            "cycle_id": [cycle_id] * len(stages),
            "stage": list(names),
            "recorded_at": list(moments),
            "duration_s": list(taken_s),
            "summary": [json.dumps(summary, default=str) for summary in summaries],
        }
        append_few(self._engine, "cycle_stages", columns)
        if "measure" in names:
            self._engine.when_written(partial(self._note_measured, cycle_id))

    def _note_begun(self, cycle: Cycle) -> None:
        self._begun = cycle.cycle_id, cycle.tick

    def _note_measured(self, cycle_id: str) -> None:
        if self._begun is not None and self._begun[0] == cycle_id:
            self._measured_at = max(self._begun[1], self._measured_at or self._begun[1])

    def stages(self, cycle_id: str) -> list[dict[str, Any]]:
        """Return the finished stages of a cycle in order."""
        sql = """SELECT stage, recorded_at, duration_s, summary FROM cycle_stages
                 WHERE cycle_id = $cycle_id ORDER BY recorded_at, rowid"""
        rows = self._engine.recall(
            ("cycle_stages",), ("stages", cycle_id), lambda: self._engine.rows(sql, {"cycle_id": cycle_id})
        )
        return [
            {"stage": stage, "finished_at": at, "duration_s": duration_s, "summary": json.loads(summary)}
            for stage, at, duration_s, summary in rows
        ]

    def measured_before(self, tick: datetime) -> datetime | None:
        """Return the tick of the last turn before one that measured, and so looked at what was done."""
        if self._engine.is_alone and self._measured_at is not None and self._measured_at < tick:
            return self._measured_at
        sql = """SELECT max(tick) FROM cycles SEMI JOIN (FROM cycle_stages WHERE stage = 'measure') USING (cycle_id)
                 WHERE tick < $tick"""
        found: datetime | None = self._engine.rows(sql, {"tick": tick})[0][0]
        return found

    def latest(self, limit: int = 1, *, whole: bool = False) -> list[Cycle]:
        """Return the newest cycles, newest first; with `whole` those in which all stages ran, live or simulated."""
        tail = "WHERE NOT $whole OR kind <> 'tend' ORDER BY tick DESC, recorded_at DESC LIMIT $limit"
        return self._cycles.select(tail, {"whole": whole, "limit": limit})

    def get(self, cycle_id: str) -> Cycle | None:
        """Return one cycle, or None."""
        return self._cycles.get(cycle_id)

    def count(self) -> int:
        """Count whole cycles."""
        return self._cycles.count("kind <> 'tend'")


class Patterns:
    """The `patterns` table."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        keys = {"pattern_id": "pattern_id", "kind": "kind", "subject": "subject"}
        self._engine = engine
        self._patterns = RecordTable(engine, clock, "patterns", Pattern, keys, first_by=("cycle_id",))

    def append(self, patterns: Sequence[Pattern], cycle_id: str) -> None:
        """Record the patterns that a cycle found."""
        self._patterns.append(patterns, cycle_id)

    def of_search(self, cycle_id: str) -> list[Pattern]:
        """Return what the long search of an earlier cycle found; it does not change any more."""
        return list(self._engine.recall((), ("patterns of", cycle_id), lambda: tuple(self.of_cycle(cycle_id))))

    def of_cycle(self, cycle_id: str) -> list[Pattern]:
        """Return the patterns that one cycle found itself, strongest first."""
        tail = "WHERE cycle_id = $cycle_id ORDER BY CAST(body->>'$.strength' AS DOUBLE) DESC, pattern_id"
        return self._patterns.select(tail, {"cycle_id": cycle_id})


class Facts:
    """The `facts` table: switches and small learned values, by name."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine, self._clock = engine, clock

    def set(self, name: str, value: Any, actor: str = "loop") -> None:
        """Put a new value in force."""
        self._engine.rows(
            "INSERT INTO facts VALUES ($seq, $name, $now, $actor, $value)",
            {
                "seq": next_number(),
                "name": name,
                "now": self._clock(),
                "actor": actor,
                "value": json.dumps(value, default=str),
            },
        )

    def get(self, name: str, default: Any = None) -> Any:
        """Return the value in force, or the default."""
        value = self._in_force(name).get(name)
        return default if value is None else json.loads(value)

    def matching(self, prefix: str) -> dict[str, Any]:
        """Return the values in force of all names with a prefix, keyed by what follows it."""
        values = self._in_force(prefix)
        return {name[len(prefix) :]: json.loads(value) for name, value in values.items() if name.startswith(prefix)}

    def _in_force(self, prefix: str) -> dict[str, str]:
        """Return as text the values in force of names with a prefix, and perhaps others.

        Where answers are remembered, one reading serves the dozen names that a turn asks for.
        """
        asked_for = "" if self._engine.is_alone else prefix
        # Not ORDER BY … LIMIT 1, which takes DuckDB three times as long.
        sql = "SELECT name, arg_max(value, seq) FROM facts WHERE starts_with(name, $prefix) GROUP BY name"
        read = partial(self._engine.rows, sql, {"prefix": asked_for})
        return self._engine.recall(("facts",), ("facts", asked_for), lambda: dict(read()))


class Audit:
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
