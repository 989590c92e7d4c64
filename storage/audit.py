"""The audit trail: who decided what, each line sealed by the hash of the one before and a key beside the database."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import re
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from storage.engine.protocol import CONFLICT_ATTEMPTS, Engine
from storage.errors import ForeactError
from storage.private import kept_secret, masked_in, write_private
from storage.records import AuditEntry
from storage.table import Clock, asked, pattern_of

logger = logging.getLogger(__name__)

GENESIS = "0" * 64
KEYED = "k1:"
HEADS = ".audit-heads"
_KEY = re.compile(r"([\w-]{43})(?: ([0-9]{1,18}))?", re.ASCII)
_HEAD = re.compile(r"([0-9]{1,18}) (\S+)")
ARCHIVED = "audit archived"
MOST_HEAD_BYTES = 2_000_000
CANNOT_PROVE = (
    "Whoever can read the folder has the key as well, and can write a trail anew with the hashes kept beside it. "
    "Then only what left the machine speaks against him: the heads in facade.log and in Prefect's events, if these are "
    "copied elsewhere. Nor does the trail show what was done past foreact."
)


@dataclass(frozen=True)
class Seal:
    """The key of a trail, from which line on it is used, and the file that it lies in."""

    key: str
    since: int
    file: Path

    @property
    def heads(self) -> Path:
        """Return the file beside the database with the hashes of the newest lines."""
        return self.file.with_suffix(HEADS)

    @property
    def database(self) -> Path:
        """Return the name of the database, beside which archives lie."""
        return self.file.with_name(self.file.name.partition(".audit-key")[0] + ".duckdb")


@dataclass(frozen=True)
class AuditCheck:
    """What a look at the whole trail found, and what it can and cannot prove; all is well without `findings`."""

    lines: int
    last_line: int
    last_hash: str
    first_broken_line: int | None
    findings: list[str]
    proves: str
    cannot_prove: str


class AuditLine(NamedTuple):
    """A line as it is stored: `detail` is JSON as text, of which the hash was made."""

    seq: int
    at: datetime
    actor: str
    verb: str
    subject: str
    detail: str
    previous_hash: str
    entry_hash: str


class ArchivedLines(NamedTuple):
    """The lines of all archives, ascending, each once; where a file begins; and what is wrong, by line."""

    lines: tuple[AuditLine, ...] = ()
    begins: frozenset[int] = frozenset()
    troubles: tuple[tuple[int, str], ...] = ()


class AuditTrail:
    """The `audit` table: one line for all that a person or the loop decided, each with the hash before it."""

    def __init__(self, engine: Engine, clock: Clock, seal: Seal | None = None) -> None:
        """Bind the engine; with a `seal` hashes are keyed, and the newest is kept outside the database too."""
        self._engine, self._clock, self._seal = engine, clock, seal
        self._kept: tuple[int, str] | None = None

    def append(self, actor: str, verb: str, subject: str, detail: Mapping[str, Any] | None = None) -> AuditEntry:
        """Add a line, without secrets; two writers at once get two consecutive lines."""
        text = json.dumps(masked_in(dict(detail or {})), sort_keys=True, default=str)
        for attempt in range(CONFLICT_ATTEMPTS):
            entry = self._next(actor, verb, subject, text)
            try:
                self._write(entry, text)
            except duckdb.ConstraintException:
                if attempt == CONFLICT_ATTEMPTS - 1:
                    raise
            else:
                self._keep_head(entry.seq, entry.entry_hash)
                return entry
        raise AssertionError("unreachable")

    def latest(self, limit: int = 100) -> list[AuditEntry]:
        """Return the newest lines, newest first."""
        return self._select("ORDER BY seq DESC LIMIT $limit", {"limit": limit})

    def page(self, text: str, limit: int, offset: int = 0) -> tuple[list[AuditEntry], int]:
        """Return some of the lines that contain a text, newest first, and how many do."""
        params = {"text": pattern_of(text)}
        where = "WHERE concat_ws(' ', actor, verb, subject, detail) ILIKE $text ESCAPE '!'"
        sql = f"SELECT count(*) FROM audit {where}"
        count = self._engine.recall(("audit",), ("audit counted", text), lambda: self._engine.rows(sql, params))
        tail = f"{where} ORDER BY seq DESC LIMIT $limit OFFSET $offset"
        return self._select(tail, {**params, "limit": limit, "offset": offset}), int(count[0][0])

    def first_broken_line(self) -> int | None:
        """Return the number of the first line that is not as it was written, or is missing; None where all are."""
        return self.check().first_broken_line

    def check(self) -> AuditCheck:
        """Read every line and tell whether any was changed, put in or taken away since it was written."""
        lines = self._lines("ORDER BY seq", {})
        if self._seal is None:
            return checked(lines, None, {})
        return checked(lines, self._seal, read_heads(self._seal.heads), read_archives(self._seal.database))

    def archive(self, before: datetime, every: timedelta = timedelta(0)) -> int:
        """Move the lines written before a moment into a file beside the database; return how many.

        Nothing is done before the oldest is older by `every`, so that not every day makes a file of its own.
        That they were, and up to which hash, is a line of the trail. Where the database lies in no file, or on another
        machine, nothing is done. A process that ends on the way leaves lines in both places; they are moved the next
        time.
        """
        cut = "seq < (SELECT coalesce(min(seq), max(seq) + 1) FROM {0} WHERE written_at >= $before)"
        old = self._lines(f"WHERE {cut.format('audit')} ORDER BY seq", {"before": before})
        if not old or old[0].at > before - every or self._seal is None or not self._seal.database.exists():
            return 0
        file = write_archive(self._seal.database, old)
        detail = {"through": old[-1].seq, "hash": old[-1].entry_hash, "file": file.name}
        self.append("upkeep", ARCHIVED, "audit", detail)
        self._engine.rows("DELETE FROM audit WHERE seq <= $through", {"through": old[-1].seq})
        return len(old)

    def note_head(self) -> tuple[int, str] | None:
        """Keep the newest line's number and hash outside the database as well, and return them; None without lines."""
        rows = self._engine.rows("SELECT seq, entry_hash FROM audit ORDER BY seq DESC LIMIT 1")
        if not rows:
            return None
        self._keep_head(*rows[0])
        return rows[0][0], rows[0][1]

    def _keep_head(self, seq: int, entry_hash: str) -> None:
        # What is written inside a transaction may yet be taken back: then the next one keeps the head.
        if self._seal is not None and not self._engine.in_transaction and (seq, entry_hash) != self._kept:
            keep_head(self._seal.heads, seq, entry_hash)
            self._kept = seq, entry_hash

    def _next(self, actor: str, verb: str, subject: str, detail: str) -> AuditEntry:
        rows = self._engine.rows("SELECT seq, entry_hash FROM audit ORDER BY seq DESC LIMIT 1")
        seq, previous = (rows[0][0] + 1, rows[0][1]) if rows else (1, GENESIS)
        at = self._clock()
        return AuditEntry(
            seq=seq,
            at=at,
            actor=actor,
            verb=verb,
            subject=subject,
            detail=json.loads(detail),
            previous_hash=previous,
            entry_hash=_hash(AuditLine(seq, at, actor, verb, subject, detail, previous, ""), self._seal),
        )

    def _lines(self, tail: str, params: Mapping[str, Any]) -> list[AuditLine]:
        columns = "seq, written_at, actor, verb, subject, detail, previous_hash, entry_hash"
        return [AuditLine(*row) for row in self._engine.rows(f"SELECT {columns} FROM audit {tail}", params)]

    def _write(self, entry: AuditEntry, detail: str) -> None:
        sql = "INSERT INTO audit VALUES ($seq, $at, $actor, $verb, $subject, $detail, $previous_hash, $entry_hash)"
        self._engine.rows(sql, entry.model_dump() | {"detail": detail})

    def _select(self, tail: str, params: Mapping[str, Any]) -> list[AuditEntry]:
        columns = ("seq", "at", "actor", "verb", "subject", "detail", "previous_hash", "entry_hash")
        stored = ("written_at" if column == "at" else column for column in columns)
        sql = f"SELECT {', '.join(stored)} FROM audit {tail}"

        def read() -> tuple[AuditEntry, ...]:
            rows = self._engine.rows(sql, params)
            return tuple(
                AuditEntry(**dict(zip(columns, row, strict=True)) | {"detail": json.loads(row[5])}) for row in rows
            )

        return list(self._engine.recall(("audit",), ("audit", tail, asked(params)), read))


