"""One table of records: its key columns beside the whole record as JSON."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Generic, TypeVar

from storage.engine import Engine, literal
from storage.records import Record

R = TypeVar("R", bound=Record)
Clock = Callable[[], datetime]


def next_number() -> int:
    """Return a number greater than any before it, by which rows written at one tick keep their order.

    A database sequence would do, but a client cannot attach to a table whose default calls one.
    """
    return time.time_ns()


class RecordTable(Generic[R]):
    """Append-only rows of one kind of record; writing the same row twice changes nothing."""

    def __init__(self, engine: Engine, clock: Clock, name: str, model: type[R], keys: Mapping[str, str]) -> None:
        """Bind a table: `keys` maps each key column to the record's attribute that fills it."""
        self._engine, self._clock, self._name, self._model, self._keys = engine, clock, name, model, keys

    def append(self, records: Iterable[R], cycle_id: str | None = None) -> int:
        """Write records that are not there yet; return how many were new."""
        rows = [self._row(record, cycle_id) for record in records]
        if not rows:
            return 0
        columns = [*self._keys, *(["cycle_id"] if cycle_id is not None else []), "recorded_at", "body"]
        values = ", ".join("(" + ", ".join(map(literal, row)) + ")" for row in rows)
        first = next(iter(self._keys))
        sql = (
            f"INSERT INTO {self._name} ({', '.join(columns)}) VALUES {values} ON CONFLICT DO NOTHING RETURNING {first}"
        )
        return len(self._engine.rows(sql))

    def select(self, tail: str = "", params: Mapping[str, Any] | None = None) -> list[R]:
        """Read records; `tail` is the SQL after FROM (WHERE, ORDER BY, LIMIT)."""
        found = self._engine.rows(f"SELECT body FROM {self._name} {tail}", params)
        return [self._model.model_validate_json(body) for (body,) in found]

    def get(self, key: str) -> R | None:
        """Return the record with this first key, or None."""
        column = next(iter(self._keys))
        found = self.select(f"WHERE {column} = $key LIMIT 1", {"key": key})
        return found[0] if found else None

    def count(self, where: str = "TRUE", params: Mapping[str, Any] | None = None) -> int:
        """Count the rows that match."""
        return int(self._engine.rows(f"SELECT count(*) FROM {self._name} WHERE {where}", params)[0][0])

    def _row(self, record: R, cycle_id: str | None) -> Sequence[Any]:
        keys = [getattr(record, attribute) for attribute in self._keys.values()]
        cycle = [cycle_id] if cycle_id is not None else []
        return [*keys, *cycle, self._clock(), record.model_dump_json()]
