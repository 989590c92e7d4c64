"""The one file as a whole: a copy of it while the loop runs, the copy put back, and room given back that lies free.

A copy is written by DuckDB from one snapshot, into a file of its own that holds nothing but rows; beside a backup lies
its SHA-256, in the form that `sha256sum --check` reads.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import secrets
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import duckdb

from storage.actions import ActionTable
from storage.audit import AuditTrail, key_file, seal_beside, set_heads_aside
from storage.engine.damage import damage_mark, log_of, set_aside
from storage.engine.local import LocalEngine
from storage.engine.lock import holder_of, is_reserved
from storage.engine.protocol import Engine, connect, literal
from storage.errors import ForeactError, TransientError
from storage.migrations import MIGRATIONS
from storage.open_predictions import NEVER
from storage.private import write_private
from storage.records import Receipt, ReceiptStatus

logger = logging.getLogger(__name__)

CHUNK_BYTES = 1 << 20
FREE_BYTES = 8_000_000
HEADERS_BYTES = 3 * 4_096
"""What a database file holds before its blocks."""
FREE_RATIO = 0.3
"""A file is written anew when so many bytes in it, and so much over what is used, hold nothing."""


@dataclass(frozen=True)
class BackupFacts:
    """What a database file holds: size in bytes, SHA-256, version of its schema, rows in all tables together."""

    file: Path
    size_bytes: int
    sha256: str
    schema_version: int
    rows: int
    given_up: int = 0


def back_up(engine: Engine, file: Path, database: Path | None = None) -> BackupFacts:
    """Write what is recorded up to now into a new file, with its checksum beside it, and read it back.

    The key of the audit trail of `database` lies beside the copy as well: without it only the order of lines can be
    verified. The process that owns the database writes it, others go on meanwhile. Raises `file_exists` or
    `backup_failed`.
    """
    if file.exists():
        raise ForeactError("file_exists", f"{file} exists already.", "Choose another name.", status=409)
    draft = file.with_name(f".{file.name}.part")
    try:
        copy_to(engine, draft)
        draft.chmod(0o600)
        facts = verified(draft, database)
        draft.replace(file)
        checksum_file(file).write_text(f"{facts.sha256}  {file.name}\n")
        if database is not None and key_file(database).exists():
            write_private(key_file(file), key_file(database).read_text())
    except (duckdb.Error, OSError) as trouble:
        raise ForeactError(
            "backup_failed",
            f"{file} could not be written: {_line(trouble)}.",
            "Choose a folder that exists, is writable and has room.",
            status=507,
        ) from None
    finally:
        draft.unlink(missing_ok=True)
    return BackupFacts(file, facts.size_bytes, facts.sha256, facts.schema_version, facts.rows)


def restore(
    backup: Path, database: Path, *, now: datetime, replaces: bool = False, checks_sum: bool = True
) -> tuple[BackupFacts, Path | None]:
    """Put a backup in the place of the database; return what it holds, and where what was there lies now.

    Nothing is touched before the backup is verified and a copy of it lies beside. Raises `backup_unusable`,
    `store_in_use`, `restore_failed`, or `database_exists` where one is there and may not be replaced; even then it is
    set aside, never deleted. An act without a receipt is given up (`given_up` counts them): it may have been carried
    out after the backup was made.
    """
    if checks_sum:
        _check_sum(backup)
    facts = verified(backup)
    _must_be_free(database)
    if database.exists() and not replaces:
        raise ForeactError(
            "database_exists",
            f"{database} exists already.",
            "To set it aside and restore the backup in its place, add --replace.",
            status=409,
        )
    draft = _copied(backup, facts, database)
    given_up = _give_up_open_acts(draft, now)
    aside, mark = None, f"before-restore-{now:%Y%m%dT%H%M%S}"
    if database.exists():
        aside = set_aside(database, mark)
    elif log_of(database).exists():
        set_aside(database, mark)  # the log of a file that is gone would be replayed into the restored one
    damage_mark(database).unlink(missing_ok=True)
    draft.replace(database)
    set_heads_aside(database, mark)
    if key_file(backup).exists():
        write_private(key_file(database), key_file(backup).read_text())
    _sync_folder(database.parent)
    return replace(facts, given_up=given_up), aside


def _copied(backup: Path, facts: BackupFacts, database: Path) -> Path:
    """Copy a verified backup to beside the place that it is for; nothing is left of it where that fails."""
    draft = database.with_name(f".{database.name}.part")
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
        log_of(draft).unlink(missing_ok=True)
        _copy_file(backup, draft)
        if sha256_of(draft) == facts.sha256:
            return draft
        trouble = _unusable(backup, "it was changed while it was copied")
    except OSError as why:
        remedy = "Nothing was changed. Make room, or choose a folder that is writable."
        trouble = ForeactError("restore_failed", f"{draft} could not be written: {why.strerror}.", remedy, status=507)
    with contextlib.suppress(OSError):
        draft.unlink(missing_ok=True)
    raise trouble


def _give_up_open_acts(database: Path, now: datetime) -> int:
    """Give every act without a receipt one that says why it is not carried out; return how many there were."""
    with contextlib.closing(connect(str(database))) as connection:
        engine = LocalEngine(connection)
        sql = "SELECT action_id FROM actions WHERE action_id NOT IN (SELECT action_id FROM receipts)"
        waiting = [action_id for (action_id,) in engine.rows(sql)]
        if not waiting:
            return 0
        newest = "SELECT greatest((SELECT max(recorded_at) FROM actions), (SELECT max(recorded_at) FROM samples))"
        ((recorded_at,),) = engine.rows(newest)
        detail = (
            f"It was restored from a backup of {recorded_at:%Y-%m-%d %H:%M} UTC, in which it was not done yet. "
            "It may have been done since, so it is not done again."
        )
        table = ActionTable(engine, lambda: now)
        for action_id in waiting:
            receipt = Receipt(
                action_id=action_id, status=ReceiptStatus.SKIPPED, started_at=now, finished_at=now, detail=detail
            )
            table.finish(receipt)
        engine.rows("CHECKPOINT")
    _sync(database)
    return len(waiting)


def checksum_file(backup: Path) -> Path:
    """Return where the checksum of a backup lies."""
    return backup.with_name(f"{backup.name}.sha256")


def verified(file: Path, keyed_as: Path | None = None) -> BackupFacts:
    """Read a database file from end to end, its audit trail too; raises `backup_unusable` where that fails.

    The trail is read with the key that lies beside `keyed_as`, by default the file itself.
    """
    if not file.is_file():
        raise _unusable(file, "there is no such file")
    try:
        with contextlib.closing(connect(str(file), is_read_only=True)) as connection:
            engine = LocalEngine(connection)
            ((version,),) = engine.rows("SELECT max(version) FROM schema_versions")
            tables = [name for (name,) in engine.rows("SELECT table_name FROM duckdb_tables() WHERE NOT internal")]
            # DuckDB compares every block that it reads with its checksum: so all columns are read.
            read = [engine.rows(f"SELECT count(*), bit_xor(hash({name})) FROM {name}") for name in tables]
            rows = sum(count for ((count, _),) in read)
            ((blocks_bytes,),) = engine.rows("SELECT block_size * total_blocks FROM pragma_database_size()")
            broken = AuditTrail(engine, lambda: NEVER, seal_beside(keyed_as or file)).first_broken_line()
    except (duckdb.Error, TransientError) as trouble:
        # Over a damaged block the engine says that it begins anew, and why beneath that.
        raise _unusable(file, _line(trouble.__cause__ or trouble)) from None
    # Blocks at the end that hold nothing just now are read by nobody.
    if (missing := HEADERS_BYTES + blocks_bytes - file.stat().st_size) > 0:
        raise _unusable(file, f"its last {missing:,} bytes are missing")
    newest = max(int(each.name.partition("_")[0]) for each in MIGRATIONS.glob("*.sql"))
    if int(version) > newest:
        raise _unusable(file, f"its schema is {version}, this release knows {newest}: install a newer one")
    if broken is not None:
        raise _unusable(file, f"its audit trail is broken at line {broken}")
    return BackupFacts(file, file.stat().st_size, sha256_of(file), int(version), rows)


def sha256_of(file: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    digest = hashlib.sha256()
    with file.open("rb") as handle:
        while chunk := handle.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def copy_to(engine: Engine, file: Path) -> None:
    """Write all tables of the engine's database, as they are at one moment, into a new file."""
    for part in (file, log_of(file)):
        part.unlink(missing_ok=True)
    copy = f"copy_{secrets.token_hex(4)}"
    ((own,),) = engine.rows("SELECT current_database()")
    engine.rows(f"ATTACH {literal(str(file.resolve()))} AS {copy} (STORAGE_VERSION 'v1.2.0')")
    try:
        engine.rows(f'COPY FROM DATABASE "{own}" TO {copy}')
        engine.rows(f"CHECKPOINT {copy}")
    finally:
        engine.rows(f"DETACH {copy}")


