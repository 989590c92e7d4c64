"""Metrics read straight into columns are those that the careful way reads, and one commit serves many requests."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from api.commands.ingest import metric_columns, record_metrics
from api.commit_queue import CommitQueue
from api.facade import Facade
from api.routes.ingest import _METRICS, _parse
from settings import Settings
from storage import ForeactError, Store, open_store
from storage.sample_window import micros
from storage.samples import SampleColumns, SeriesInfo, series_id
from tests import sized
from tests.api.conftest import RecordingTrigger

ITEMS = st.fixed_dictionaries(
    {
        "metric_name": st.sampled_from(["cpu", " cpu ", "load", "", "a{b", "é", 5, None]),
        "value": st.one_of(st.floats(), st.integers(-(10**30), 10**30), st.sampled_from(["1", None, True, []])),
    },
    optional={
        "timestamp": st.sampled_from(
            [
                None, "2026-03-02T11:00:00Z", "2026-03-02T11:00:00.123456+02:00", "2026-03-02T11:00:00", 1772449200,
                1772449200.25, "1772449200", "2026-03-02", "yesterday", "1999-01-01T00:00:00Z", True, {}, 1e30,
            ]
        ),
        "labels": st.sampled_from(
            [{}, {"a": "b"}, {"a": "b", "c": "d"}, {"c": "d", "a": "b"}, {"a": 1}, {"": "x"}, [], None]
        ),
        "unit": st.sampled_from(["", "ms", None, 5, "{"]),
        "typo": st.just(1),
    },
)  # fmt: skip
GOOD = {"metric_name": "cpu", "value": 1.5, "timestamp": "2026-03-02T11:59:00Z", "labels": {"host": "a"}, "unit": "s"}


@pytest.fixture
def running(settings: Settings, store: Store, trigger: RecordingTrigger, tick: datetime) -> Facade:
    return Facade(settings, store, cast(Any, trigger), lambda: tick, tick)


def _rows(store: Store) -> list[Any]:
    told = store.engine.rows("SELECT series, metric, CAST(labels AS VARCHAR), unit FROM series ORDER BY series")
    return told + store.engine.rows("SELECT series_id, ts, value FROM samples ORDER BY ALL")


@hypothesis_settings(
    max_examples=sized(60, 150), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.one_of(ITEMS, st.lists(st.one_of(st.just(GOOD), ITEMS), max_size=4)))
def test_what_is_read_into_columns_is_what_the_careful_way_reads(running: Facade, sent: Any) -> None:
    body = json.dumps(sent).encode()
    columns = metric_columns(running, body)
    if columns is None:
        return
    with open_store(clock=running.clock) as careful, open_store(clock=running.clock) as direct:
        direct.samples.append_columns(columns)
        facade = Facade(running.settings, careful, running.trigger, running.clock, running.started_at)
        record_metrics(facade, *_parse(_METRICS, body))
        assert _rows(direct) == _rows(careful)


@pytest.mark.parametrize("left_out", [(), ("timestamp",), ("labels",), ("timestamp", "labels", "unit")])
def test_whatever_is_documented_is_read_into_columns(running: Facade, left_out: tuple[str, ...]) -> None:
    item = {name: part for name, part in GOOD.items() if name not in left_out}
    columns = metric_columns(running, json.dumps([item] * 3).encode())
    assert columns is not None
    assert columns.values.tolist() == [1.5] * 3


def _one(value: float) -> SampleColumns:
    return SampleColumns({}, np.array([1]), np.array([0]), np.array([value]))


class TestGroupCommit:
    @pytest.fixture
    def write(self) -> Iterator[_Disk]:
        disk = _Disk()
        yield disk
        disk.is_free.set()

    def test_what_comes_during_a_commit_is_written_in_the_next_and_answered_after_it(self, write: _Disk) -> None:
        async def ask() -> None:
            queue = CommitQueue()
            first = asyncio.create_task(queue.append(write, _one(0)))
            await asyncio.to_thread(write.is_busy.wait, 5)
            later = [asyncio.create_task(queue.append(write, _one(number))) for number in range(1, 20)]
            await asyncio.sleep(0.01)
            assert not any(each.done() for each in (first, *later)), "nothing is acknowledged before it is written"
            write.is_free.set()
            await asyncio.gather(first, *later)

        asyncio.run(ask())
        assert write.written == [[0], list(range(1, 20))]

    def test_a_commit_that_fails_is_told_to_all_it_held_and_to_no_other(self, write: _Disk) -> None:
        async def ask() -> list[Any]:
            queue = CommitQueue()
            write.is_free.set()
            write.trouble = ForeactError("disk_full", "The disk is full.", "Free some space.", status=507)
            held = await asyncio.gather(*(queue.append(write, _one(n)) for n in range(3)), return_exceptions=True)
            write.trouble = None
            await queue.append(write, _one(9))
            return held

        assert [type(each) for each in asyncio.run(ask())] == [ForeactError] * 3
        assert write.written == [[9]]

    def test_a_request_that_gives_up_keeps_nobody_else_waiting(self, write: _Disk) -> None:
        async def ask() -> None:
            queue = CommitQueue()
            gone = asyncio.create_task(queue.append(write, _one(0)))
            await asyncio.to_thread(write.is_busy.wait, 5)
            stays = asyncio.create_task(queue.append(write, _one(1)))
            await asyncio.sleep(0)
            gone.cancel()
            write.is_free.set()
            await asyncio.wait_for(stays, 5)

        asyncio.run(ask())
        assert write.written == [[0], [1]]


class _Disk:
    """Writes when it is free, and notes what in one go."""

    def __init__(self) -> None:
        self.is_busy, self.is_free = threading.Event(), threading.Event()
        self.written: list[list[float]] = []
        self.trouble: ForeactError | None = None

    def __call__(self, samples: SampleColumns) -> None:
        self.is_busy.set()
        assert self.is_free.wait(5)
        if self.trouble is not None:
            raise self.trouble
        self.written.append(samples.values.tolist())


def test_samples_of_many_requests_are_one_write_of_all_their_series(store: Store, tick: datetime) -> None:

    at = np.array([micros(tick)])
    parts = [
        SampleColumns({name: SeriesInfo(name, name, {}, unit)}, np.array([series_id(name)]), at, np.ones(1))
        for name, unit in (("a", "ms"), ("b", ""), ("a", "s"))
    ]
    assert store.samples.append_columns(SampleColumns.joined(parts)) == 3
    spans = store.samples.spans(tick - timedelta(hours=1), tick)
    assert [(info.series, info.unit) for info in spans] == [("a", "ms"), ("b", "")]
