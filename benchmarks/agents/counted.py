"""Real counts on disk that several processes set, under one lock that looks at their sum at every change."""

from __future__ import annotations

import fcntl
import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class CountedPool:
    """A folder with a file for each holder's count, and a log with a line for each time that one was set.

    The kernel lets go of the lock when a process is killed, so that the next one finds either the old count or the new.
    """

    folder: Path

    def set(self, holder: str, count: int, act: str) -> None:
        """Let a holder hold so many, by an act."""
        with self._locked():
            counts = self.counts() | {holder: count}
            line = json.dumps({"act": act, "holder": holder, "count": count, "sum": sum(counts.values())})
            # The line first: a kill in between leaves an act too many in the log, never one too few.
            with (self.folder / "log").open("a") as log:
                log.write(f"{line}\n")
            part = self.folder / f"{holder}.part"
            part.write_text(str(count))
            os.replace(part, self.folder / f"{holder}.count")

    def count(self, holder: str) -> int:
        """Return how many a holder holds."""
        return self.counts().get(holder, 0)

    def counts(self) -> dict[str, int]:
        """Return how many each holder holds."""
        return {file.stem: int(file.read_text()) for file in self.folder.glob("*.count")}

    def lines(self) -> list[dict[str, object]]:
        """Return all that was ever set, oldest first."""
        return [json.loads(line) for line in (self.folder / "log").read_text().splitlines()]

    def done_twice(self) -> list[str]:
        """Return the acts that were done more than once."""
        acts = Counter(str(line["act"]) for line in self.lines())
        return [act for act, times in acts.items() if times > 1]

    def most(self) -> int:
        """Return the greatest sum there ever was."""
        return max((int(str(line["sum"])) for line in self.lines()), default=0)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
