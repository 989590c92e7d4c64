"""Who used most of the host when a metric of it went wrong, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from storage.events import Consumer, Resource, TopConsumers
from tasks.text import listed, number

NAMED = 3


def consumers_told(noted: TopConsumers) -> dict[str, Any]:
    """Return what was noted as it stands in a goal's `because`, with a sentence."""
    used = [f"{_name(each)} {_amount(each, noted.by)}" for each in noted.consumers[:NAMED]]
    return {
        "at": noted.at.isoformat(),
        "series": noted.series,
        "by": noted.by,
        "consumers": [each.model_dump() for each in noted.consumers],
        "sentence": f"At {noted.at:%H:%M} UTC most was used by {listed(used)}." if used else "",
    }


def newest_on(noted: Sequence[TopConsumers], resource: Resource) -> TopConsumers | None:
    """Return the newest note about a resource, if any."""
    return max((each for each in noted if each.by == resource), key=lambda each: each.at, default=None)


def _name(consumer: Consumer) -> str:
    return consumer.name if consumer.processes == 1 else f"{consumer.name} ({consumer.processes} processes)"


def _amount(consumer: Consumer, by: Resource) -> str:
    if by == "cpu":
        return f"with {number(consumer.cpu_cores)} cores"
    if by == "memory":
        return f"with {number(consumer.memory_bytes / 1e6)} MB"
    return f"with {number(consumer.io_bytes_per_second / 1e6)} MB/s"
