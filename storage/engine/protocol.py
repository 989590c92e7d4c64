"""What tables ask of an engine, which reaches DuckDB in this process or through the process that owns the file.

All run the same SQL with `$name` parameters. A remote engine sends every statement whole to the owner over DuckDB's
Quack protocol, because an attached table cannot push a filter down nor resolve a conflict; only bulk columns travel
through the attachment. See docs/adr/0001-one-owner.md.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import duckdb
import numpy as np

from storage.errors import ForeactError, TransientError

Rows = list[tuple[Any, ...]]
Columns = Mapping[str, Sequence[Any] | np.ndarray[Any, Any]]
Params = Mapping[str, Any]
T = TypeVar("T")

CONFLICT_ATTEMPTS = 8
NO_MEMORY = ("failed to allocate data", "failed to pin block", "could not allocate block")
MEMORY_ATTEMPTS, MEMORY_BACK_S = 3, 0.1
"""What DuckDB says of memory that is used up, as it is for the moment in which the owner lets go of what it read."""
MOST_ROWS_READ_FOR_A_TYPE = 2**31
NO_TEMPORARY_ROOM = "'max_temp_directory_size'"
NO_ROOM = ("No space left on device", "File too large", "Disk quota exceeded", NO_TEMPORARY_ROOM)
TAKE_WHAT_ROOM_THERE_IS = "SET max_temp_directory_size = '1000TB'"
"""DuckDB looks once how much room there is for temporary files: where there was none, it would find none ever after."""
NOT_WRITABLE = ("Read-only file system", "Permission denied", "Operation not permitted")
DAMAGED = ("Corrupt database file", "does not match stored checksum")
"""What DuckDB says, in part, of a disk without room, a folder that is closed, and blocks that are not as written."""
_PARAMETER = re.compile(r"\$([a-z_][a-z0-9_]*)")


def as_asked(*asked: Any) -> tuple[Any, ...]:
    """Return what is asked for as it is."""
    return asked


@dataclass(frozen=True, eq=False)
class Followed(Generic[T]):
    """A value that a table asks for in every turn: how it is read, and how rows that come later change it.

    `read` gives the value for what is asked; `widen` turns what is asked into a question whose answer holds those of
    many, so that who asks takes his part of it. `apply` makes a new value of a value, the table written, and the rows
    new in it as columns, or None where the value has to be read again. No value is ever changed in place.
    """

    tables: tuple[str, ...]
    read: Callable[..., T]
    apply: Callable[[T, str, Columns], T | None] = lambda value, table, columns: None
    widen: Callable[..., tuple[Any, ...]] = as_asked


class Engine(Protocol):
    """What the tables need of a database; `is_local` tells whether rows come without a network between."""

    is_local: bool

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

    def recall(self, tables: tuple[str, ...], key: Hashable, read: Callable[[], T]) -> T:
        """Return what `read` returns, or what it returned before where these tables cannot have changed since."""
        ...

    def follow(self, what: Followed[T], *asked: Any) -> T:
        """Return a value that holds what is asked for, and perhaps more: read, or kept and followed since."""
        ...

    def kept(self, what: Followed[T]) -> T | None:
        """Return the value that is kept at the moment, whatever was asked when it was read; None where none is."""
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


def connect(path: str, *, is_read_only: bool = False) -> duckdb.DuckDBPyConnection:
    """Open a DuckDB database in this process, with nothing fetched from outside and times in UTC."""
    config: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        # Files made before 1.2 cannot hold compressed bytes; those that exist already stay as they are.
        "storage_compatibility_version": "v1.2.0",
        # The type of a column is read off its values: of a sample of them DuckDB fails where all of that are missing.
        "pandas_analyze_sample": str(MOST_ROWS_READ_FOR_A_TYPE),
    }
    connection = duckdb.connect(path, read_only=is_read_only, config=config)
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def _retry_conflicts(step: Callable[[], T], sql: str = "") -> T:
    """Run a statement again when another writer was faster, or memory short for a moment; it left nothing behind."""
    for attempt in range(CONFLICT_ATTEMPTS):
        try:
            return step()
        except duckdb.Error as trouble:
            is_short = any(sign in str(trouble) for sign in NO_MEMORY)
            attempts = MEMORY_ATTEMPTS if is_short else CONFLICT_ATTEMPTS if _is_conflict(trouble, sql) else 1
            if attempt >= attempts - 1:
                raise
            time.sleep(MEMORY_BACK_S if is_short else 0.005 * 2**attempt)
    raise AssertionError("unreachable")


def _is_conflict(trouble: duckdb.Error, sql: str) -> bool:
    """Tell a race from a fault; DuckDB reports a lost `ON CONFLICT DO NOTHING` race as a duplicate key."""
    text = str(trouble).lower()
    if any(sign.lower() in text for sign in NO_ROOM):
        return False
    lost_race = "duplicate key" in text and "ON CONFLICT" in sql
    return lost_race or "conflict" in text or "transactioncontext error" in text


def refusal_for(trouble: duckdb.Error) -> ForeactError | TransientError | None:
    """Say what is to be done about trouble that lies with the disk or the database as a whole; None for any other."""
    text = str(trouble)
    if any(sign in text for sign in NO_ROOM):
        return disk_full()
    if is_fatal(trouble):
        return TransientError("the database had to be closed and is being opened again")
    if any(sign in text for sign in NOT_WRITABLE):
        return ForeactError(
            "store_not_writable",
            "The database can no longer be written; nothing was recorded.",
            "Make its folder writable again.",
            status=507,
        )
    return None


def disk_full() -> ForeactError:
    """Return the refusal of what there is no room for."""
    return ForeactError(
        "disk_full",
        "The disk with the database is full; nothing was recorded.",
        "Make room on it; the loop goes on by itself.",
        status=507,
    )


def is_fatal(trouble: duckdb.Error) -> bool:
    """Tell whether DuckDB answers nothing more until the file is opened anew, or has found a part of it damaged."""
    text = str(trouble)
    return isinstance(trouble, duckdb.FatalException) or any(sign in text for sign in (*DAMAGED, "been invalidated"))


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


def _quiet(step: Callable[[], object]) -> None:
    """Tidy up after an error: the error itself is what the caller hears of."""
    try:
        step()
    except duckdb.Error:
        return


def _first_line(trouble: Exception) -> str:
    return str(trouble).splitlines()[0]
