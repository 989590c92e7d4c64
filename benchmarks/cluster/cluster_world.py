"""The reference cluster as a world: what the loop can watch, and the actions it can take there."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from benchmarks.cluster.simulator import ClusterSim, Period
from storage.records import Action, Event, FloatArray, Receipt, ReceiptStatus, Sample

REQUEST_RATE = "cluster_requests_per_second"
RESPONSE_TIME = "cluster_response_time_seconds"
BUSY_SERVERS = "cluster_busy_servers"
SERVERS = "cluster_servers"
ACTIVE_SERVERS = "cluster_active_servers"
DIMMER = "cluster_dimmer_ratio"

_UNITS = {
    REQUEST_RATE: "1/s",
    RESPONSE_TIME: "s",
    BUSY_SERVERS: "servers",
    SERVERS: "servers",
    ACTIVE_SERVERS: "servers",
    DIMMER: "ratio",
}


class ClusterWorld:
    """A simulated cluster that is watched every period and obeys its four actions.

    `set_servers` and `set_dimmer` take the `amount` to go to, `add_server` and `remove_server` take one step. What
    may be done when, and what it is expected to change, is declared in the configuration. Second 0 of the simulation
    is `start`. `history` holds request rates of the periods before `start`, oldest first; the first observation hands
    them over. `periods` keeps everything seen, for scoring.
    """

    def __init__(self, sim: ClusterSim, start: datetime, history: FloatArray | None = None) -> None:
        self.sim = sim
        self.start = start
        self.periods: list[Period] = []
        self.accepted_actions = 0
        self._before: dict[str, tuple[int, float]] = {}
        self._history = np.empty(0) if history is None else np.asarray(history, dtype=float)

    def observe(self, tick: datetime) -> Iterator[Sample | Event]:
        """Run the cluster up to the last whole period before `tick` and return what each period showed."""
        yield from self._take_history()
        period_s = self.sim.config.period_s
        while self.sim.now_s + period_s <= (tick - self.start).total_seconds() + 1e-6:
            period = self.sim.advance(self.sim.now_s + period_s)
            self.periods.append(period)
            yield from self._samples(period)

    def act(self, action: Action, tick: datetime) -> Receipt:
        """Carry out an action, or go back to what was before the one that `undo_of` names; it never raises."""
        before = (self.sim.servers, self.sim.dimmer)
        status, detail = self._undo(action.undo_of) if action.undo_of else self._carry_out(action)
        if status is ReceiptStatus.SUCCEEDED:
            self.accepted_actions += 1
            self._before[action.action_id] = before
        return Receipt(action_id=action.action_id, status=status, started_at=tick, finished_at=tick, detail=detail)

    def _carry_out(self, action: Action) -> tuple[ReceiptStatus, str]:
        commands: dict[str, Callable[[], tuple[bool, str]]] = {
            "add_server": lambda: (self.sim.add_server(), "a server boots already, or all are in use"),
            "remove_server": lambda: (self.sim.remove_server(), "one server has to stay"),
            "set_dimmer": lambda: (self.sim.set_dimmer(_amount(action.params)), "the dimmer lies in [0, 1]"),
            "set_servers": lambda: self._set_servers(_amount(action.params)),
        }
        if action.dry_run:
            return ReceiptStatus.DRY_RUN, f"would {action.name} {action.params}"
        if action.name not in commands:
            return ReceiptStatus.FAILED, f"the cluster knows no action {action.name}: use {sorted(commands)}"
        is_done, reason = commands[action.name]()
        if is_done:
            return ReceiptStatus.SUCCEEDED, f"{self.sim.servers} servers, dimmer {self.sim.dimmer:.2f}"
        return ReceiptStatus.SKIPPED, reason

    def _undo(self, action_id: str) -> tuple[ReceiptStatus, str]:
        """Go back to the configuration before an action: the dimmer at once, servers as far as one step leads."""
        if action_id not in self._before:
            return ReceiptStatus.FAILED, f"no action {action_id} took effect here"
        servers, dimmer = self._before[action_id]
        self.sim.set_dimmer(dimmer)
        self._set_servers(float(servers))
        return ReceiptStatus.SUCCEEDED, f"{self.sim.servers} servers, dimmer {self.sim.dimmer:.2f}"

    def _set_servers(self, amount: float) -> tuple[bool, str]:
        """Go toward an amount: down at once, up by the one server that can boot at a time."""
        target = round(amount) if math.isfinite(amount) else 0
        if not 1 <= target <= self.sim.config.max_servers:
            return False, f"the amount lies in 1 to {self.sim.config.max_servers}"
        if target > self.sim.servers:
            return self.sim.add_server(), "a server boots already"
        removed = 0
        while self.sim.servers > target and self.sim.remove_server():
            removed += 1
        return removed > 0, f"there are {target} already"

    def _take_history(self) -> Iterator[Sample]:
        history, self._history = self._history, np.empty(0)
        step = timedelta(seconds=self.sim.config.period_s)
        for age, rate in zip(range(len(history) - 1, -1, -1), history.tolist(), strict=True):
            yield Sample(metric=REQUEST_RATE, value=rate, ts=self.start - age * step, unit="1/s")

    def _samples(self, period: Period) -> Iterator[Sample]:
        ts = self.start + timedelta(seconds=period.end_s)
        values = {
            REQUEST_RATE: period.arrival_rate,
            RESPONSE_TIME: period.response_time_s,
            BUSY_SERVERS: period.utilisation,
            SERVERS: float(period.servers),
            ACTIVE_SERVERS: float(period.active_servers),
            DIMMER: period.dimmer,
        }
        for metric, value in values.items():
            if not math.isnan(value):
                yield Sample(metric=metric, value=value, ts=ts, unit=_UNITS[metric])


def _amount(params: Mapping[str, Any]) -> float:
    """Return the parameter `amount`, NaN where it is missing or no number."""
    try:
        return float(params["amount"])
    except (KeyError, TypeError, ValueError):
        return math.nan
