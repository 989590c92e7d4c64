"""Events: what happened, and when."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import numpy as np

from storage.engine.protocol import Engine, literal
from storage.records import Column, Event, InColumn, Moment, Record, stable_id
from storage.table import Clock, RecordTable, whole_day


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


Resource = Literal["cpu", "memory", "io"]
_RESOURCES: dict[str, Resource] = {
    "cpu_used_ratio": "cpu",
    "load1_per_core": "cpu",
    "memory_used_ratio": "memory",
    "swap_used_ratio": "memory",
    "disk_read_bytes_per_second": "io",
    "disk_written_bytes_per_second": "io",
}


def resource_of(metric: str) -> Resource | None:
    """Return what of the host processes share where this metric rises; None of other metrics."""
    return _RESOURCES.get(metric)


class Consumer(Record):
    """What all processes of one name used over a short interval: CPU in cores, memory and I/O in bytes."""

    name: str
    processes: int
    cpu_cores: float
    memory_bytes: int
    io_bytes_per_second: float

    def of(self, resource: Resource) -> float:
        """Return how much of a resource they used."""
        figures = {"cpu": self.cpu_cores, "memory": float(self.memory_bytes), "io": self.io_bytes_per_second}
        return figures[resource]


class TopConsumers(Record):
    """Who used most of a resource of this host when a series of it stood out at a value, the most first."""

    series: Column[str]
    at: Annotated[Moment, InColumn("seen_at")]
    value: float
    by: Resource
    consumers: tuple[Consumer, ...]


class ConsumerTable:
    """The `top_consumers` table."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._rows = RecordTable(engine, clock, "top_consumers", TopConsumers)

    def append(self, noted: Sequence[TopConsumers]) -> int:
        """Write what was noted; return how many notes were new."""
        return self._rows.append(noted)

    def between(self, since: datetime, until: datetime, limit: int = 100) -> list[TopConsumers]:
        """Return what was noted in (since, until], newest first."""
        tail = "WHERE seen_at > $since AND seen_at <= $until ORDER BY seen_at DESC LIMIT $limit"
        return self._rows.select(tail, {"since": since, "until": until, "limit": limit})


def _stamp(moment: datetime) -> np.datetime64:
    return np.datetime64(moment.astimezone(UTC).replace(tzinfo=None), "us")
