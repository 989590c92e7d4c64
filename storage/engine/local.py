"""The engine of the process that owns the file: DuckDB in this process."""

from __future__ import annotations

import logging
import math
import sys
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager, suppress
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
    _quiet,
    _retry_conflicts,
    _used,
    arrays,
    insert,
    is_fatal,
    literal,
    refusal_for,
    render,
)
from storage.engine.query_cache import ANYTHING, CLOCK, QueryCache, Sizes, written
from storage.errors import TransientError

logger = logging.getLogger(__name__)

LOOK_HOLDS_S = 2.0
KEPT_BYTES = 16_000_000
"""Of the file, in the memory of who owns it."""
LET_GO_EVERY_S = 1.0
FILE = "BASE_TABLE"
WORK = frozenset({"HASH_TABLE", "ORDER_BY", "COLUMN_DATA", "WINDOW", "ALLOCATOR", "PARQUET_READER", "CSV_READER"})
"""As DuckDB names what memory is for: what it read of the file, which it can read again, and what queries work with."""


def limit_that_lets_go(held_bytes: Mapping[str, int]) -> int | None:
    """Return under which limit what was read of the file is let go; None where it is little, or a query is at work.

    What else is in memory cannot be let go: a limit that counts it in would leave nothing for who asks meanwhile.
    """
    of_file = held_bytes.get(FILE, 0)
    is_at_work = any(held_bytes.get(tag) for tag in WORK)
    return None if is_at_work or of_file <= KEPT_BYTES else sum(held_bytes.values()) - of_file + KEPT_BYTES


def end_threads() -> None:
    """End the threads that DuckDB starts when it is imported: a process forked beside them would abort at its end."""
    duckdb.default_connection().execute("SET threads = 1")