def checked(
    lines: Sequence[AuditLine],
    seal: Seal | None,
    heads: Mapping[int, str],
    archived: ArchivedLines = ArchivedLines(),
) -> AuditCheck:
    """Tell of all lines, ascending, whether they are as they were written; `heads` are hashes kept elsewhere."""
    first, last = (lines[0].seq, lines[-1].seq) if lines else (1, 0)
    everything = _with_archived(lines, archived)
    hashes = {line.seq: line.entry_hash for line in everything}
    findings = [
        ("does not follow from the line before", _first_break(everything, seal, {first, *archived.begins})),
        (
            "is not the line of which the hash was kept outside the database",
            min((seq for seq, kept in heads.items() if hashes.get(seq, kept) != kept), default=None),
        ),
        ("was written, but is missing at the end", last + 1 if max(heads, default=0) > last else None),
        (
            "is missing at the beginning, and no line says that it was archived",
            None if first == 1 or _is_archived(lines) else 1,
        ),
        *((what, seq) for seq, what in archived.troubles),
        *(
            ("is in an archive otherwise than in the database", line.seq)
            for line in archived.lines
            if line.seq >= first and hashes.get(line.seq) != line.entry_hash
        ),
    ]
    broken = sorted((seq, what) for what, seq in findings if seq is not None)
    away = first - 1 - sum(line.seq < first for line in everything)
    return AuditCheck(
        lines=len(everything),
        last_line=last,
        last_hash=lines[-1].entry_hash if lines else GENESIS,
        first_broken_line=min((seq for seq, _ in broken), default=None),
        findings=[f"Line {seq} {what}." for seq, what in broken],
        proves=_proves(seal, heads),
        cannot_prove=f"{_missing(away)}{CANNOT_PROVE}",
    )


