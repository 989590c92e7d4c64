"""DuckDB in memory, which dies with its process: there rows may wait until somebody asks for them.

A statement takes DuckDB half a millisecond however few rows it writes, and a turn writes ten tables of which the next
turn reads two. What was appended is kept as it came and written when a statement names its table, many turns in one:
nobody sees a difference but the time it takes. A file or an owner gets every row at once, so that it is durable.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from threading import RLock
from typing import Any

import duckdb
import numpy as np

from storage.engine import Columns, LocalEngine, Params, Rows, arrays, insert
from storage.recall import ANYTHING, written

MOST_WAITING = 400
"""Rows of a table that wait, until they are written unasked."""
VIEWS = {"goal_states": "goal_transitions", "sample_values": "samples"}
_WORD = re.compile(r"\w+")


@dataclass
class Waiting:
    """Appended columns by table, in the order in which they came, and the cycles whose rows are among them."""

    parts: dict[str, list[Columns]] = field(default_factory=dict)
    cycles: dict[str, set[str]] = field(default_factory=dict)

    def add(self, table: str, columns: Columns) -> None:
        """Let rows wait."""
        self.parts.setdefault(table, []).append(columns)

    def join(self, later: Waiting) -> None:
        """Take over what waited elsewhere."""
        for table, parts in later.parts.items():
            self.parts.setdefault(table, []).extend(parts)
        for table, cycles in later.cycles.items():
            self.cycles.setdefault(table, set()).update(cycles)

    def count(self, table: str) -> int:
        """Count the rows of a table that wait."""
        return sum(map(_length, self.parts.get(table, ())))


class MemoryEngine(LocalEngine):
    """DuckDB in memory; rows that nobody asked for yet wait outside it."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        super().__init__(connection)
        self._waiting = Waiting()
        self._waiting_lock = RLock()

    def rows(self, sql: str, params: Params | None = None) -> Rows:
        self._write_out(self._asked_for(sql, params))
        return super().rows(sql, params)

    def columns(self, sql: str, params: Params | None = None) -> dict[str, np.ndarray[Any, Any]]:
        self._write_out(self._asked_for(sql, params))
        return super().columns(sql, params)

    def append(self, table: str, columns: Columns) -> None:
        is_apart = self.in_transaction
        with self._waiting_lock:
            (self._local.waiting if is_apart else self._waiting).add(table, columns)
        self._touch(table)
        if not is_apart:
            self._write_out_many()

    def append_of_cycle(self, table: str, columns: Columns) -> bool:
        """Append the rows of a cycle that has none there yet: all were written by this process, so it knows."""
        (cycle_id,) = set(columns["cycle_id"])
        is_apart = self.in_transaction
        with self._waiting_lock:
            places = [self._waiting, self._local.waiting] if is_apart else [self._waiting]
            if any(cycle_id in place.cycles.get(table, ()) for place in places):
                return False
            places[-1].cycles.setdefault(table, set()).add(cycle_id)
        self.append(table, columns)
        return True

    @contextmanager
    def transaction(self) -> Iterator[None]:
        if self.in_transaction:
            yield
            return
        self._local.waiting, self._local.taken = Waiting(), Waiting()
        try:
            with super().transaction():
                yield
        except BaseException:
            # What others appended before, and was written out within, was rolled back with the rest.
            with self._waiting_lock:
                self._local.taken.join(self._waiting)
                self._waiting = self._local.taken
            raise
        with self._waiting_lock:
            self._waiting.join(self._local.waiting)
        self._write_out_many()

    def _asked_for(self, sql: str, params: Params | None) -> list[str]:
        """Return the tables that wait and that a statement may look at, or write where their rows should be first."""
        apart = self._local.waiting.parts if self.in_transaction else {}
        waiting = self._waiting.parts.keys() | apart.keys()
        if not waiting or written(sql) == ANYTHING:
            return list(waiting)
        named = waiting & {VIEWS.get(word, word) for word in _WORD.findall(sql.lower())}
        cycle_id = (params or {}).get("cycle_id")
        if not isinstance(cycle_id, str):
            return list(named)
        parts = {table: [*self._waiting.parts.get(table, ()), *apart.get(table, ())] for table in named}
        return [table for table in named if any(cycle_id in part.get("cycle_id", ()) for part in parts[table])]

    def _write_out_many(self) -> None:
        self._write_out([table for table in list(self._waiting.parts) if self._waiting.count(table) >= MOST_WAITING])

    def _write_out(self, tables: Iterable[str]) -> None:
        """Write the rows of some tables that wait, before anybody looks at these."""
        is_apart = self.in_transaction
        with self._waiting_lock:
            for table in tables:
                parts = self._waiting.parts.pop(table, [])
                if is_apart:
                    self._local.taken.parts.setdefault(table, []).extend(parts)
                    parts = parts + self._local.waiting.parts.pop(table, [])
                if parts:
                    self._write(table, _together(parts))

    def _write(self, table: str, columns: Columns) -> None:
        """Write rows; that they changed the table was noted when they came."""
        once = "ON CONFLICT DO NOTHING" if table in self._waiting.cycles else ""
        self._begin()
        insert(self._cursor(), f"INSERT INTO {table} BY NAME SELECT * FROM incoming_rows {once}", arrays(columns))


def _together(parts: Sequence[Columns]) -> Columns:
    """Return columns that came in parts as one; a column that some part left out is missing there."""
    names = dict.fromkeys(chain.from_iterable(parts))
    return {name: _joined([part.get(name, [None] * _length(part)) for part in parts]) for name in names}


def _joined(parts: Sequence[Sequence[Any] | np.ndarray[Any, Any]]) -> Sequence[Any] | np.ndarray[Any, Any]:
    if all(isinstance(part, np.ndarray) for part in parts):
        return np.concatenate(parts)
    return list(chain.from_iterable(parts))


def _length(columns: Mapping[str, Sequence[Any] | np.ndarray[Any, Any]]) -> int:
    return len(next(iter(columns.values())))
