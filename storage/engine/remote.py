"""The engine of every other process: attached to the owner over loopback."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any

import duckdb
import numpy as np

from storage.engine.protocol import (
    NO_TEMPORARY_ROOM,
    TAKE_WHAT_ROOM_THERE_IS,
    Columns,
    Followed,
    Params,
    Rows,
    T,
    _first_line,
    _quiet,
    _retry_conflicts,
    arrays,
    connect,
    insert,
    literal,
    load_quack,
    refusal_for,
    render,
)
from storage.errors import TransientError


class RemoteEngine:
    """DuckDB in the process that owns the file, reached over loopback."""

    is_local = False

    def __init__(self, uri: str, token: str) -> None:
        self._uri, self._token = uri, token
        self._lock = threading.RLock()
        self._depth = 0
        self._connection = connect(":memory:")
        load_quack(self._connection)
        self._attach()

    @property
    def in_transaction(self) -> bool:
        return bool(self._depth)

    @property
    def expects_new(self) -> bool:
        return False

    def _attach(self) -> None:
        _quiet(lambda: self._connection.execute("DETACH owner"))
        options = f"TYPE quack, TOKEN {literal(self._token)}, DISABLE_SSL true"
        try:
            self._connection.execute(f"ATTACH {literal(self._uri)} AS owner ({options})")
        except duckdb.Error as trouble:
            raise TransientError(f"the store at {self._uri} does not answer: {_first_line(trouble)}") from trouble

    def _run(self, step: Callable[[], T], sql: str) -> T:
        with self._lock:
            if self._depth:
                return step()
            try:
                return _retry_conflicts(lambda: self._attempt(step), sql)
            except duckdb.IOException as trouble:
                raise refusal_for(trouble) or TransientError(
                    f"the connection to the store at {self._uri} was lost"
                ) from trouble
            except duckdb.Error as trouble:
                if (refusal := refusal_for(trouble)) is not None:
                    raise refusal from trouble
                raise

    def _attempt(self, step: Callable[[], T]) -> T:
        """Attach again when the owner was restarted; send ROLLBACK after any other error."""
        try:
            return step()
        except duckdb.InvalidInputException as trouble:
            if "connection id" not in str(trouble).lower():
                self._rollback()
                raise
            self._attach()
            return step()
        except duckdb.Error as trouble:
            self._rollback()
            if NO_TEMPORARY_ROOM in str(trouble):
                _quiet(lambda: self._send(TAKE_WHAT_ROOM_THERE_IS, None))
            raise

    def _rollback(self) -> None:
        _quiet(lambda: self._connection.execute("FROM owner.query('ROLLBACK')"))

    def _send(self, sql: str, params: Params | None) -> duckdb.DuckDBPyConnection:
        # Written out: to bind a parameter DuckDB imports pandas, which takes a fifth of a second and 40 MB.
        return self._connection.execute(f"FROM owner.query({literal(render(sql, params))})")

    def rows(self, sql: str, params: Params | None = None) -> Rows:
        return self._run(lambda: self._send(sql, params).fetchall(), sql)

    def columns(self, sql: str, params: Params | None = None) -> dict[str, np.ndarray[Any, Any]]:
        return dict(self._run(lambda: self._send(sql, params).fetchnumpy(), sql))

    def recall(self, tables: tuple[str, ...], key: Hashable, read: Callable[[], T]) -> T:
        return read()

    def follow(self, what: Followed[T], *asked: Any) -> T:
        return what.read(*asked)

    def kept(self, what: Followed[T]) -> T | None:
        return None

    def append_first(self, table: str, columns: Columns, by: tuple[str, ...]) -> bool:
        return False

    def append(self, table: str, columns: Columns) -> None:
        sql = f"INSERT INTO owner.{table} BY NAME SELECT * FROM incoming_rows"
        self._run(lambda: insert(self._connection, sql, arrays(columns)), sql)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self._lock:
            if self._depth:
                yield
                return
            self._run(lambda: self._send("BEGIN", None), "BEGIN")
            self._depth = 1
            try:
                yield
                self._send("COMMIT", None)
            except BaseException:
                self._rollback()
                raise
            finally:
                self._depth = 0

    def together(self, write: Callable[[], T]) -> T:
        with self.transaction():
            return write()

    def close(self) -> None:
        _quiet(lambda: self._connection.execute("DETACH owner"))
        self._connection.close()
