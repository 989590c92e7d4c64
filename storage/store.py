"""The store: one object with every table, the same in the owner, a flow run, a notebook and a test."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import secrets
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import duckdb

from storage.actions import ActionTable
from storage.audit import AuditTrail, Seal, seal_of
from storage.copies import give_back_room
from storage.cycles import CycleTable
from storage.decisions import ChoiceTable, DecisionTable, SharedLeaseTable
from storage.engine.bare import BareEngine
from storage.engine.damage import damage_mark, is_damage, mend, mend_blank_log, salvage, torn_end
from storage.engine.local import LocalEngine
from storage.engine.lock import holder_of, is_reserved
from storage.engine.protocol import Engine, connect, disk_full, literal, load_quack, refusal_for
from storage.engine.remote import RemoteEngine
from storage.errors import ForeactError, TransientError
from storage.events import ConsumerTable, EventTable
from storage.facts import FactTable
from storage.forecasts import ForecastTable
from storage.goals import GoalTable
from storage.migrations import migrate
from storage.outcomes import OutcomeTable
from storage.patterns import PatternTable
from storage.private import write_private
from storage.samples import SampleTable

T = TypeVar("T")

logger = logging.getLogger(__name__)

MEMORY = ":memory:"
FULL = (errno.ENOSPC, errno.EDQUOT)
MOST_MENDS = 50
"""A log may be damaged in so many places, each of which is found once those before it are cut off."""


def wall_clock() -> datetime:
    """Return the time at which a row is recorded where nobody hands in another clock."""
    return datetime.now(UTC)


class Store:
    """Every table of the loop over one engine; `clock` says when a row counts as recorded."""

    def __init__(self, engine: Engine, clock: Callable[[], datetime] = wall_clock, seal: Seal | None = None) -> None:
        self.engine = engine
        self.clock = clock
        self.samples = SampleTable(engine, clock)
        self.events = EventTable(engine, clock)
        self.consumers = ConsumerTable(engine, clock)
        self.cycles = CycleTable(engine, clock)
        self.patterns = PatternTable(engine, clock)
        self.forecasts = ForecastTable(engine, clock)
        self.goals = GoalTable(engine, clock)
        self.decisions = DecisionTable(engine, clock)
        self.choices = ChoiceTable(engine, clock)
        self.actions = ActionTable(engine, clock)
        self.outcomes = OutcomeTable(engine, clock)
        self.facts = FactTable(engine, clock)
        self.shared = SharedLeaseTable(engine, clock)
        self.audit = AuditTrail(engine, clock, seal)

    def transaction(self) -> AbstractContextManager[None]:
        """Make the writes inside a `with` all happen, or none."""
        context: AbstractContextManager[None] = self.engine.transaction()
        return context

    def together(self, write: Callable[[], T]) -> T:
        """Make all that `write` does happen, or none; it may be called twice, and must only write."""
        return self.engine.together(write)

    @property
    def changes(self) -> int:
        """Return a number that grows with every write that this process makes or sees; 0 where it does not count."""
        return self.engine.changes if isinstance(self.engine, LocalEngine) else 0

    def look(self) -> None:
        """Take in what other processes wrote, where this one serves the file; see `LocalEngine.look`."""
        if isinstance(self.engine, LocalEngine):
            self.engine.look()

    def probe(self) -> None:
        """Read from the database itself, past what is remembered; raises where it does not answer."""
        self.engine.rows("SELECT seq FROM audit LIMIT 1")

    def probe_write(self) -> None:
        """Write the moment to the database itself, always over the same row; raises where that cannot be done."""
        # DuckDB would leave an update out that changes nothing.
        sql = "INSERT INTO schema_versions VALUES (0, now()) ON CONFLICT DO UPDATE SET applied_at = now()"
        self.engine.rows(sql)

    def close(self) -> None:
        """Let go of the database."""
        self.engine.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_store(path: Path | str = MEMORY, clock: Callable[[], datetime] = wall_clock) -> Store:
    """Open the store: attached to the process that owns the file, or the file itself where nobody does.

    `path` is the DuckDB file, or `:memory:` for one that dies with the object. Raises `TransientError` when another
    process holds the file and does not serve it (yet), or a stack runs here and its owner is just being restarted: who
    took the file then would keep the owner out.
    """
    if str(path) == MEMORY:
        return _own(MEMORY, clock)
    file = Path(path)
    attached = _attach(file, clock)
    if attached is None and is_reserved(file):
        raise TransientError(f"the facade that owns {file} does not answer")
    return attached or _own_file(file, clock)


def own_store(path: Path, port: int = 0, clock: Callable[[], datetime] = wall_clock) -> Store:
    """Open the file as its owner and serve it to other processes of this user on loopback.

    Raises `store_in_use` when another process owns it.
    """
    store = _own_file(path, clock, must_own=True)
    engine = store.engine
    assert isinstance(engine, LocalEngine)
    engine.is_alone = False
    # What large messages took is given back to the system by a thread of the allocator, not when the next one comes.
    engine.rows("SET allocator_background_threads = true")
    # At a checkpoint DuckDB would join the row groups of several turns, and hold all their forecasts in memory for it.
    engine.rows("SET GLOBAL max_vacuum_tasks = 0")
    load_quack(engine._connection)
    uri, token = f"quack:127.0.0.1:{port or _port_of_before(path) or _free_port()}", secrets.token_urlsafe(32)
    store.engine.rows(f"CALL quack_serve({literal(uri)}, token={literal(token)})")
    engine.served_at = uri
    seal = _seal_of(path, engine)
    address = {"uri": uri, "token": token, "pid": os.getpid(), "audit_key": seal.key, "audit_since": seal.since}
    try:
        write_private(address_file(path), json.dumps(address))
    except OSError as trouble:
        store.close()
        raise disk_full() if trouble.errno in FULL else trouble from None
    return store


def address_file(path: Path) -> Path:
    """Return where the owner of a database says how to reach it; readable by its user alone.

    On another machine the same file, without `pid`, says where a tunnel to the owner begins.
    """
    return path.with_suffix(".owner.json")


def _attach(path: Path, clock: Callable[[], datetime]) -> Store | None:
    try:
        address = json.loads(address_file(path).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    is_elsewhere = "pid" not in address
    if not is_elsewhere and not _is_running(int(address["pid"])):
        return None
    try:
        seal = Seal(address["audit_key"], int(address["audit_since"]), path.with_suffix(".audit-key"))
        return Store(RemoteEngine(address["uri"], address["token"]), clock, seal)
    except TransientError:
        # A database on another machine is not to be mistaken for one that is not there yet.
        if is_elsewhere:
            raise
        return None


def _own_file(path: Path, clock: Callable[[], datetime], must_own: bool = False) -> Store:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if must_own:
            give_back_room(path)
        store = _own_mended(path, clock)
        with contextlib.suppress(PermissionError):
            path.chmod(0o600)
        return store
    except OSError as trouble:
        if trouble.errno in FULL:
            raise disk_full() from None
        raise ForeactError(
            "folder_not_writable",
            f"{path.parent} is not writable: {trouble.strerror}.",
            "Make it writable, or choose another folder with FOREACT_HOME.",
        ) from None
    except duckdb.Error as trouble:
        if (refusal := refusal_for(trouble)) is not None and not is_damage(trouble):
            raise refusal from None
        if "set lock" not in str(trouble).lower():
            raise ForeactError(
                "store_unreadable",
                f"{path} cannot be opened: {str(trouble).splitlines()[0]}",
                "Restore it from a backup: foreact restore FILE --replace.",
                status=500,
            ) from None
        if must_own:
            raise ForeactError(
                "store_in_use", f"{path} is owned by {holder_of(path)}.", "Stop that process first.", status=409
            ) from None
        raise TransientError(f"{path} is held by another process that does not serve it") from None


def _own_mended(path: Path, clock: Callable[[], datetime]) -> Store:
    """Open a file; where it or its log is damaged, set that aside, open the rest, and record what may be lost."""
    mark = f"damaged-{clock():%Y%m%dT%H%M%S}"
    told, torn = [mend_blank_log(path, mark)], torn_end(path)
    if damage_mark(path).exists():
        told.append(salvage(path, mark, migrate))
    for _ in range(MOST_MENDS):
        try:
            store = _own(str(path), clock)
            break
        except (duckdb.Error, TransientError) as trouble:
            sentence = mend(path, trouble.__cause__ or trouble, mark, migrate)
            if sentence is None:
                raise trouble.__cause__ or trouble from None
            told.append(sentence)
    else:
        store = _own(str(path), clock)
    for sentence in list(filter(None, told)) or filter(None, [torn]):
        logger.error(sentence)
        store.audit.append("store", "damage set aside", path.name, {"detail": sentence})
    return store


def _own(path: str, clock: Callable[[], datetime]) -> Store:
    connection = connect(path)
    if path == MEMORY:
        # Nothing in it is large enough to be worth waking a second thread for: a fifth of the time.
        connection.execute("SET threads = 1")
        # DuckDB would pack memory like a file, every 16 MB, which takes it a tenth of a second and more.
        connection.execute("SET checkpoint_threshold = '1 TB'")
    engine = BareEngine(connection) if path == MEMORY else LocalEngine(connection)
    try:
        migrate(engine)
        return Store(engine, clock, None if path == MEMORY else _seal_of(Path(path), engine))
    except BaseException:
        connection.close()
        raise


def _seal_of(path: Path, engine: Engine) -> Seal:
    (newest,) = engine.rows("SELECT coalesce(max(seq), 0) FROM audit")[0]
    return seal_of(path, newest)


def _port_of_before(path: Path) -> int | None:
    """Return the port of the last owner, where it is free: a tunnel to it goes on after a restart."""
    try:
        port = int(json.loads(address_file(path).read_text())["uri"].rpartition(":")[2])
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return None
    return port


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
