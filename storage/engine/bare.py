"""The engine of bare runs (simulation, backtest, notebook): DuckDB in memory, which dies with its process."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from threading import RLock
from typing import Any

import duckdb
import numpy as np

from storage.engine.local import LocalEngine
from storage.engine.protocol import Columns, Followed, Params, Rows, T, arrays, insert
from storage.engine.query_cache import ANYTHING, written

MOST_WAITING = 400
"""Rows of a table that wait, until they are written unasked."""
Key = tuple[Any, ...]
VIEWS = {"goal_states": "goal_transitions", "sample_values": "samples"}
_WORD = re.compile(r"\w+")


@dataclass
class WaitingRows:
    """Appended columns by table, in the order in which they came, and by what rows of a table are known to be there."""

    parts: dict[str, list[Columns]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    keys: dict[str, set[Key]] = field(default_factory=dict)

    def add(self, table: str, columns: Columns) -> None:
        """Let rows wait."""
        self.parts.setdefault(table, []).append(columns)
        self.counts[table] = self.counts.get(table, 0) + _length(columns)

    def take(self, table: str) -> list[Columns]:
        """Return the rows of a table that wait, and let them wait no more."""
        self.counts.pop(table, None)
        return self.parts.pop(table, [])

    def has(self, table: str, cycle_id: str) -> bool:
        """Tell whether rows of a cycle may be among those of a table that wait."""
        return any(cycle_id in part.get("cycle_id", (cycle_id,)) for part in self.parts.get(table, ()))

    def join(self, later: WaitingRows) -> None:
        """Take over what waited elsewhere."""
        for table, parts in later.parts.items():
            for columns in parts:
                self.add(table, columns)
        for table, keys in later.keys.items():
            self.keys.setdefault(table, set()).update(keys)


class BareEngine(LocalEngine):
    """DuckDB in memory, where rows wait and values are followed: nobody sees a difference but the time it takes.

    A statement takes DuckDB half a millisecond and more however few rows it touches, and a turn writes ten tables of
    which the next turn reads two. Every row is written by this process, so it can know without asking.

    Rows wait: what is appended is kept as it came, and written when a statement names its table, many turns in one.
    Rows of a transaction wait apart, and are dropped where it fails. A file or an owner gets every row at once.

    Values are followed (`Followed`): read once, and from then on right by this rule. Rows that are appended are applied
    to the values of their table, those of a transaction when it is through. Whatever else is written to a table, by a
    statement or before a transaction ends, makes its values forgotten: who asks next reads. A transaction reads for
    itself what it has written, and what is read inside one is not kept.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        super().__init__(connection)
        self._waiting = WaitingRows()
        self._followed: dict[Followed[Any], tuple[tuple[Any, ...], Any]] = {}
        self._bare_lock = RLock()

    def rows(self, sql: str, params: Params | None = None) -> Rows:
        self._write_out_for(sql, params)
        return super().rows(sql, params)

    def columns(self, sql: str, params: Params | None = None) -> dict[str, np.ndarray[Any, Any]]:
        self._write_out_for(sql, params)
        return super().columns(sql, params)

    def append(self, table: str, columns: Columns) -> None:
        if self.in_transaction:
            self._local.waiting.add(table, columns)
            super()._touch(table)
            return
        with self._bare_lock:
            self._waiting.add(table, columns)
            self._take_in(table, columns)
        self._write_out_many()

    def append_first(self, table: str, columns: Columns, by: tuple[str, ...]) -> bool:
        """Append rows that are not there yet: all that are there were written by this process, so it knows."""
        keys = set(zip(*(columns[column] for column in by), strict=True))
        with self._bare_lock:
            places = self._places()
            is_new = all(keys.isdisjoint(place.keys.get(table, ())) for place in places)
            # Where they are not new, whoever asked writes them by a statement.
            places[-1].keys.setdefault(table, set()).update(keys)
        if is_new:
            self.append(table, columns)
        return is_new

    def follow(self, what: Followed[T], *asked: Any) -> T:
        if self._has_written(what):
            return what.read(*asked)
        wide = what.widen(*asked)
        with self._bare_lock:
            if what in self._followed and self._followed[what][0] == wide:
                known: T = self._followed[what][1]
                return known
            value = what.read(*wide)
            if not self.in_transaction:
                self._followed[what] = wide, value
        return value

    def kept(self, what: Followed[T]) -> T | None:
        if self._has_written(what):
            return None
        value: T | None = self._followed.get(what, (None, None))[1]
        return value

    def _places(self) -> list[WaitingRows]:
        """Return where rows wait that this thread sees; what it appends goes to the last."""
        return [self._waiting, self._local.waiting] if self.in_transaction else [self._waiting]

    def _has_written(self, what: Followed[Any]) -> bool:
        """Tell whether this thread is in a transaction that wrote what a value is read from."""
        return self.in_transaction and not self._local.written.isdisjoint((*what.tables, ANYTHING))

    @contextmanager
    def transaction(self) -> Iterator[None]:
        if self.in_transaction:
            yield
            return
        self._local.waiting, self._local.taken, self._local.stated = WaitingRows(), WaitingRows(), set()
        try:
            with super().transaction():
                yield
        except BaseException:
            # What others appended before, and was written out within, was rolled back with the rest.
            with self._bare_lock:
                self._local.taken.join(self._waiting)
                self._waiting = self._local.taken
                self._forget(self._local.stated)
            raise
        with self._bare_lock:
            self._waiting.join(self._local.waiting)
            self._forget(self._local.stated)
            for table, parts in self._local.waiting.parts.items():
                for columns in parts:
                    self._take_in(table, columns)
        self._write_out_many()

    def _touch(self, table: str) -> None:
        """Note that a table was written by a statement."""
        if self.in_transaction:
            super()._touch(table)
            self._local.stated.add(table)
        else:
            with self._bare_lock:
                self._forget({table})

    def _forget(self, tables: set[str]) -> None:
        """Forget the values of some tables: of all, where anything may have been written."""
        for table in tables:
            super()._touch(table)
        for what in [each for each in self._followed if ANYTHING in tables or not tables.isdisjoint(each.tables)]:
            del self._followed[what]

    def _take_in(self, table: str, columns: Columns) -> None:
        """Apply rows that are there from now on."""
        super()._touch(table)
        for what in [each for each in self._followed if table in each.tables]:
            known_for, value = self._followed.pop(what)
            if (later := what.apply(value, table, columns)) is not None:
                self._followed[what] = known_for, later

    def _write_out_for(self, sql: str, params: Params | None) -> None:
        """Write the rows that a statement may look at, or that should lie before those that it writes."""
        cycle_id = (params or {}).get("cycle_id") if written(sql) is None else None
        with self._bare_lock:
            places = self._places()
            for table in _named(sql, {table for place in places for table in place.parts}):
                if not isinstance(cycle_id, str) or any(place.has(table, cycle_id) for place in places):
                    self._write_out(table)

    def _write_out_many(self) -> None:
        with self._bare_lock:
            for table in [table for table, count in self._waiting.counts.items() if count >= MOST_WAITING]:
                self._write_out(table)

    def _write_out(self, table: str) -> None:
        """Write the rows of a table that wait; outside a transaction it was noted when they came."""
        parts = self._waiting.take(table)
        if self.in_transaction:
            for columns in parts:
                self._local.taken.add(table, columns)
            parts += self._local.waiting.take(table)
            self._touch(table)
        columns = _together(parts)
        once = "ON CONFLICT DO NOTHING" if any(table in place.keys for place in self._places()) else ""
        self._begin()
        insert(self._cursor(), f"INSERT INTO {table} BY NAME SELECT * FROM incoming_rows {once}", arrays(columns))


def _named(sql: str, tables: set[str]) -> set[str]:
    """Return those of some tables that a statement names, or all where that cannot be told."""
    if not tables or written(sql) == ANYTHING:
        return tables
    return tables & {VIEWS.get(word, word) for word in _WORD.findall(sql.lower())}


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
