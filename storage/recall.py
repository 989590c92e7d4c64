"""What was read already, kept until it changes: for a store that nobody else can write to.

A turn of the loop asks the small tables (goals, actions, facts, beliefs) the same things many times between two
writes, and DuckDB takes a millisecond to answer each. Only a process that sees every write may remember: an owner
that serves its file to others, and those others, read each time.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Any, TypeVar

T = TypeVar("T")

MOST_ANSWERS = 256
_WRITE = re.compile(r"\s*(?:INSERT INTO|DELETE FROM|UPDATE)\s+(\w+)", re.IGNORECASE)
_READ = re.compile(r"\s*(?:SELECT|WITH|FROM)\b", re.IGNORECASE)
ANYTHING = "*"


def written(sql: str) -> str | None:
    """Return the table that a statement writes, `*` where that cannot be told, and None for one that only reads."""
    write = _WRITE.match(sql)
    if write:
        return write[1].lower()
    return None if _READ.match(sql) else ANYTHING


class Recall:
    """The answers of reads, each with the state of its tables when it was asked; the least used ones go first."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._writes: dict[str, int] = {}
        self._answers: OrderedDict[Hashable, tuple[tuple[int, ...], Any]] = OrderedDict()

    def get(self, tables: tuple[str, ...], key: Hashable, read: Callable[[], T]) -> T:
        """Return the answer to `key`, read anew where one of its tables was written since."""
        with self._lock:
            state = self._state(*tables)
            known = self._answers.get(key)
            if known is not None and known[0] == state:
                self._answers.move_to_end(key)
                answer: T = known[1]
                return answer
        # A write meanwhile makes this answer old at once: it is kept under the state before it was read.
        answer = read()
        with self._lock:
            self._answers[key] = (state, answer)
            self._answers.move_to_end(key)
            if len(self._answers) > MOST_ANSWERS:
                self._answers.popitem(last=False)
        return answer

    def state(self, table: str) -> tuple[int, ...]:
        """Return how often a table was written, and how often anything may have been."""
        with self._lock:
            return self._state(table)

    def touch(self, table: str) -> None:
        """Note that a table was written."""
        with self._lock:
            self._writes[table] = self._writes.get(table, 0) + 1

    def _state(self, *tables: str) -> tuple[int, ...]:
        return tuple(self._writes.get(table, 0) for table in (*tables, ANYTHING))
