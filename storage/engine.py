"""The two ways to reach DuckDB: in this process, or through the process that owns the file.

Both run the same SQL with `$name` parameters. A remote engine sends every statement whole to the owner over DuckDB's
Quack protocol, because an attached table cannot push a filter down nor resolve a conflict; only bulk columns travel
through the attachment. See docs/adr/0001-one-owner.md.
"""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, TypeVar

import duckdb
import numpy as np

from storage.errors import ForeactError, TransientError
from storage.recall import ANYTHING, CLOCK, Recall, Sizes, written

Rows = list[tuple[Any, ...]]
Columns = Mapping[str, Sequence[Any] | np.ndarray[Any, Any]]
Params = Mapping[str, Any]
T = TypeVar("T")

CONFLICT_ATTEMPTS = 8
LOOK_HOLDS_S = 2.0
_PARAMETER = re.compile(r"\$([a-z_][a-z0-9_]*)")


class Engine(Protocol):
    """What the tables need of a database.

    `is_local` tells whether rows come without a network between, `is_alone` that nobody else writes: then what was read
    is remembered until it changes.
    """

    is_local: bool
    is_alone: bool

    @property
    def in_transaction(self) -> bool:
        """Tell whether this thread is inside a transaction, which an error would end."""
        ...

    @property
    def expects_new(self) -> bool:
        """Tell whether rows may be written as if all were new: where one is not, the error is answered for."""
        ...

    def rows(self, sql: str, params: Params | None = None) -> Rows:
        """Run one statement and return its rows; a read with `$cycle_id` looks at rows of that cycle alone."""
        ...

    def columns(self, sql: str, params: Params | None = None) -> dict[str, np.ndarray[Any, Any]]:
        """Run one query, as `rows` does, and return its columns as arrays."""
        ...

    def append(self, table: str, columns: Columns) -> None:
        """Append columns of equal length to a table; durable when it returns, where anything is."""
        ...

    def append_first(self, table: str, columns: Columns, by: tuple[str, ...]) -> bool:
        """Append rows where it is known that none with the same values in the columns `by` is there.

        False where it is not known or one is: then nothing was done.
        """
        ...

    def transaction(self) -> Any:
        """Make the statements inside a `with` all happen, or none."""
        ...

    def together(self, write: Callable[[], T]) -> T:
        """Make all that `write` does happen, or none; it may be called twice, and must only write."""
        ...

    def when_written(self, step: Callable[[], object]) -> None:
        """Take a step once what was written before it stays: at once, or when the transaction that it is in is through.

        A transaction that fails takes none.
        """
        ...

    def recall(self, tables: tuple[str, ...], key: Hashable, read: Callable[[], T]) -> T:
        """Return what `read` returns, or what it returned before where these tables cannot have changed since."""
        ...

    def state(self, table: str) -> tuple[int, ...] | None:
        """Return how often a table was written, and how often anything may have been; None where that is unknown."""
        ...

    def close(self) -> None:
        """Let go of the database."""
        ...


def literal(value: Any) -> str:
    """Write a value as DuckDB SQL; text is quoted by doubling `'`, the only escape that DuckDB knows."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int | np.integer):
        return str(int(value))
    if isinstance(value, float | np.floating):
        return f"CAST('{float(value)!r}' AS DOUBLE)"
    if isinstance(value, datetime):
        return f"TIMESTAMPTZ '{value.astimezone(UTC).isoformat()}'"
    if isinstance(value, str):
        if "\x00" in value:
            raise ForeactError("text_has_nul", "Text must not contain the NUL character.", "Remove it.", status=422)
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, list | tuple | np.ndarray):
        return "[" + ", ".join(literal(item) for item in value) + "]"
    raise TypeError(f"no SQL literal for {type(value).__name__}")


def render(sql: str, params: Params | None) -> str:
    """Put literals in the place of `$name` parameters."""
    if not params:
        return sql
    return _PARAMETER.sub(lambda match: literal(params[match[1]]), sql)


def load_quack(connection: duckdb.DuckDBPyConnection) -> None:
    """Load the Quack extension from its wheel: nothing is downloaded, and nothing written to the user's home."""
    for name in ("httpfs", "quack"):
        module = import_module(f"duckdb_extension_{name}")
        folder = Path(str(module.__path__[0])) / "extensions" / f"v{duckdb.__version__}"
        connection.execute(f"LOAD {literal(str(folder / f'{name}.duckdb_extension'))}")


def connect(path: str) -> duckdb.DuckDBPyConnection:
    """Open a DuckDB database in this process, with nothing fetched from outside and times in UTC."""
    config: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        # Files made before 1.2 cannot hold compressed bytes; those that exist already stay as they are.
        "storage_compatibility_version": "v1.2.0",
    }
    connection = duckdb.connect(path, config=config)
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def _retry_conflicts(step: Callable[[], T], sql: str = "") -> T:
    """Run a statement again when another writer was faster; a conflict leaves nothing behind."""
    for attempt in range(CONFLICT_ATTEMPTS):
        try:
            return step()
        except duckdb.Error as trouble:
            if not _is_conflict(trouble, sql) or attempt == CONFLICT_ATTEMPTS - 1:
                raise
            time.sleep(0.005 * 2**attempt)
    raise AssertionError("unreachable")


def _is_conflict(trouble: duckdb.Error, sql: str) -> bool:
    """Tell a race from a fault; DuckDB reports a lost `ON CONFLICT DO NOTHING` race as a duplicate key."""
    text = str(trouble).lower()
    lost_race = "duplicate key" in text and "ON CONFLICT" in sql
    return lost_race or "conflict" in text or "transactioncontext error" in text