def _with_archived(lines: Sequence[AuditLine], archived: ArchivedLines) -> list[AuditLine]:
    first = lines[0].seq if lines else 1
    return [*(line for line in archived.lines if line.seq < first), *lines]


def _missing(count: int) -> str:
    if count <= 0:
        return ""
    return f"{count} earlier lines are in archives that do not lie beside the database: of these nothing is known. "


def _first_break(lines: Sequence[AuditLine], seal: Seal | None, begins: Set[int]) -> int | None:
    """Return the first line that does not follow from the one before; what `begins` may follow a gap."""
    before_seq, before_hash = 0, GENESIS
    for line in lines:
        follows = line.seq == before_seq + 1 and line.previous_hash == before_hash
        if not follows and not (line.seq in begins and line.seq > before_seq + 1):
            return before_seq + 1
        # Without the key, as for a copy alone, a keyed line is only known to follow from the one before.
        is_open = seal is None and line.entry_hash.startswith(KEYED)
        if not is_open and line.entry_hash != _hash(line, seal):
            return line.seq
        before_seq, before_hash = line.seq, line.entry_hash
    return None


def _is_archived(lines: Sequence[AuditLine]) -> bool:
    """Tell whether a line says that all before the first one were archived, as of the hash that it follows from."""
    wanted = {"through": lines[0].seq - 1, "hash": lines[0].previous_hash}
    return any(line.verb == ARCHIVED and wanted.items() <= json.loads(line.detail).items() for line in lines)


def _proves(seal: Seal | None, heads: Mapping[int, str]) -> str:
    if seal is None:
        return "No line was changed by somebody who did not compute all later hashes anew."
    kept = (
        f"; the hashes of {len(heads)} lines, up to line {max(heads)}, are kept in {seal.heads.name}"
        if heads
        else f", except at the end, where lines may be missing: no hash is kept in {seal.heads.name}"
    )
    since = f"From line {seal.since} on nobody" if seal.since > 1 else "Nobody"
    earlier = " Earlier lines have hashes without a key." if seal.since > 1 else ""
    return f"{since} without the key in {seal.file.name} changed, added or removed a line{kept}.{earlier}"


def seal_of(database: Path, newest_line: int) -> Seal:
    """Return the seal of a database in a file; where there is none it is made, and goes for lines that are yet to come.

    The key lies beside the database, for its owner alone, so that a copy or a change of the database is without it.
    """
    file = key_file(database)
    return _seal_in(file, kept_secret(file, f" {newest_line + 1}"), file)


def read_heads(file: Path) -> dict[int, str]:
    """Return the hashes of lines that were kept outside the database; of several of one line the newest."""
    try:
        lines = file.read_text(errors="replace").splitlines()
    except OSError:
        return {}
    return {int(head[1]): head[2] for head in map(_HEAD.fullmatch, lines) if head}


