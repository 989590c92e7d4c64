"""One table of records: the fields that SQL may search by as columns, beside the whole record as JSON."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import duckdb
import numpy as np

from storage.engine.protocol import Engine, Params
from storage.records import InColumn, Record

FEW = 20
"""So many rows travel to the owner faster as one statement than as columns."""

R = TypeVar("R", bound=Record)
Clock = Callable[[], datetime]


def next_number() -> int:
    """Return a number greater than any before it, by which rows written at one tick keep their order.

    A database sequence would do, but a client cannot attach to a table whose default calls one.
    """
    return time.time_ns()


def whole_day(moment: datetime) -> datetime:
    """Return the beginning of a moment's day: reads from there on are the same all day, and can be remembered."""
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def asked(params: Mapping[str, Any] | None) -> tuple[tuple[str, Any], ...]:
    """Return parameters as part of a key by which an answer is remembered."""
    given = {name: tuple(each) if isinstance(each, list) else each for name, each in (params or {}).items()}
    return tuple(sorted(given.items()))


def pattern_of(text: str) -> str:
    """Return the pattern by which ILIKE with `ESCAPE '!'` finds a text in a record that is kept as JSON."""
    written = re.sub("([!%_])", r"!\1", json.dumps(text, ensure_ascii=False)[1:-1])
    return f"%{written}%"


def insert_new(
    engine: Engine, table: str, columns: Mapping[str, Sequence[Any]], *, first_by: tuple[str, ...] = ()
) -> int:
    """Write rows, given as columns of equal length, that are not there yet; return how many were new.

    `first_by` names columns: a row can only be there already if one with the same values in them is, of another call.
    """
    count = len(next(iter(columns.values())))
    if not count:
        return 0
    if first_by and engine.append_first(table, columns, first_by):
        return count
    insert, params = insert_of(table, columns)
    if engine.expects_new:
        try:
            engine.rows(insert, params)
        except duckdb.ConstraintException:
            if engine.in_transaction:
                raise
        else:
            return count
    return len(engine.rows(f"{insert} ON CONFLICT DO NOTHING RETURNING 1", params))


def append_few(engine: Engine, table: str, columns: Mapping[str, Sequence[Any] | np.ndarray[Any, Any]]) -> None:
    """Append columns of equal length, which are seldom more than a few rows."""
    if engine.is_local or len(next(iter(columns.values()))) > FEW:
        engine.append(table, columns)
        return
    engine.rows(*insert_of(table, {name: plain(part) for name, part in columns.items()}))


def plain(column: Sequence[Any] | np.ndarray[Any, Any]) -> Sequence[Any]:
    """Return a column as Python's own values, with moments in UTC."""
    if not isinstance(column, np.ndarray):
        return column
    values: list[Any] = column.tolist()
    return [value.replace(tzinfo=UTC) for value in values] if column.dtype.kind == "M" else values


def insert_of(table: str, columns: Mapping[str, Sequence[Any]]) -> tuple[str, Params]:
    """Return the statement that writes these columns, of a row or more, and its parameters."""
    names = ", ".join(columns)
    if len(next(iter(columns.values()))) == 1:
        values = ", ".join(f"${column}" for column in columns)
        return f"INSERT INTO {table} ({names}) VALUES ({values})", {name: part for name, (part,) in columns.items()}
    # Lists unfolded by DuckDB: for a hundred rows half the time that it takes to parse as many rows of SQL.
    values = ", ".join(f"unnest(CAST(${column} AS {_type_of(parts)}[]))" for column, parts in columns.items())
    return f"INSERT INTO {table} ({names}) SELECT {values}", columns


def _type_of(parts: Sequence[Any]) -> str:
    """Return the DuckDB type of a list, which it cannot tell where all are missing."""
    kinds = {type(part) for part in parts if part is not None}
    if kinds == {int, float}:
        return "DOUBLE"
    names = {datetime: "TIMESTAMPTZ", int: "BIGINT", float: "DOUBLE"}
    return names.get(kinds.pop(), "VARCHAR") if len(kinds) == 1 else "VARCHAR"


def columns_of(model: type[Record]) -> dict[str, str]:
    """Return the columns that a kind of record fills, in the order of its fields: column to field."""
    return {
        mark.name or field: field
        for field, info in model.model_fields.items()
        for mark in info.metadata
        if isinstance(mark, InColumn)
    }


class RecordTable(Generic[R]):
    """Append-only rows of one kind of record; writing the same row twice changes nothing."""

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        name: str,
        model: type[R],
        *,
        first_by: tuple[str, ...] = (),
    ) -> None:
        """Bind a table to its kind of record; see `insert_new`."""
        self._engine, self._clock, self._name, self._model = engine, clock, name, model
        self._keys = columns_of(model)
        self._first_by = first_by

    def append(self, records: Iterable[R], cycle_id: str | None = None) -> int:
        """Write records that are not there yet; return how many were new."""
        rows = [self._row(record, cycle_id) for record in records]
        if not rows:
            return 0
        columns = [*self._keys, *(["cycle_id"] if cycle_id is not None else []), "recorded_at", "body"]
        lists = {column: list(parts) for column, parts in zip(columns, zip(*rows, strict=True), strict=True)}
        return insert_new(self._engine, self._name, lists, first_by=self._first_by)

    def select(self, tail: str = "", params: Mapping[str, Any] | None = None) -> list[R]:
        """Read records; `tail` is the SQL after FROM (WHERE, ORDER BY, LIMIT)."""

        def read() -> tuple[R, ...]:
            found = self._engine.rows(f"SELECT body FROM {self._name} {tail}", params)
            return tuple(self._model.model_validate_json(body) for (body,) in found)

        return list(self._engine.recall((self._name,), (self._name, tail, asked(params)), read))

    def get(self, key: str) -> R | None:
        """Return the record with this first key, or None."""
        column = next(iter(self._keys))
        found = self.select(f"WHERE {column} = $key LIMIT 1", {"key": key})
        return found[0] if found else None

    def cycle_of(self, key: str) -> str | None:
        """Return the id of the cycle that wrote the record with this first key last, or None."""
        column = next(iter(self._keys))
        sql = f"SELECT cycle_id FROM {self._name} WHERE {column} = $key ORDER BY recorded_at DESC LIMIT 1"
        rows = self._engine.rows(sql, {"key": key})
        return str(rows[0][0]) if rows else None

    def count(self, where: str = "TRUE", params: Mapping[str, Any] | None = None) -> int:
        """Count the rows that match."""
        sql = f"SELECT count(*) FROM {self._name} WHERE {where}"
        key = (self._name, "count", where, asked(params))
        return int(self._engine.recall((self._name,), key, lambda: self._engine.rows(sql, params))[0][0])

    def page(self, text: str, order: str, limit: int, offset: int = 0, where: str = "TRUE") -> tuple[list[R], int]:
        """Return some of the records that contain a text, in an order (SQL), and how many do."""
        found, params = f"{where} AND body ILIKE $text ESCAPE '!'", {"text": pattern_of(text)}
        tail = f"WHERE {found} ORDER BY {order} LIMIT $limit OFFSET $offset"
        return self.select(tail, {**params, "limit": limit, "offset": offset}), self.count(found, params)

    def _row(self, record: R, cycle_id: str | None) -> Sequence[Any]:
        keys = [getattr(record, attribute) for attribute in self._keys.values()]
        cycle = [cycle_id] if cycle_id is not None else []
        return [*keys, *cycle, self._clock(), record.model_dump_json()]
