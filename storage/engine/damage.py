"""A damaged file or log: what is damaged is set aside, the rest is opened, and one sentence says what may be lost.

DuckDB keeps a checksum of every block of the file and of every entry of the log. It skips the torn end of a log by
itself and without a word; at any other damage it would not open the file at all.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from storage.engine.local import LocalEngine
from storage.engine.protocol import DAMAGED, Engine, connect, literal
from storage.errors import ForeactError, TransientError

_LOG_ENTRY = re.compile(r"entry at byte position (\d+)")
_LOG = "replaying WAL"
CHUNK_ROWS = 2_048
HEAD_BYTES = 4_096
HEAD_SEARCH_BYTES = 128


def log_of(database: Path) -> Path:
    """Return the file in which DuckDB keeps what is not in the database file yet."""
    return database.with_name(f"{database.name}.wal")


def damage_mark(database: Path) -> Path:
    """Return the file that says that a part of the database could not be read while it was open."""
    return database.with_suffix(".damaged")


def is_damage(trouble: BaseException) -> bool:
    """Tell whether a part of the database file itself cannot be read, or the log was at fault."""
    return _LOG in str(trouble) or any(sign in str(trouble) for sign in DAMAGED)


def set_aside(database: Path, mark: str) -> Path:
    """Rename a database and the log beside it, so that both still fit each other; return the file's new name."""
    aside = database.with_name(f"{database.stem}.{mark}{database.suffix}")
    if log_of(database).exists():
        log_of(database).replace(log_of(aside))
    if database.exists():
        database.replace(aside)
    return aside


def mend_blank_log(database: Path, mark: str) -> str | None:
    """Set a log aside that holds nothing but zeros where it begins, which DuckDB would take for an empty one."""
    log = log_of(database)
    if not log.exists() or not log.stat().st_size:
        return None
    with log.open("rb") as handle:
        if any(handle.read(HEAD_BYTES)):
            return None
    return _without_log(database, mark)


def torn_end(database: Path) -> str | None:
    """Say that a log ends in the middle of an entry, which DuckDB skips; None where it ends with a whole one.

    A log is a head of a few dozen bytes, then entries of 8 bytes with their length, 8 with a checksum, and so many.
    """
    log = log_of(database)
    if not log.exists():
        return None
    held = log.read_bytes()
    ends = [_end_of_whole_entries(held, first) for first in range(min(HEAD_SEARCH_BYTES, len(held)))]
    if max(ends, default=0) == len(held) or (len(held) < HEAD_SEARCH_BYTES and not any(ends)):
        return None
    return (
        "The database's log ends in the middle of an entry, which was left out. Where a process was killed or power "
        f"failed, that was never acknowledged; else {_since(database)} may be lost, as far as it stood there."
    )


def _end_of_whole_entries(held: bytes, first: int) -> int:
    """Return where the entries end that begin at a byte, each right behind the one before; 0 where none does."""
    at = first
    while at + 16 <= len(held):
        length = int.from_bytes(held[at : at + 8], "little")
        if not length or at + 16 + length > len(held):
            break
        at += 16 + length
    return at if at > first else 0


def mend(database: Path, trouble: BaseException, mark: str, prepare: Callable[[Engine], object]) -> str | None:
    """Make a database fit to be opened that was not; return what may be lost, or None where nothing can be done.

    `prepare` makes the tables in an empty file.
    """
    if _LOG in str(trouble) and log_of(database).exists():
        entry = _LOG_ENTRY.search(str(trouble))
        return _with_shorter_log(database, int(entry[1]), mark) if entry else _without_log(database, mark)
    return salvage(database, mark, prepare) if is_damage(trouble) else None


def salvage(database: Path, mark: str, prepare: Callable[[Engine], object]) -> str | None:
    """Move the rows that can be read into a new file in the place of a damaged one; None where no table can be read."""
    draft = database.with_name(f".{database.name}.part")
    draft.unlink(missing_ok=True)
    try:
        tables = _tables(database)
        with contextlib.closing(connect(str(draft))) as connection:
            prepare(LocalEngine(connection))
            connection.execute("DELETE FROM schema_versions")
        lost = {table: count for table in tables if (count := _move(database, draft, table))}
    except (duckdb.Error, ForeactError, TransientError):
        draft.unlink(missing_ok=True)
        return None
    aside = set_aside(database, mark)
    draft.replace(database)
    damage_mark(database).unlink(missing_ok=True)
    told = ", ".join(f"{count} rows of {table}" for table, count in sorted(lost.items())) or "nothing that was recorded"
    return f"The database was damaged: it lies in {aside.name}, all that could be read was taken over; lost: {told}."


def _without_log(database: Path, mark: str) -> str:
    aside = log_of(database).with_name(f"{database.stem}.{mark}{database.suffix}.wal")
    log_of(database).replace(aside)
    return f"The database's log was damaged and lies in {aside.name}; {_since(database)} may be lost."


def _with_shorter_log(database: Path, at: int, mark: str) -> str:
    """Keep the entries of the log before the damaged one."""
    log = log_of(database)
    aside = log.with_name(f"{database.stem}.{mark}{database.suffix}.wal")
    if not aside.exists():
        shutil.copy2(log, aside)
    size = log.stat().st_size
    with log.open("r+b") as handle:
        handle.truncate(at)
    return (
        f"The database's log was damaged and lies in {aside.name}; what was recorded in its last {size - at} of "
        f"{size} bytes may be lost, at most {_since(database)}."
    )


def _since(database: Path) -> str:
    written_at = datetime.fromtimestamp(database.stat().st_mtime, UTC)
    return f"what was recorded since {written_at:%Y-%m-%d %H:%M:%S} UTC"


def _tables(database: Path) -> list[str]:
    with contextlib.closing(connect(str(database), is_read_only=True)) as connection:
        return [name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()]


def _move(database: Path, draft: Path, table: str) -> int:
    """Copy a table, in parts where it cannot be read whole; return how many rows could not be."""
    try:
        _copy(database, draft, table, "")
    except duckdb.Error:
        return _move_parts(database, draft, table)
    return 0


def _move_parts(database: Path, draft: Path, table: str) -> int:
    lost, first = 0, 0
    rows = _count(database, table)
    while first < rows:
        part = f"WHERE rowid >= {first} AND rowid < {first + CHUNK_ROWS}"
        try:
            _copy(database, draft, table, part)
        except duckdb.Error:
            lost += min(CHUNK_ROWS, rows - first)
        first += CHUNK_ROWS
    return lost


def _copy(database: Path, draft: Path, table: str, part: str) -> None:
    # A connection for each: DuckDB answers nothing more once it has met damage.
    with contextlib.closing(connect(str(draft))) as connection:
        connection.execute(f"ATTACH {literal(str(database))} AS damaged (READ_ONLY)")
        connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM damaged.{table} {part}")


def _count(database: Path, table: str) -> int:
    with contextlib.closing(connect(str(database), is_read_only=True)) as connection:
        found = connection.execute(f"SELECT coalesce(max(rowid) + 1, 0) FROM {table}").fetchone()
        return int(found[0]) if found else 0