def give_back_room(database: Path) -> int:
    """Write a database that nobody has open anew where much of it holds nothing; return the bytes given back.

    The new file takes the place of the old one in one step, once it is on disk and has as many rows in every table.
    """
    if not database.exists() or log_of(database).exists():
        return 0
    before, draft = database.stat().st_size, database.with_name(f".{database.name}.part")
    try:
        with contextlib.closing(connect(str(database))) as connection:
            engine = LocalEngine(connection)
            sql = "SELECT block_size * free_blocks, block_size * used_blocks FROM pragma_database_size()"
            ((free, used),) = engine.rows(sql)
            if free < FREE_BYTES or free < FREE_RATIO * used:
                return 0
            copy_to(engine, draft)
            counts = _counts(engine)
        with contextlib.closing(connect(str(draft))) as copied:
            if _counts(LocalEngine(copied)) != counts:
                return 0
        _sync(draft)
        draft.replace(database)
        _sync_folder(database.parent)
    except (duckdb.Error, OSError) as trouble:
        logger.warning("The database was not made smaller: %s", _line(trouble))
        return 0
    finally:
        draft.unlink(missing_ok=True)
    return before - database.stat().st_size


def rescue(engine: LocalEngine, database: Path) -> Path:
    """Write what an open database holds to a new file, where its own was deleted or replaced; return the new one.

    Nothing is written any more afterwards: the process must end, and open the file anew. A file that lies in its place
    by now is left alone, and the rescued one gets a name beside it.
    """
    held = LocalEngine(engine.halt())
    draft = database.with_name(f".{database.name}.part")
    copy_to(held, draft)
    target = database if not database.exists() else database.with_name(f"{database.stem}.rescued{database.suffix}")
    log_of(target).unlink(missing_ok=True)
    draft.replace(target)
    _sync_folder(target.parent)
    return target


