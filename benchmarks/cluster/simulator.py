"""The reference world: a web cluster whose size and content can be changed, by the rules of SWIM.

Requests reach connected servers in turn; a server takes minutes to boot; the dimmer is the share of requests
that get full content, which is worth more and costs more work. Model: Moreno, Schmerl and Garlan (2018),
"SWIM: an exemplar for evaluation and comparison of self-adaptation approaches for web applications",
https://doi.org/10.1145/3194133.3194163. Times in seconds, rates in requests a second.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from benchmarks.cluster.queue import ProcessorSharingServer, Served
from storage.records import FloatArray


@dataclass(frozen=True)
class ClusterConfig:
    """The cluster's size, speed and worth; the defaults are the benchmark's."""

    max_servers: int = 12
    initial_servers: int = 3
    initial_dimmer: float = 0.9
    boot_delay_s: float = 180.0
    period_s: float = 60.0
    max_in_service: int = 100
    patience_s: float = 10.0
    full_work_s: float = 0.030
    light_work_s: float = 0.001
    cold_full_s: float = 0.050
    cold_light_s: float = 0.0019
    warm_after_requests: float = 6750.0
    late_after_s: float = 0.75
    full_revenue: float = 1.5
    server_cost: float = 10.0
    nominal_service_s: float = 0.04452713

    @property
    def cache_decay(self) -> float:
        """Return the factor by which each request shrinks a cold cache's extra work."""
        return math.exp(math.log(0.05) / self.warm_after_requests)


@dataclass(frozen=True)
class Period:
    """What was seen over one span: means over it, and the configuration at its end."""

    start_s: float
    end_s: float
    arrival_rate: float
    response_time_s: float
    completed: int
    unserved: int
    utilisation: float
    servers: int
    active_servers: int
    dimmer: float
    mean_servers: float


def period_utility(period: Period, config: ClusterConfig) -> float:
    """Return the worth of a period: revenue, plus savings while content is full; a penalty where it was late.

    The utility of the SEAMS 2017 comparison of CobRA and PLA, https://doi.org/10.1109/SEAMS.2017.10. A period
    in which requests came and none was answered is late.
    """
    if is_late(period, config):
        ceiling = config.max_servers / config.nominal_service_s
        return config.full_revenue * min(0.0, period.arrival_rate - ceiling)
    revenue = period.arrival_rate * ((1.0 - period.dimmer) + config.full_revenue * period.dimmer)
    is_full = period.dimmer >= 1.0
    return revenue + (config.server_cost * (config.max_servers - period.mean_servers) if is_full else 0.0)


def is_late(period: Period, config: ClusterConfig) -> bool:
    """Tell whether the mean response time of a period broke its bound, or nothing was answered at all."""
    if math.isnan(period.response_time_s):
        return period.arrival_rate > 0.0
    return period.response_time_s > config.late_after_s


@dataclass(frozen=True)
class Requests:
    """The requests of a run, in order of arrival: three arrays of one length.

    Each carries its own draws: `size` (in mean service times before truncation) and `luck`, which decides its
    content against the dimmer. Two policies on one seed thus meet the same requests and differ only by what they
    did.
    """

    arrivals_s: FloatArray
    size: FloatArray
    luck: FloatArray

    @classmethod
    def draw(cls, arrivals_s: FloatArray, seed: int = 0) -> Requests:
        """Draw the size and luck of requests that arrive at given, ascending times."""
        rng = np.random.default_rng(seed)
        count = len(arrivals_s)
        return cls(np.asarray(arrivals_s, dtype=float), _truncated_normal(rng, count), rng.uniform(size=count))


