"""Metrics and events taken in: the same checks over REST and from an agent object, all or nothing, durable after."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from api.facade import Facade
from api.models.ingest import EventIn, MetricIn
from storage.errors import ForeactError
from storage.records import Event, Sample

FUTURE_S = 300.0


def record_metrics(facade: Facade, items: Sequence[MetricIn], is_list: bool = True) -> int:
    """Write values and return how many; raises `timestamp_out_of_range`, and nothing is then written."""
    now = facade.clock()
    _check_moments(facade, items, is_list, now)
    samples = [
        Sample.model_construct(
            metric=item.metric_name, value=item.value, ts=item.timestamp or now, labels=item.labels, unit=item.unit
        )
        for item in items
    ]
    facade.store.samples.append(samples)
    facade.counters.add("samples", len(samples))
    return len(samples)


def record_events(facade: Facade, items: Sequence[EventIn], is_list: bool = True) -> int:
    """Write events and return how many; raises `timestamp_out_of_range`, and nothing is then written."""
    now = facade.clock()
    _check_moments(facade, items, is_list, now)
    events = [
        Event.model_construct(
            event_type=item.event_type, ts=item.timestamp or now, metadata=item.metadata, labels=item.labels
        )
        for item in items
    ]
    facade.store.events.append(events)
    facade.counters.add("events", len(events))
    return len(events)


def unusable(why: str, index: int | None, where: Sequence[str | int]) -> ForeactError:
    """Refuse an item, saying why: `index` in a list, `where` in the item."""
    field = ".".join(str(part) for part in where if part != "[key]") or "the item"
    return ForeactError(
        "item_invalid",
        f"{_which(index)}{field}: {why}. Nothing was recorded.",
        "Correct it and send it again; GET /docs describes the fields.",
        status=422,
    )


def _check_moments(facade: Facade, items: Sequence[MetricIn | EventIn], is_list: bool, now: datetime) -> None:
    oldest = now - timedelta(days=facade.settings.storage.samples_days)
    newest = now + timedelta(seconds=FUTURE_S)
    for index, item in enumerate(items):
        if item.timestamp is not None and not oldest <= item.timestamp <= newest:
            raise _out_of_range(index if is_list else None, item.timestamp, oldest, newest)


def _out_of_range(index: int | None, moment: datetime, oldest: datetime, newest: datetime) -> ForeactError:
    side = "too far in the past" if moment < oldest else "in the future"
    return ForeactError(
        "timestamp_out_of_range",
        f"{_which(index)}timestamp: {moment.isoformat()} is {side}. Nothing was recorded.",
        f"Times from {oldest.isoformat(timespec='seconds')} to {newest.isoformat(timespec='seconds')} are accepted; "
        "`storage.samples_days` sets how far back.",
        status=422,
    )


def _which(index: int | None) -> str:
    return "" if index is None else f"item {index}: "
