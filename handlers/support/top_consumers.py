"""Who used most of this host when one of its metrics stood out: process names and figures, never a command line."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from statistics import median

import psutil

from handlers.support.processes import Usage, usage
from storage.events import Consumer, Resource, TopConsumers, resource_of
from storage.records import Sample, metric_of

MOST = 5
AGAIN_AFTER = timedelta(minutes=5)
KEPT_VALUES, FEWEST_VALUES = 360, 30
HIGH_RATIO = 0.9
TIMES_USUAL = 6.0
LEAST_RISE = {"ratio": 0.15, "per core": 0.5, "bytes/s": 5e6}
"""How far at least a value must lie above what was usual, by its unit."""


class ConsumerWatch:
    """Looks at each sample of this host and notes who used most of it where one stands out.

    That is a ratio from nine tenths on, or what lies six times the usual distance above the median of the last 360
    samples. While it lasts it is noted every five minutes. `over_s` is how long processes are looked at.
    """

    def __init__(self, over_s: float = 0.3) -> None:
        self._over_s = over_s
        self._past: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=KEPT_VALUES))
        self._noted: dict[Resource, datetime] = {}

    def look(self, samples: Iterable[Sample]) -> list[TopConsumers]:
        """Return what is to be noted of the samples of one moment; nothing where none stands out."""
        standing: dict[Resource, Sample] = {}
        for sample in samples:
            resource = resource_of(metric_of(sample.series))
            if resource is not None:
                if self._stands_out(sample):
                    standing.setdefault(resource, sample)
                self._past[sample.series].append(sample.value)
        due = {each: sample for each, sample in standing.items() if self._is_due(each, sample.ts)}
        if not due:
            return []
        self._noted |= {resource: sample.ts for resource, sample in due.items()}
        used = usage(list(psutil.process_iter()), self._over_s)
        return [
            TopConsumers(
                series=sample.series, at=sample.ts, value=sample.value, by=resource, consumers=top(used, resource)
            )
            for resource, sample in due.items()
        ]

    def _stands_out(self, sample: Sample) -> bool:
        if sample.unit == "ratio" and sample.value >= HIGH_RATIO:
            return True
        past = self._past[sample.series]
        if len(past) < FEWEST_VALUES:
            return False
        usual = median(past)
        spread = median(abs(value - usual) for value in past)
        return sample.value - usual > max(TIMES_USUAL * spread, LEAST_RISE.get(sample.unit, 0.0))

    def _is_due(self, resource: Resource, at: datetime) -> bool:
        noted = self._noted.get(resource)
        return noted is None or at - noted >= AGAIN_AFTER


def top(used: Sequence[Usage], resource: Resource) -> tuple[Consumer, ...]:
    """Return the five names whose processes together use most of a resource, the most first."""
    by_name: dict[str, list[Usage]] = defaultdict(list)
    for each in used:
        by_name[each.name].append(each)
    consumers = [
        Consumer(
            name=name,
            processes=len(mine),
            cpu_cores=round(sum(each.cpu_cores for each in mine), 3),
            memory_bytes=sum(each.memory_bytes for each in mine),
            io_bytes_per_second=round(sum(each.io_bytes_per_second for each in mine)),
        )
        for name, mine in by_name.items()
    ]
    ranked = sorted(consumers, key=lambda each: (-each.of(resource), each.name))
    return tuple(each for each in ranked[:MOST] if each.of(resource) > 0)