class LocalEngine:
    """DuckDB in this process; every thread has a cursor, and with it a transaction, of its own.

    `is_alone` says that nobody else writes: what was read is then remembered until it changes. Otherwise it is
    remembered only while `look` is called again and again.
    """

    is_local = True

    def __init__(self, connection: duckdb.DuckDBPyConnection, is_alone: bool = True) -> None:
        self._connection = connection
        self._local = threading.local()
        self._recall = QueryCache()
        self._sizes, self._looked_s = Sizes(), -math.inf
        self.is_alone = is_alone
        self.on_fatal: Callable[[str], None] = logger.critical
        """Called where DuckDB answers nothing more: what owns the file ends, and is started again."""
        self.served_at: str | None = None
        self._is_halted = False
        self._limit: str | None = None

    @property
    def changes(self) -> int:
        """Return a number that grows with every write of this process, and with those of others that `look` sees."""
        return self._recall.changes

    def look(self) -> None:
        """Take in what other processes wrote; for two seconds from then on reads are remembered.

        Called several times a second, others' rows are seen as many times a second, and rows of this process at once.
        """
        if self.is_alone:
            return
        started_s = time.monotonic()
        sizes = self.rows("SELECT table_name, estimated_size FROM duckdb_tables() WHERE NOT internal")
        self._recall.renew(self._sizes.take_in(dict(sizes), started_s))
        self._looked_s = started_s

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        if not hasattr(self._local, "cursor"):
            self._local.cursor = self._connection.cursor()
            self._local.depth = 0
            self._local.is_begun = False
            self._local.is_hopeful = False
            self._local.written = set()
        cursor: duckdb.DuckDBPyConnection = self._local.cursor
        return cursor

    @property
    def in_transaction(self) -> bool:
        self._cursor()
        return bool(self._local.depth)

    @property
    def expects_new(self) -> bool:
        self._cursor()
        return not self._local.depth or bool(self._local.is_hopeful)

    def _run(self, step: Callable[[], T], sql: str) -> T:
        """Retry conflicts, but not inside a transaction: there the whole of it must be tried again."""
        if self._is_halted:
            raise TransientError("the database is being opened again")
        self._begin()
        table = written(sql)
        try:
            return step() if self._local.depth else _retry_conflicts(step, sql)
        except duckdb.Error as trouble:
            self._refuse(trouble)
            raise
        finally:
            if table is not None:
                self._touch(table)

    def _begin(self) -> None:
        """Begin the transaction that this thread is in, with its first statement: it may have none."""
        cursor = self._cursor()
        if self._local.depth and not self._local.is_begun:
            cursor.execute("BEGIN")
            self._local.is_begun = True

    def _refuse(self, trouble: duckdb.Error) -> None:
        """Raise what is to be done about trouble of the disk or the whole database; do nothing about any other."""
        refusal = refusal_for(trouble)
        if NO_TEMPORARY_ROOM in str(trouble):
            _quiet(lambda: self._connection.cursor().execute(TAKE_WHAT_ROOM_THERE_IS))
        if is_fatal(trouble):
            self.on_fatal(str(trouble).splitlines()[0])
        if refusal is not None:
            raise refusal from trouble

    def _touch(self, table: str) -> None:
        self._cursor()
        self._recall.touch(table)
        self._local.written.add(table)

    def recall(self, tables: tuple[str, ...], key: Hashable, read: Callable[[], T]) -> T:
        self._cursor()
        # Only who looks sees the clock.
        sees_all = (self.is_alone and CLOCK not in tables) or time.monotonic() - self._looked_s < LOOK_HOLDS_S
        if not self._local.depth:
            return self._recall.get(tables, key, read) if sees_all else read()
        # What is read inside a transaction is not remembered: it may be of before others' writes, or be taken back.
        is_untouched = self.is_alone and sees_all and self._local.written.isdisjoint((*tables, ANYTHING))
        return self._recall.get(tables, key, read, keep=False) if is_untouched else read()

    def follow(self, what: Followed[T], *asked: Any) -> T:
        return what.read(*asked)

    def kept(self, what: Followed[T]) -> T | None:
        return None

    def _execute(self, sql: str, params: Params | None) -> duckdb.DuckDBPyConnection:
        """Run a statement; who does without pandas writes parameters out: DuckDB loads it (40 MB) to bind them."""
        if self.is_alone and "pandas" in sys.modules:
            return self._cursor().execute(sql, _used(sql, params))
        return self._cursor().execute(render(sql, params))

    def rows(self, sql: str, params: Params | None = None) -> Rows:
        return self._run(lambda: self._execute(sql, params).fetchall(), sql)

    def columns(self, sql: str, params: Params | None = None) -> dict[str, np.ndarray[Any, Any]]:
        return dict(self._run(lambda: self._execute(sql, params).fetchnumpy(), sql))

    def append(self, table: str, columns: Columns) -> None:
        sql = f"INSERT INTO {table} BY NAME SELECT * FROM incoming_rows"
        self._run(lambda: insert(self._cursor(), sql, arrays(columns)), sql)

    def append_first(self, table: str, columns: Columns, by: tuple[str, ...]) -> bool:
        return False

    @contextmanager
    def transaction(self) -> Iterator[None]:
        cursor = self._cursor()
        if self._local.depth:
            yield
            return
        self._local.depth, self._local.is_begun = 1, False
        self._local.written.clear()
        try:
            yield
            if self._local.is_begun:
                cursor.execute("COMMIT")
        except BaseException as trouble:
            if self._local.is_begun:
                _quiet(lambda: cursor.execute("ROLLBACK"))
            if isinstance(trouble, duckdb.Error):
                self._refuse(trouble)
            raise
        finally:
            self._local.depth = 0
            for table in self._local.written:
                self._recall.touch(table)

    def together(self, write: Callable[[], T]) -> T:
        self._cursor()
        if self._local.depth:
            return write()
        # Rows are new but for a retry, and looking for conflicts costs three times the insert.
        self._local.is_hopeful = True
        try:
            with self.transaction():
                return write()
        except duckdb.ConstraintException:
            self._local.is_hopeful = False
            with self.transaction():
                return write()
        finally:
            self._local.is_hopeful = False

    def let_go(self) -> None:
        """Keep no more of the file in memory than is read all the time: DuckDB would keep all that it ever read.

        It gives memory back under a limit alone, which holds for a moment; a query that began in it has as much again.
        The limit before is set by its value, as first told: RESET would show it and leave the lower one in force.
        """
        with suppress(duckdb.Error):
            cursor = self._connection.cursor()
            held = dict(cursor.execute("SELECT tag, memory_usage_bytes FROM duckdb_memory()").fetchall())
            if self._limit is None:
                ((self._limit,),) = cursor.execute("SELECT current_setting('memory_limit')").fetchall()
            if (limit_bytes := limit_that_lets_go(held)) is not None:
                cursor.execute(f"SET memory_limit = '{limit_bytes}B'; SET memory_limit = '{self._limit}'")

    def halt(self) -> duckdb.DuckDBPyConnection:
        """Take no more statements, of others neither; return a connection to what is recorded up to now."""
        self._is_halted = True
        if self.served_at is not None:
            self._connection.execute(f"CALL quack_stop({literal(self.served_at)})")
        return self._connection.cursor()

    def close(self) -> None:
        """Write all into the one file and let go of it; until then what is new lies in the log beside it."""
        try:
            if self._has_file():
                self._connection.execute("FORCE CHECKPOINT")
        except duckdb.Error as trouble:
            # Nothing is lost: the log stays, and is read when the file is opened again.
            logger.warning("The database was closed with its log beside it: %s", trouble)
        self._connection.close()

    def _has_file(self) -> bool:
        path = "SELECT path FROM duckdb_databases() WHERE database_name = current_database()"
        return self._connection.execute(path).fetchone() != (None,)
