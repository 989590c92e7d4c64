"""The ledger of scarce things that several agents share: what each holder was granted, and what it was last heard of.

Rows are only added, each with a token greater than all before it: the fencing token of the lease that it grants.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from storage.engine.protocol import Engine
from storage.records import Column, Moment, Record
from storage.table import Clock, RecordTable


class SharedLease(Record):
    """What a holder was granted of a budget, and all that is known of it since.

    `token` fences the lease: greater than that of every earlier one of the budget. `amount` may be held until
    `expires_at`, `safe` for good. `in_use` is what the holder said it holds, `unconfirmed` and `unconfirmed_safe` the
    most that leases allow it which it may still go by, since it has not said that it knows this one; `acknowledged` is
    the newest it said it knows. `steps` are (amount, value) of what it would make of its share, `asked_safe` what it
    asked for good. A row that `is_released` ends a holder's part.
    """

    budget: Column[str]
    token: Column[int]
    holder: Column[str]
    instance: str
    joined_at: Moment
    granted_at: Moment
    expires_at: Moment
    amount: float
    safe: float
    asked_safe: float = 0.0
    in_use: float = 0.0
    unconfirmed: float = 0.0
    unconfirmed_safe: float = 0.0
    acknowledged: int = 0
    wanted: float = 0.0
    price: float = 0.0
    steps: tuple[tuple[float, float], ...] = ()
    is_released: bool = False

    @property
    def lasts(self) -> timedelta:
        """Return the length of the lease, which its holder counts from before it asked."""
        return self.expires_at - self.granted_at

    def is_live(self, now: datetime) -> bool:
        """Tell whether its holder was heard of within the lease."""
        return now < self.expires_at


_NEWEST = """WHERE budget = $budget
             AND token IN (SELECT max(token) FROM shared_leases WHERE budget = $budget GROUP BY holder)
             ORDER BY holder"""


class SharedLeaseTable:
    """The `shared_leases` table."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._rows = RecordTable(engine, clock, "shared_leases", SharedLease)

    def newest(self, budget: str) -> Mapping[str, SharedLease]:
        """Return the newest row of each holder of a budget, also of those whose part has ended."""
        return {each.holder: each for each in self._rows.select(_NEWEST, {"budget": budget})}

    def append(self, lease: SharedLease) -> bool:
        """Write what was granted; False where its token was just given to another: then nothing was granted."""
        return bool(self._rows.append([lease]))
