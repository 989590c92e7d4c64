"""Metrics and events taken in: the same checks over REST and from an agent object, all or nothing, durable after."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import TypeAdapter

from api.facade import Facade
from api.models.ingest import EventIn, MetricIn
from storage.errors import ForeactError
from storage.records import FUTURE_S, Event, Sample, series_key
from storage.sample_window import micros
from storage.samples import SampleColumns, SeriesInfo, series_id

MOST_KNOWN = 100_000
"""Ways to name a series that are remembered."""

_FIELDS = frozenset(MetricIn.model_fields)
_NUMBERS, _MOMENTS = frozenset((int, float)), frozenset((str, int, float, type(None)))
_TIMES = TypeAdapter(list[datetime])
_NO_LABELS: dict[str, str] = {}
_known: dict[tuple[Any, ...], tuple[int, SeriesInfo]] = {}


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


def metric_columns(facade: Facade, body: bytes) -> SampleColumns | None:
    """Read one metric or a list of them straight into columns; None where anything is not plainly as documented.

    The careful way (`MetricIn`) then reads it again and says what is wrong: what is refused, and in which words, is
    decided there alone. Here a series is checked once, by it, and remembered by the way it was named.
    """
    now = facade.clock()
    try:
        parsed = orjson.loads(body)
        items = parsed if type(parsed) is list else [parsed]
        if set(map(type, items)) != {dict} or not _FIELDS.issuperset(chain.from_iterable(items)):
            return None
        values = [each["value"] for each in items]
        if not _NUMBERS.issuperset(map(type, values)):
            return None
        numbers, series = _series_of(items)
        moments_us = _moments_us([each.get("timestamp") for each in items], now)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None
    columns = SampleColumns(series, numbers, moments_us, np.array(values, dtype=float))
    oldest, newest = accepted(facade, now)
    is_in_range = micros(oldest) <= moments_us.min() and moments_us.max() <= micros(newest)
    return columns if is_in_range and np.isfinite(columns.values).all() else None


def _series_of(items: list[dict[str, Any]]) -> tuple[NDArray[np.int64], dict[str, SeriesInfo]]:
    """Return the number of each item's series, and the series by name; raises what `MetricIn` raises."""
    keys = [(each.get("metric_name"), each.get("unit", ""), *each.get("labels", _NO_LABELS).items()) for each in items]
    found = {
        key: _known.get(key) or _introduced(key, each) for key, each in dict(zip(keys, items, strict=True)).items()
    }
    numbers = np.array([found[key][0] for key in keys], dtype=np.int64)
    # Of two ways to describe a series the first counts.
    return numbers, {info.series: info for _, info in reversed(found.values())}


def _introduced(key: tuple[Any, ...], item: dict[str, Any]) -> tuple[int, SeriesInfo]:
    checked = MetricIn.model_validate({**item, "timestamp": None})
    name = series_key(checked.metric_name, checked.labels)
    if len(_known) >= MOST_KNOWN:
        _known.clear()
    _known[key] = series_id(name), SeriesInfo(name, checked.metric_name, checked.labels, checked.unit)
    return _known[key]


def _moments_us(given: list[Any], now: datetime) -> NDArray[np.int64]:
    """Return moments in microseconds since 1970, `now` where none is given; raises where one cannot be read."""
    if not _MOMENTS.issuperset(map(type, given)):
        raise TypeError("a moment is text or a number")
    different = [each for each in dict.fromkeys(given) if each is not None]
    read = _TIMES.validate_python(different)
    at_us = dict(
        zip(different, (micros(each if each.tzinfo else each.replace(tzinfo=UTC)) for each in read), strict=True)
    )
    at_us[None] = micros(now)
    return np.array([at_us[each] for each in given], dtype=np.int64)


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
    oldest, newest = accepted(facade, now)
    for index, item in enumerate(items):
        if item.timestamp is not None and not oldest <= item.timestamp <= newest:
            raise _out_of_range(index if is_list else None, item.timestamp, oldest, newest)


def accepted(facade: Facade, now: datetime) -> tuple[datetime, datetime]:
    """Return the oldest and the newest moment that is taken."""
    return now - timedelta(days=facade.settings.storage.samples_days), now + timedelta(seconds=FUTURE_S)


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
