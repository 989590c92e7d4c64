"""What was read already, kept until it changes.

A turn of the loop asks the small tables (goals, actions, facts, beliefs) the same things many times between two
writes, and DuckDB takes a millisecond to answer each. A process that nobody else writes beside sees every write and
remembers at once. An owner that serves its file to others remembers while it looks, several times a second, how many
rows each table has: its own writes count at once, those of others when it looks. What is asked often is then read
again before the new state is shown, so that nobody waits for it.
"""

from __future__ import annotations

import math
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Lock, local
from typing import Any, TypeVar

T = TypeVar("T")

MOST_ANSWERS = 256
WANTED_S = 10.0
SETTLED_S = 2.0
TICK_S = 5.0
PROBED = "schema_versions"
"""The table that is written to see whether it can be: nothing that is asked depends on it."""
CLOCK = "clock"
"""Named like a table by what grows old by itself: it is written every five seconds."""
_WRITE = re.compile(r"\s*(?:INSERT INTO|DELETE FROM|UPDATE)\s+(\w+)", re.IGNORECASE)
_READ = re.compile(r"\s*(?:SELECT|WITH|FROM)\b", re.IGNORECASE)
ANYTHING = "*"

State = tuple[Hashable, ...]
Seen = Mapping[str, Hashable]


def written(sql: str) -> str | None:
    """Return the table that a statement writes, `*` where that cannot be told, and None for one that only reads."""
    write = _WRITE.match(sql)
    if write:
        return write[1].lower()
    return None if _READ.match(sql) else ANYTHING


@dataclass(slots=True)
class CachedAnswer:
    """What was read, with the state of its tables when it was asked, and how to read it again."""

    tables: tuple[str, ...]
    state: State
    value: Any
    read: Callable[[], Any]
    asked_s: float


@dataclass(frozen=True)
class Ahead:
    """What a renewal goes by, and what it has read so far, while everybody else is still shown what was."""

    seen: Seen
    answers: dict[Hashable, CachedAnswer] = field(default_factory=dict)


class QueryCache:
    """The answers of reads, each with the state of its tables when it was asked; the least used ones go first."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._local = local()
        self._writes: dict[str, int] = {}
        self.changes = 0
        self._seen: Seen = {}
        self._answers: OrderedDict[Hashable, CachedAnswer] = OrderedDict()

    def get(self, tables: tuple[str, ...], key: Hashable, read: Callable[[], T], keep: bool = True) -> T:
        """Return the answer to `key`, read anew where one of its tables was written since; `keep` what is read."""
        ahead: Ahead | None = getattr(self._local, "ahead", None)
        with self._lock:
            state = self._state(tables, ahead.seen if ahead else self._seen)
            known = self._known(key, ahead)
            if known is not None and known.state == state:
                if ahead is None:
                    known.asked_s = time.monotonic()
                value: T = known.value
                return value
        # A write meanwhile makes this answer old at once: it is kept under the state before it was read.
        value = read()
        if not keep:
            return value
        answer = CachedAnswer(tables, state, value, read, -math.inf if ahead else time.monotonic())
        if ahead:
            ahead.answers[key] = answer
        else:
            with self._lock:
                self._keep(key, answer)
        return value

    def touch(self, table: str) -> None:
        """Note that a table was written here."""
        with self._lock:
            self._writes[table] = self._writes.get(table, 0) + 1
            self.changes += table != PROBED

    def renew(self, seen: Seen) -> None:
        """Go by another state of the tables: what was asked within the last ten seconds is read again first."""
        ahead = Ahead(seen)
        with self._lock:
            outdated = [
                (key, known)
                for key, known in self._answers.items()
                if time.monotonic() - known.asked_s < WANTED_S and known.state != self._state(known.tables, seen)
            ]
        self._local.ahead = ahead
        try:
            for key, known in outdated:
                # What cannot be read is left out of date: who asks for it next is told why.
                with suppress(Exception):
                    self.get(known.tables, key, known.read)
        finally:
            self._local.ahead = None
        with self._lock:
            self.changes += seen != self._seen
            self._seen = seen
            for key, answer in ahead.answers.items():
                before = self._answers.get(key)
                # What only the renewal itself asked for counts as not asked.
                answer.asked_s = before.asked_s if before else -math.inf
                self._keep(key, answer)

    def _known(self, key: Hashable, ahead: Ahead | None) -> CachedAnswer | None:
        if ahead and key in ahead.answers:
            return ahead.answers[key]
        known = self._answers.get(key)
        if known is not None and not ahead:
            self._answers.move_to_end(key)
        return known

    def _keep(self, key: Hashable, answer: CachedAnswer) -> None:
        self._answers[key] = answer
        self._answers.move_to_end(key)
        if len(self._answers) > MOST_ANSWERS:
            self._answers.popitem(last=False)

    def _state(self, tables: tuple[str, ...], seen: Seen) -> State:
        return tuple(part for table in (*tables, ANYTHING) for part in (self._writes.get(table, 0), seen.get(table)))


class Sizes:
    """How many rows each table has, and whether that is settled.

    Rows are counted a moment before their transaction is through and they can be read. So a size stands for two
    states: just changed, and unchanged for a while; what was read in between is read again.
    """

    def __init__(self) -> None:
        self._since: dict[str, tuple[int, float]] = {}

    def take_in(self, sizes: Mapping[str, int], now_s: float) -> Seen:
        """Return the state of each table by its size now; `now_s` is a monotonic clock."""
        for table, size in sizes.items():
            if self._since.get(table, (-1, 0.0))[0] != size:
                self._since[table] = size, now_s
        settled = {table: (size, now_s - since_s >= SETTLED_S) for table, (size, since_s) in self._since.items()}
        return {**settled, CLOCK: int(now_s / TICK_S)}