class ClusterSim:
    """A cluster under given requests; the same requests and commands give the same run."""

    def __init__(self, requests: Requests, config: ClusterConfig | None = None) -> None:
        self.config = config or ClusterConfig()
        self._requests = requests
        self._next_job = 0
        self._turn = 0
        self.now_s = 0.0
        self.dimmer = self.config.initial_dimmer
        self._boot_done_s: float | None = None
        self._active: list[ProcessorSharingServer] = []
        self._left: dict[int, ProcessorSharingServer] = {}
        for _ in range(self.config.initial_servers):
            self._active.append(self._new_server())
        self._draining: list[ProcessorSharingServer] = []

    @property
    def servers(self) -> int:
        """Return the servers that are up or booting."""
        return len(self._active) + self.is_booting

    @property
    def active_servers(self) -> int:
        """Return the servers that take requests."""
        return len(self._active)

    @property
    def is_booting(self) -> bool:
        """Tell whether a server is on its way."""
        return self._boot_done_s is not None

    def add_server(self) -> bool:
        """Start a server, which costs from now and serves once booted; False if one boots or all are up."""
        if self.is_booting or self.servers >= self.config.max_servers:
            return False
        self._boot_done_s = self.now_s + self.config.boot_delay_s
        return True

    def remove_server(self) -> bool:
        """Cancel the server that boots, or else drain the newest; False for the last one."""
        if self.is_booting:
            self._boot_done_s = None
            return True
        if len(self._active) <= 1:
            return False
        removed = self._active.pop()
        self._draining.append(removed)
        # SWIM keeps the cache of a removed server: what comes up in its place is as warm as that was.
        self._left[len(self._active)] = removed
        return True

    def set_dimmer(self, dimmer: float) -> bool:
        """Set the share of requests that get full content, from now on; False outside [0, 1]."""
        if not 0.0 <= dimmer <= 1.0:
            return False
        self.dimmer = float(dimmer)
        return True

    def advance(self, until_s: float) -> Period:
        """Run to `until_s` and return what was seen on the way; ValueError if that is not ahead."""
        start_s = self.now_s
        if not until_s > start_s:
            raise ValueError(f"cannot advance from {start_s} s to {until_s} s: that is not ahead")
        first_job, tally = self._next_job, _Tally()
        while self._boot_done_s is not None and self._boot_done_s <= until_s:
            self._run_segment(self._boot_done_s, tally)
            self._boot_done_s = None
            self._active.append(self._new_server())
        self._run_segment(until_s, tally)
        span_s = until_s - start_s
        answered = tally.completed + tally.unserved
        return Period(
            start_s=start_s,
            end_s=until_s,
            arrival_rate=(self._next_job - first_job) / span_s,
            response_time_s=tally.response_sum_s / answered if answered else math.nan,
            completed=tally.completed,
            unserved=tally.unserved,
            utilisation=tally.busy_s / span_s,
            servers=self.servers,
            active_servers=self.active_servers,
            dimmer=self.dimmer,
            mean_servers=tally.server_s / span_s,
        )

    def _new_server(self) -> ProcessorSharingServer:
        before = self._left.get(len(self._active))
        return ProcessorSharingServer(
            self.now_s,
            max_in_service=self.config.max_in_service,
            patience_s=self.config.patience_s,
            cache_decay=self.config.cache_decay,
            cache_factor=1.0 if before is None else before.cache_factor,
        )

    def _run_segment(self, until_s: float, tally: _Tally) -> None:
        """Run a span in which servers and dimmer stay as they are: each server then runs on its own."""
        first, count = self._next_job, len(self._active)
        last = int(np.searchsorted(self._requests.arrivals_s, until_s, side="right"))
        span_s = until_s - self.now_s
        work_s, cold_s = self._demands(first, last)
        for position, server in enumerate(self._active):
            offset = (position - self._turn) % count
            mine = slice(offset, None, count)
            served = server.run(
                until_s,
                self._requests.arrivals_s[first:last][mine].tolist(),
                work_s[mine].tolist(),
                cold_s[mine].tolist(),
                first + offset,
                count,
                self._demand_of,
            )
            tally.add(served, span_s)
        tally.server_s += span_s * self.servers + self._drain(until_s, span_s, tally)
        self._turn = (self._turn + last - first) % count
        self._next_job, self.now_s = last, until_s

    def _drain(self, until_s: float, span_s: float, tally: _Tally) -> float:
        """Let leaving servers finish what they have; return the server-seconds that took."""
        cost_s = 0.0
        for server in self._draining:
            served = server.run(until_s, [], [], [], 0, 1, self._demand_of)
            tally.add(served, span_s)
            cost_s += span_s - served.idle_s
        self._draining = [server for server in self._draining if server.backlog]
        return cost_s

    def _demands(self, first: int, last: int) -> tuple[FloatArray, FloatArray]:
        """Return work and cold-cache extra of the jobs first to last, in seconds, at the present dimmer."""
        is_full = self._requests.luck[first:last] < self.dimmer
        config = self.config
        work_s = self._requests.size[first:last] * np.where(is_full, config.full_work_s, config.light_work_s)
        return work_s, np.where(is_full, config.cold_full_s, config.cold_light_s)

    def _demand_of(self, job: int) -> tuple[float, float]:
        config = self.config
        if self._requests.luck[job] < self.dimmer:
            return float(self._requests.size[job]) * config.full_work_s, config.cold_full_s
        return float(self._requests.size[job]) * config.light_work_s, config.cold_light_s


@dataclass
class _Tally:
    """Sums over the servers of a span."""

    completed: int = 0
    unserved: int = 0
    response_sum_s: float = 0.0
    busy_s: float = 0.0
    server_s: float = 0.0

    def add(self, served: Served, span_s: float) -> None:
        """Take in what one server did over a span."""
        self.completed += served.completed
        self.unserved += served.unserved
        self.response_sum_s += served.response_sum_s
        self.busy_s += span_s - served.idle_s


def _truncated_normal(rng: np.random.Generator, count: int) -> FloatArray:
    """Draw from a normal of mean 1 and standard deviation 1, again wherever it came out negative."""
    draws = rng.normal(1.0, 1.0, count)
    while (negative := np.flatnonzero(draws < 0.0)).size:
        draws[negative] = rng.normal(1.0, 1.0, negative.size)
    return draws