def keep_head(file: Path, seq: int, entry_hash: str) -> None:
    """Add the hash of a line to those kept outside the database; the oldest give way when there are very many."""
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a") as handle:
            handle.write(f"{seq} {entry_hash}\n")
            is_long = handle.tell() > MOST_HEAD_BYTES
        if is_long:
            kept = file.read_text(errors="replace").splitlines()
            write_private(file, "\n".join(kept[len(kept) // 2 :]) + "\n")
    except OSError as trouble:
        # The line itself is written; what is missing is one witness of many.
        logger.warning("the head of the audit trail could not be kept in %s: %s", file, trouble)


def set_heads_aside(database: Path, mark: str) -> None:
    """Begin a new list of hashes, where an older copy of the database takes the place of the newer one."""
    heads = database.with_suffix(HEADS)
    if heads.exists():
        heads.replace(heads.with_name(f"{heads.name}.{mark}"))


def seal_beside(database: Path) -> Seal | None:
    """Return the seal of a database that is only read, of which later hashes say nothing; None without a key."""
    file = key_file(database)
    if not file.exists():
        return None
    return _seal_in(file, file.read_text(errors="replace").strip(), file.with_name(f"{file.name}.read"))


def _seal_in(key: Path, text: str, file: Path) -> Seal:
    found = _KEY.fullmatch(text)
    if found is None:
        raise ForeactError(
            "audit_key_unusable",
            f"{key} does not hold the key of an audit trail.",
            "Put it back from a backup. Or move it away: a new one is made, and the lines so far cannot be verified.",
            status=409,
        )
    return Seal(found[1], int(found[2] or 1), file)


def key_file(database: Path) -> Path:
    """Return the file with the key of a database's trail."""
    return database.with_suffix(".audit-key")


def archives_of(database: Path) -> list[Path]:
    """Return the archives beside a database, oldest first."""
    return sorted(database.parent.glob(f"{database.stem}.audit-*-*.jsonl"))


def write_archive(database: Path, lines: Sequence[AuditLine]) -> Path:
    """Write lines to a file of their own for the owner alone, and its SHA-256 beside it; return the file."""
    file = database.with_name(f"{database.stem}.audit-{lines[0].seq:09d}-{lines[-1].seq:09d}.jsonl")
    rows = (json.dumps([line.seq, _moment(line.at), *line[2:]]) for line in lines)
    text = "".join(f"{row}\n" for row in rows)
    write_private(file.with_name(f"{file.name}.sha256"), f"{hashlib.sha256(text.encode()).hexdigest()}  {file.name}\n")
    write_private(file, text)
    return file


def read_archives(database: Path) -> ArchivedLines:
    """Read every archive beside a database.

    Lines may stand in two of them, where a process ended between writing one and removing its lines from the database.
    """
    lines: dict[int, AuditLine] = {}
    troubles: list[tuple[int, str]] = []
    begins = set[int]()
    for file in archives_of(database):
        first = int(file.stem.split("-")[-2])
        try:
            data = file.read_bytes()
            found = _lines(data.decode().splitlines())
            is_as_written = file.with_name(f"{file.name}.sha256").read_text().split()[:1] == [
                hashlib.sha256(data).hexdigest()
            ]
        except (OSError, ValueError, TypeError) as trouble:
            troubles.append((first, f"stands in {file.name}, which cannot be read ({type(trouble).__name__})"))
            continue
        if not is_as_written:
            troubles.append((first, f"begins {file.name}, which is not what its checksum was written for"))
        begins.add(first)
        twice = [line.seq for line in found if lines.setdefault(line.seq, line) != line]
        troubles += [(seq, f"stands in {file.name} otherwise than in an earlier archive") for seq in twice]
    return ArchivedLines(tuple(lines[seq] for seq in sorted(lines)), frozenset(begins), tuple(troubles))


def _lines(rows: Iterable[str]) -> list[AuditLine]:
    found = []
    for row in rows:
        seq, at, *texts = json.loads(row)
        found.append(AuditLine(int(seq), datetime.fromisoformat(at), *map(str, texts)))
    return found


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def _hash(line: AuditLine, seal: Seal | None) -> str:
    moment = _moment(line.at)
    parts = [line.previous_hash, line.seq, moment, line.actor, line.verb, line.subject, line.detail]
    text = json.dumps(parts).encode()
    if seal is None or line.seq < seal.since:
        return hashlib.sha256(text).hexdigest()
    return KEYED + hmac.new(seal.key.encode(), text, hashlib.sha256).hexdigest()
