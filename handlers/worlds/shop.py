"""A web shop to try the loop on: days with a rush, a backup every night, a disk that fills, three things to do."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from storage.records import Action, Event, Receipt, ReceiptStatus, Sample

CONFIGURATION = Path(__file__).with_suffix(".toml")
STEP = timedelta(minutes=5)
ORDERS = "shop_orders_per_minute"
RESPONSE = "shop_response_ms"
DISK = "shop_disk_used_ratio"
BACKUP = "shop_backup"

RUSH_HOUR = 18.0
QUIET_MS = 90.0
RUSH_MS = 260.0
BACKUP_MS = 60.0
DISK_GROWTH_PER_DAY = 0.007


@dataclass(frozen=True)
class Influence:
    """What an act costs and changes, from when on, and for how long: load is multiplied, response time added to."""

    cost: float
    load_factor: float = 1.0
    response_ms: float = 0.0
    starts_after: timedelta = timedelta()
    lasts: timedelta = timedelta(hours=2)

    def is_in_force(self, since: datetime, at: datetime) -> bool:
        """Tell whether an act of a moment changes anything at another."""
        begins = since + self.starts_after
        return begins < at <= begins + self.lasts


INFLUENCES = {
    "add_workers": Influence(cost=6.0, load_factor=0.72, starts_after=timedelta(minutes=20)),
    "clear_cache": Influence(cost=1.0),
    "restart_workers": Influence(cost=1.0, response_ms=25.0),
}
"""The truth about this world, which the loop is not told: only more workers help, once they have warmed up."""
LATE_MINUTE_COST = 2.0
"""What a minute of late answers loses, in the money that acts cost."""


class Shop:
    """A simulated shop whose response time follows its load; it obeys three actions, of which one helps.

    Its history before `start` is handed over by the first observation. The same seed gives the same shop.
    """

    def __init__(self, start: datetime, history: timedelta = timedelta(days=14), seed: int = 0) -> None:
        self._draw = np.random.default_rng(seed)
        self._now = start - history
        self._mood = 0.0
        self._disk = 0.69
        self._backup_at = self._now - timedelta(days=1)
        self._acts: list[tuple[datetime, Influence]] = []

    def observe(self, tick: datetime) -> Iterator[Sample | Event]:
        """Let the shop run up to `tick`, and return what it showed every five minutes."""
        while self._now + STEP <= tick:
            self._now += STEP
            yield from self._step(self._now)

    def act(self, action: Action, tick: datetime) -> Receipt:
        """Carry out an action, or end what an earlier one still changes."""
        influence = INFLUENCES.get(action.name)
        if influence is None:
            detail = f"The shop has no action {action.name}; it has {', '.join(sorted(INFLUENCES))}."
            return _receipt(action, tick, ReceiptStatus.FAILED, detail)
        if action.undo_of:
            self._acts = [each for each in self._acts if each[1] is not influence]
            return _receipt(action, tick, ReceiptStatus.SUCCEEDED, "Its change was undone.")
        self._acts.append((tick, influence))
        hours = influence.lasts / timedelta(hours=1)
        return _receipt(action, tick, ReceiptStatus.SUCCEEDED, f"Done; it works for {hours:g} hours.")

    def _step(self, at: datetime) -> Iterator[Sample | Event]:
        in_force = [influence for since, influence in self._acts if influence.is_in_force(since, at)]
        orders = self._orders(at)
        load = orders / 100.0 * math.prod(each.load_factor for each in in_force)
        response_ms = QUIET_MS + RUSH_MS * load**3 + sum(each.response_ms for each in in_force)
        if (at - self._backup_at) <= timedelta(minutes=30):
            response_ms += BACKUP_MS
        self._disk = min(0.99, self._disk + DISK_GROWTH_PER_DAY * (STEP / timedelta(days=1)))
        yield Sample(metric=ORDERS, value=orders, ts=at, unit="1/min")
        yield Sample(metric=RESPONSE, value=response_ms * float(self._draw.lognormal(0, 0.05)), ts=at, unit="ms")
        yield Sample(metric=DISK, value=self._disk, ts=at, unit="ratio")
        yield from self._backup(at)

    def _orders(self, at: datetime) -> float:
        """Return the orders a minute: a day with a rush in the evening, and a mood that changes slowly."""
        self._mood = 0.97 * self._mood + float(self._draw.normal(0, 0.8))
        from_rush_h = (at.hour + at.minute / 60.0 - RUSH_HOUR + 12.0) % 24.0 - 12.0
        rush = math.exp(-0.5 * (from_rush_h / 2.5) ** 2)
        return max(1.0, 30.0 + 62.0 * rush + self._mood)

    def _backup(self, at: datetime) -> Iterator[Event]:
        """Start the backup at about two at night."""
        if at.hour == 2 and at - self._backup_at > timedelta(hours=12) and self._draw.random() < 0.5:
            self._backup_at = at
            yield Event(event_type=BACKUP, ts=at)


def _receipt(action: Action, tick: datetime, status: ReceiptStatus, detail: str) -> Receipt:
    return Receipt(action_id=action.action_id, status=status, started_at=tick, finished_at=tick, detail=detail)
