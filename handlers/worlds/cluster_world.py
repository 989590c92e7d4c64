"""The reference cluster as a world: what the loop can watch, and the actions it can take there."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from handlers.worlds.cluster import ClusterSim, Period
from storage.records import Action, Candidate, Event, FloatArray, Goal, Intent, Receipt, ReceiptStatus, Sample

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
DIMMER_LEVELS = tuple(level / 10 for level in range(11))


class ClusterWorld:
    """A simulated cluster that is watched every period and obeys `set_servers`, `add_server` and the like.

    Second 0 of the simulation is `start`. `history` holds request rates of the periods before `start`, oldest
    first; the first observation hands them over. `periods` keeps everything seen, for scoring.
    """

    def __init__(self, sim: ClusterSim, start: datetime, history: FloatArray | None = None) -> None:
        self.sim = sim
        self.start = start
        self.periods: list[Period] = []
        self.accepted_actions = 0
        self._history = np.empty(0) if history is None else np.asarray(history, dtype=float)

    def observe(self, tick: datetime) -> Iterator[Sample | Event]:
        """Run the cluster up to the last whole period before `tick` and return what each period showed."""
        yield from self._take_history()
        period_s = self.sim.config.period_s
        while self.sim.now_s + period_s <= (tick - self.start).total_seconds() + 1e-6:
            period = self.sim.advance(self.sim.now_s + period_s)
            self.periods.append(period)
            yield from self._samples(period)

    def act(self, action: Action, tick: datetime, before: Mapping[str, Any] | None = None) -> Receipt:
        """Carry out an action, or undo one by going back to what `capture` found `before`; it never raises."""
        status, detail = self._undo(before or {}) if action.undo_of else self._carry_out(action)
        self.accepted_actions += status is ReceiptStatus.SUCCEEDED
        return Receipt(action_id=action.action_id, status=status, started_at=tick, finished_at=tick, detail=detail)

    def propose(self, goal: Goal, tick: datetime) -> list[Candidate]:
        """Return every number of servers and every dimmer level that differs from the present one."""
        sim = self.sim
        sizes = [
            Candidate(
                action="set_servers",
                params={"amount": size},
                target="cluster",
                latency_s=sim.config.boot_delay_s if size > sim.servers else 0.0,
            )
            for size in range(1, sim.config.max_servers + 1)
            if size != sim.servers
        ]
        levels = [
            Candidate(action="set_dimmer", params={"amount": level}, target="cluster")
            for level in DIMMER_LEVELS
            if not math.isclose(level, sim.dimmer)
        ]
        return sizes + levels

    def capture(self, action: Action, tick: datetime) -> dict[str, Any]:
        """Return the configuration before an act."""
        return {"servers": self.sim.servers, "dimmer": self.sim.dimmer}

    def check(self, action: Action, intent: Intent, tick: datetime) -> ReceiptStatus:
        """Tell from the configuration whether an interrupted action took effect."""
        return ReceiptStatus.UNKNOWN if self._is_as_before(intent.before) else ReceiptStatus.SUCCEEDED

    def _is_as_before(self, before: Mapping[str, Any]) -> bool:
        return before.get("servers") == self.sim.servers and before.get("dimmer") == self.sim.dimmer

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

    def _undo(self, before: Mapping[str, Any]) -> tuple[ReceiptStatus, str]:
        """Go back to a configuration: the dimmer at once, servers as far as one step leads."""
        if not {"servers", "dimmer"} <= before.keys():
            return ReceiptStatus.FAILED, "the configuration before the act is not known"
        if self._is_as_before(before):
            return ReceiptStatus.SKIPPED, "nothing had changed"
        self.sim.set_dimmer(float(before["dimmer"]))
        self._set_servers(float(before["servers"]))
        return ReceiptStatus.SUCCEEDED, f"{self.sim.servers} servers, dimmer {self.sim.dimmer:.2f}"

    def _set_servers(self, amount: float) -> tuple[bool, str]:
        """Go toward an amount: down at once, up by the one server that can boot at a time."""
        wanted = round(amount) if math.isfinite(amount) else 0
        if not 1 <= wanted <= self.sim.config.max_servers:
            return False, f"the amount lies in 1 to {self.sim.config.max_servers}"
        if wanted > self.sim.servers:
            return self.sim.add_server(), "a server boots already"
        removed = 0
        while self.sim.servers > wanted and self.sim.remove_server():
            removed += 1
        return removed > 0, f"there are {wanted} already"

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