def _counts(engine: Engine) -> dict[str, int]:
    names = [name for (name,) in engine.rows("SELECT table_name FROM duckdb_tables() WHERE NOT internal")]
    return {name: engine.rows(f"SELECT count(*) FROM {name}")[0][0] for name in names}


def _check_sum(backup: Path) -> None:
    beside = checksum_file(backup)
    if not beside.is_file():
        raise _unusable(backup, f"its checksum {beside.name} is not beside it; --no-checksum restores it all the same")
    if not backup.is_file() or beside.read_text(errors="replace").split()[:1] != [sha256_of(backup)]:
        raise _unusable(backup, f"it is not what {beside.name} was written for")


def _must_be_free(database: Path) -> None:
    if is_reserved(database):
        raise ForeactError("store_in_use", f"A stack uses {database}.", "Stop it first.", status=409)
    holder = holder_of(database)
    if holder is not None:
        raise ForeactError("store_in_use", f"{database} is in use by {holder}.", "Stop that process first.", status=409)


def _copy_file(source: Path, target: Path) -> None:
    with source.open("rb") as reader, os.fdopen(_private(target), "wb") as writer:
        while chunk := reader.read(CHUNK_BYTES):
            writer.write(chunk)
    _sync(target)


def _private(file: Path) -> int:
    return os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)


def _sync(file: Path) -> None:
    with file.open("rb") as handle:
        os.fsync(handle.fileno())


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _unusable(file: Path, why: str) -> ForeactError:
    return ForeactError("backup_unusable", f"{file} cannot be restored: {why}.", "Use another backup.", status=422)


def _line(trouble: BaseException) -> str:
    return str(trouble).splitlines()[0].rstrip(".") if str(trouble) else type(trouble).__name__
