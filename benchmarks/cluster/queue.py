"""One server of the reference cluster: processor sharing behind a first-in-first-out queue.

Virtual time makes it cheap. While n jobs share the server each progresses at rate 1/n, so a clock that runs
at 1/n gives every job, on entry, the fixed tag at which it will finish; departures come off a heap in
O(log n), and nothing is touched between events. Method: Parekh and Gallager (1993), https://doi.org/10.1109/90.234856.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from itertools import chain
from typing import NamedTuple


class Served(NamedTuple):
    """What one server did over one span; `response_sum_s` is over all jobs that left, served or not."""

    completed: int
    unserved: int
    response_sum_s: float
    idle_s: float


class ProcessorSharingServer:
    """A server that works on up to `max_in_service` jobs at once at equal shares; further jobs wait in order.

    A job that waited `patience_s` or longer when its turn comes leaves unserved; its time counts all the
    same. A cold cache adds `cold_s` times a factor to a job's work; the factor, 1 unless the place was used before,
    shrinks by `cache_decay` with each job begun.
    """

    __slots__ = (
        "_cache_decay",
        "_cache_factor",
        "_in_service",
        "_max_in_service",
        "_patience_s",
        "_virtual_s",
        "_waiting",
        "now_s",
    )

    def __init__(
        self, start_s: float, *, max_in_service: int, patience_s: float, cache_decay: float, cache_factor: float = 1.0
    ) -> None:
        self._in_service: list[tuple[float, float]] = []
        self._waiting: deque[tuple[float, int]] = deque()
        self._virtual_s = 0.0
        self._cache_factor = cache_factor
        self._cache_decay = cache_decay
        self._max_in_service = max_in_service
        self._patience_s = patience_s
        self.now_s = start_s

    @property
    def backlog(self) -> int:
        """Return how many jobs are here, in service or waiting."""
        return len(self._in_service) + len(self._waiting)

    @property
    def cache_factor(self) -> float:
        """Return how cold the cache is: 1 before the first job, 0 when it is warm."""
        return self._cache_factor

    def run(
        self,
        until_s: float,
        arrivals_s: Sequence[float],
        work_s: Sequence[float],
        cold_s: Sequence[float],
        first_job: int,
        job_stride: int,
        work_of: Callable[[int], tuple[float, float]],
    ) -> Served:
        """Work from `now_s` to `until_s` on the jobs here and on those that arrive meanwhile.

        `arrivals_s`, `work_s`, `cold_s` are parallel, in time order; job i is number `first_job + i * job_stride`.
        A job that had to wait learns its work when it begins (`work_of`): the content served may have changed.
        """
        in_service, waiting = self._in_service, self._waiting
        now, virtual, factor = self.now_s, self._virtual_s, self._cache_factor
        completed, unserved, response_sum, idle_s = 0, 0, 0.0, 0.0
        room, decay = self._max_in_service, self._cache_decay
        present = len(in_service)
        job = first_job
        # The end of the span is one more arrival that never enters: one loop then serves both.
        for arrival, work, cold in zip(
            chain(arrivals_s, (until_s,)), chain(work_s, (-1.0,)), chain(cold_s, (0.0,)), strict=True
        ):
            while present:
                tag, born = in_service[0]
                finish = now + (tag - virtual) * present
                if finish > arrival:
                    virtual += (arrival - now) / present
                    break
                heappop(in_service)
                now, virtual = finish, tag
                completed += 1
                response_sum += finish - born
                present -= 1
                while waiting and present < room:
                    born, number = waiting.popleft()
                    if now - born >= self._patience_s:
                        unserved += 1
                        response_sum += now - born
                        continue
                    late_work, late_cold = work_of(number)
                    heappush(in_service, (virtual + late_work + late_cold * factor, born))
                    factor *= decay
                    present += 1
            else:
                idle_s += arrival - now
            now = arrival
            if work < 0.0:
                break
            if present < room:
                heappush(in_service, (virtual + work + cold * factor, arrival))
                factor *= decay
                present += 1
            else:
                waiting.append((arrival, job))
            job += job_stride
        self.now_s, self._virtual_s, self._cache_factor = until_s, virtual, factor
        return Served(completed, unserved, response_sum, idle_s)
