"""What was executed, summed up as receipts come in, so that an answer costs the same after a year as after a day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Lock

from storage.actions import ActionView
from storage.records import NOTHING, ReceiptStatus

OVERLAP = timedelta(days=1)
"""How late a receipt may be written after one that finished later, and still be counted."""

CARRIED_OUT = (ReceiptStatus.SUCCEEDED, ReceiptStatus.FAILED, ReceiptStatus.TIMED_OUT, ReceiptStatus.UNKNOWN)


@dataclass
class ReceiptCounts:
    """Receipts of acts by status, the seconds that those carried out took, and what counts apart."""

    by_status: Counter[str] = field(default_factory=Counter)
    duration_s: float = 0.0
    undone: int = 0
    held_back: int = 0

    @property
    def executed(self) -> int:
        """Return how many acts were carried out, well or not."""
        return sum(self.by_status[status] for status in CARRIED_OUT)

    def add(self, view: ActionView) -> None:
        """Count a finished action; an undo, and doing nothing on purpose, count as such."""
        if view.receipt is None:
            return
        if view.action.undo_of is not None:
            self.undone += 1
        elif view.action.name == NOTHING:
            self.held_back += 1
        else:
            self.by_status[view.receipt.status] += 1
            self.duration_s += view.receipt.duration_s if view.receipt.status in CARRIED_OUT else 0.0


class RunningCounts:
    """Reads each receipt once; receipts are never changed, so what was counted stays true."""

    def __init__(self) -> None:
        self._lock, self._tally = Lock(), ReceiptCounts()
        self._recent: dict[str, datetime] = {}
        self._newest = datetime.fromtimestamp(0, UTC) + OVERLAP

    def take_in(self, read: Callable[[datetime], Sequence[ActionView]]) -> ReceiptCounts:
        """Count what finished since the last call; `read` returns the actions finished after a moment."""
        with self._lock:
            for view in read(self._newest - OVERLAP):
                if view.receipt is not None and view.action.action_id not in self._recent:
                    self._recent[view.action.action_id] = view.receipt.finished_at
                    self._tally.add(view)
            self._newest = max([self._newest, *self._recent.values()])
            kept_from = self._newest - OVERLAP
            self._recent = {name: at for name, at in self._recent.items() if at > kept_from}
            return self._tally