class LocalEngine:
    """DuckDB in this process; every thread has a cursor, and with it a transaction, of its own.

    `is_alone` says that nobody else writes: what was read is then remembered until it changes. Otherwise it is
    remembered only while `look` is called again and again.
    """

    is_local = True

    def __init__(self, connection: duckdb.DuckDBPyConnection, is_alone: bool = True) -> None:
        self._connection = connection
        self._local = threading.local()
        self._recall = Recall()
        self._sizes, self._looked_s = Sizes(), -math.inf
        self.is_alone = is_alone

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
        self._begin()
        table = written(sql)
        try:
            return step() if self._local.depth else _retry_conflicts(step, sql)
        finally:
            if table is not None:
                self._touch(table)

    def _begin(self) -> None:
        """Begin the transaction that this thread is in, with its first statement: it may have none."""
        cursor = self._cursor()
        if self._local.depth and not self._local.is_begun:
            cursor.execute("BEGIN")
            self._local.is_begun = True

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

    def when_written(self, step: Callable[[], object]) -> None:
        if self.in_transaction:
            self._local.steps.append(step)
        else:
            step()

    def state(self, table: str) -> tuple[int, ...] | None:
        self._cursor()
        return self._recall.state(table) if self.is_alone and not self._local.depth else None

    def _execute(self, sql: str, params: Params | None) -> duckdb.DuckDBPyConnection:
        """Run a statement; a long-lived owner writes parameters out, since DuckDB loads pandas (40 MB) to bind them."""
        if self.is_alone:
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
        self._local.depth, self._local.is_begun, self._local.steps = 1, False, []
        self._local.written.clear()
        try:
            yield
            if self._local.is_begun:
                cursor.execute("COMMIT")
        except BaseException:
            if self._local.is_begun:
                _quiet(lambda: cursor.execute("ROLLBACK"))
            raise
        finally:
            self._local.depth = 0
            for table in self._local.written:
                self._recall.touch(table)
        _take(self._local.steps)

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

    def close(self) -> None:
        self._connection.close()


class RemoteEngine:
    """DuckDB in the process that owns the file, reached over loopback."""

    is_local = False
    is_alone = False

    def __init__(self, uri: str, token: str) -> None:
        self._uri, self._token = uri, token
        self._lock = threading.RLock()
        self._depth = 0
        self._steps: list[Callable[[], object]] = []
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
                raise TransientError(f"the store at {self._uri} went away") from trouble

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
        except duckdb.Error:
            self._rollback()
            raise

    def _rollback(self) -> None:
        _quiet(lambda: self._connection.execute("FROM owner.query('ROLLBACK')"))

    def _send(self, sql: str, params: Params | None) -> duckdb.DuckDBPyConnection:
        return self._connection.execute("FROM owner.query(?)", [render(sql, params)])

    def rows(self, sql: str, params: Params | None = None) -> Rows:
        return self._run(lambda: self._send(sql, params).fetchall(), sql)

    def columns(self, sql: str, params: Params | None = None) -> dict[str, np.ndarray[Any, Any]]:
        return dict(self._run(lambda: self._send(sql, params).fetchnumpy(), sql))

    def when_written(self, step: Callable[[], object]) -> None:
        with self._lock:
            if self._depth:
                self._steps.append(step)
                return
        step()

    def recall(self, tables: tuple[str, ...], key: Hashable, read: Callable[[], T]) -> T:
        return read()

    def state(self, table: str) -> tuple[int, ...] | None:
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
            self._depth, self._steps = 1, []
            try:
                yield
                self._send("COMMIT", None)
            except BaseException:
                self._rollback()
                raise
            finally:
                self._depth = 0
            _take(self._steps)

    def together(self, write: Callable[[], T]) -> T:
        with self.transaction():
            return write()

    def close(self) -> None:
        _quiet(lambda: self._connection.execute("DETACH owner"))
        self._connection.close()


def arrays(columns: Columns) -> dict[str, np.ndarray[Any, Any]]:
    """Return columns as arrays that DuckDB reads as they lie in memory; moments in UTC microseconds."""
    return {name: _array(values) for name, values in columns.items()}


def _array(values: Sequence[Any] | np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if isinstance(values, np.ndarray):
        return values
    kinds = {type(value) for value in values}
    if kinds == {datetime}:
        return np.array([value.astimezone(UTC).replace(tzinfo=None) for value in values], dtype="datetime64[us]")
    if kinds <= {int} or kinds <= {float} or kinds <= {bool}:
        return np.asarray(values)
    found = np.empty(len(values), dtype=object)
    # Not in one step: numpy would make a matrix of lists that are equally long.
    for place, value in enumerate(values):
        found[place] = value
    return found


def insert(
    connection: duckdb.DuckDBPyConnection, sql: str, incoming_rows: dict[str, np.ndarray[Any, Any]]
) -> duckdb.DuckDBPyConnection:
    """Run an INSERT from `incoming_rows`, which DuckDB finds by the name of the argument."""
    return connection.execute(sql)


def _used(sql: str, params: Params | None) -> dict[str, Any]:
    """Keep the parameters that a statement names: DuckDB refuses the rest."""
    if not params:
        return {}
    return {name: params[name] for name in set(_PARAMETER.findall(sql))}


def _take(steps: Sequence[Callable[[], object]]) -> None:
    for step in steps:
        step()


def _quiet(step: Callable[[], object]) -> None:
    """Tidy up after an error: the error itself is what the caller hears of."""
    try:
        step()
    except duckdb.Error:
        return


def _first_line(trouble: Exception) -> str:
    return str(trouble).splitlines()[0]
