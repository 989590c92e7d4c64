"""Events: what happened, and when."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from storage.engine.protocol import Engine, literal
from storage.records import Event, stable_id
from storage.table import Clock, whole_day


class EventTable:
    """The `events` table."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine, self._clock = engine, clock

    def append(self, events: Sequence[Event]) -> int:
        """Record events; durable when this returns. The same event twice is one event."""
        if not events:
            return 0
        rows = ", ".join("(" + ", ".join(map(literal, self._row(event))) + ")" for event in events)
        sql = f"INSERT INTO events VALUES {rows} ON CONFLICT DO NOTHING RETURNING event_id"
        return len(self._engine.rows(sql))

    def columns(self, since: datetime, until: datetime) -> dict[str, np.ndarray[Any, Any]]:
        """Return event_type and ts in (since, until], in time order, as columns."""
        sql = "SELECT event_type, ts FROM events WHERE ts > $day ORDER BY ts"
        day = whole_day(since)
        found = self._engine.recall(("events",), ("events", day), lambda: self._engine.columns(sql, {"day": day}))
        first, end = np.searchsorted(found["ts"], [_stamp(since), _stamp(until)], side="right")
        return {name: column[first:end] for name, column in found.items()}

    def between(self, since: datetime, until: datetime, limit: int = 1_000_000) -> list[Event]:
        """Return events in (since, until], newest first."""
        sql = """SELECT event_type, ts, labels, metadata FROM events
                 WHERE ts > $since AND ts <= $until ORDER BY ts DESC LIMIT $limit"""
        rows = self._engine.rows(sql, {"since": since, "until": until, "limit": limit})
        return [
            Event(event_type=kind, ts=ts, labels=json.loads(labels), metadata=json.loads(metadata))
            for kind, ts, labels, metadata in rows
        ]

    def newest(self, kinds: Sequence[str], since: datetime, until: datetime, most: int) -> list[Event]:
        """Return events of some kinds in (since, until], newest first: of each kind with each labels at most `most`."""
        sql = """SELECT event_type, ts, labels, metadata FROM events
                 WHERE ts > $since AND ts <= $until AND event_type IN (SELECT unnest($kinds))
                 QUALIFY row_number() OVER (PARTITION BY event_type, labels ORDER BY ts DESC) <= $most
                 ORDER BY ts DESC"""
        asked = {"since": since, "until": until, "kinds": list(kinds), "most": most}
        return [
            Event(event_type=kind, ts=ts, labels=json.loads(labels), metadata=json.loads(metadata))
            for kind, ts, labels, metadata in self._engine.rows(sql, asked)
        ]

    def _row(self, event: Event) -> list[Any]:
        labels, metadata = (
            json.dumps(event.labels, sort_keys=True),
            json.dumps(event.metadata, sort_keys=True, default=str),
        )
        event_id = stable_id("event", event.event_type, event.ts.isoformat(), labels, metadata)
        return [event_id, event.event_type, event.ts, labels, metadata, self._clock()]


def _stamp(moment: datetime) -> np.datetime64:
    return np.datetime64(moment.astimezone(UTC).replace(tzinfo=None), "us")
