"""What one part of a source, one series or one value does is no trouble of the others, and nothing late is lost."""

from __future__ import annotations

import contextlib
import json
import math
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.cycle import bare
from flows.wiring import live_context
from handlers import discover_sources
from handlers.contract.source import SourceHandler
from handlers.worlds import live
from handlers.worlds.live import LiveWorld
from settings import load_settings
from storage import open_store
from storage.private import masked, secrets_in
from storage.records import Event, Sample
from storage.samples import SampleColumns
from tasks.monitor.task import monitor
from tests.handlers.conftest import Request, Server

TICK = datetime(2026, 3, 2, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

Pull = Callable[[Mapping[str, Any], datetime | None, datetime], Iterator[Sample | SampleColumns | Event]]


class Lab:
    """A store that a live world's sources are pulled into, turn after turn."""

    def __init__(self, sources: dict[str, dict[str, Any]], folder: Path) -> None:
        hour = {name: {"lookback_s": 3_600} if name == "prometheus" else {} for name in sources}
        given = {name: hour[name] | options for name, options in sources.items()}
        self.settings = load_settings(folder, home=folder, sources=given, use_default_objectives=False)
        self.store = open_store(":memory:")

    def turn(self, at: datetime) -> None:
        bare(monitor, live_context(self.settings, self.store, at, actions={}))

    def recorded(self, series: str) -> list[tuple[float, float]]:
        found = self.store.samples.columns(TICK - timedelta(days=30), TICK + timedelta(days=30), [series])
        return [
            (ts.astype("datetime64[s]").astype(float), value)
            for ts, value in zip(found["ts"], found["value"], strict=True)
        ]

    def troubles(self) -> list[str]:
        return [line.detail["trouble"] for line in self.store.audit.latest(50) if line.verb == "source failed"]


def world_of(pull: Pull, **traits: Any) -> LiveWorld:
    return LiveWorld({}, lambda: TICK, {"made": (SourceHandler("made", "", pull, **traits), {})})


def matrix(series: list[dict[str, Any]]) -> tuple[int, str]:
    return 200, json.dumps({"status": "success", "data": {"resultType": "matrix", "result": series}})


def points(request: Request, until_s: float = math.inf, value: str = "5") -> list[list[Any]]:
    start, end, step = (int(float(request.query[name])) for name in ("start", "end", "step"))
    return [[at, value] for at in range(start, end + 1, step) if at <= until_s]


@pytest.mark.parametrize("lag_s", [120, 420, 1_500])
def test_a_query_that_lags_behind_another_loses_nothing(server: Server, tmp_path: Path, lag_s: int) -> None:
    lab = Lab({"prometheus": {"url": server.url, "queries": {"prompt": "a", "late": "b"}}}, tmp_path)
    for turn in range(8):
        now = TICK + 5 * turn * MINUTE
        known_s = now.timestamp() - lag_s
        server.answer = lambda request, known_s=known_s: matrix(  # type: ignore[misc]
            [{"metric": {}, "values": points(request, known_s if request.query["query"] == "b" else math.inf)}]
        )
        lab.turn(now)
    late, prompt = lab.recorded("late"), lab.recorded("prompt")
    assert late == [each for each in prompt if each[0] <= prompt[-1][0] - lag_s]


def test_a_label_set_that_lags_behind_another_of_its_query_loses_nothing_and_nothing_is_kept_twice(
    server: Server, tmp_path: Path
) -> None:
    lab = Lab({"prometheus": {"url": server.url, "queries": {"m": "m"}}}, tmp_path)
    for turn in range(8):
        now = TICK + 5 * turn * MINUTE
        known_s = now.timestamp() - 1_200
        server.answer = lambda request, known_s=known_s: matrix(  # type: ignore[misc]
            [
                {"metric": {"pod": "prompt"}, "values": points(request)},
                {"metric": {"pod": "late"}, "values": points(request, known_s)},
            ]
        )
        lab.turn(now)
    late, prompt = lab.recorded('m{pod="late"}'), lab.recorded('m{pod="prompt"}')
    assert late == [each for each in prompt if each[0] <= prompt[-1][0] - 1_200]
    assert len(set(prompt)) == len(prompt) == 60 + 7 * 5


def test_a_point_that_is_filled_in_later_is_taken(server: Server, tmp_path: Path) -> None:
    lab = Lab({"prometheus": {"url": server.url, "queries": {"m": "m"}}}, tmp_path)
    hole_s = (TICK - 2 * MINUTE).timestamp()
    server.answer = lambda request: matrix(
        [{"metric": {}, "values": [each for each in points(request) if each[0] != hole_s]}]
    )
    lab.turn(TICK)
    assert hole_s not in dict(lab.recorded("m"))
    server.answer = lambda request: matrix([{"metric": {}, "values": points(request)}])
    lab.turn(TICK + 5 * MINUTE)
    assert hole_s in dict(lab.recorded("m"))


def test_one_query_that_is_refused_is_named_once_and_the_others_are_recorded(server: Server, tmp_path: Path) -> None:
    def answer(request: Request) -> tuple[int, str]:
        if request.query["query"] == "bad(":
            return 400, json.dumps({"status": "error", "error": "parse error"})
        return matrix([{"metric": {}, "values": points(request)}])

    server.answer = answer
    queries = {"first": "a", "second": "bad(", "third": "c"}
    lab = Lab({"prometheus": {"url": server.url, "queries": queries}}, tmp_path)
    for turn in range(3):
        lab.turn(TICK + 5 * turn * MINUTE)
    assert {info.series for info in lab.store.samples.known()} == {"first", "third"}
    (told,) = lab.troubles()
    assert told.startswith("source prometheus/second: ")
    assert "parse error" in told


def test_a_server_that_trickles_without_end_is_cut_off_and_the_next_query_is_asked(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        asked: list[bytes] = []

        def trickle(connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):
                asked.append(connection.recv(4_096))
                is_first = b"query=slow" in asked[-1]
                head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
                connection.sendall(head if b"query=slow&" in asked[-1] else b"")
                for _ in range(40 if is_first else 0):
                    time.sleep(0.1)
                    connection.sendall(b" ")

        def serve() -> None:
            for _ in range(2):
                threading.Thread(target=trickle, args=(listener.accept()[0],), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        lab = Lab(
            {"prometheus": {"url": url, "timeout_s": 0.5, "queries": {"a": "slow", "b": "slow_headers"}}}, tmp_path
        )
        started_s = time.monotonic()
        lab.turn(TICK)
        assert time.monotonic() - started_s < 4.0
        assert len(asked) == 2
    assert any("prometheus/a" in told and "within 0.5 s" in told for told in lab.troubles())


def test_an_answer_without_end_is_cut_off_by_its_size(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    prometheus = discover_sources()["prometheus"]
    monkeypatch.setitem(prometheus.pull.__globals__, "MOST_BYTES", 2_000_000)
    server.answer = lambda request: matrix([{"metric": {"pad": "x" * 3_000_000}, "values": points(request)}])
    world = LiveWorld(
        {}, lambda: TICK, {"p": (prometheus, {"url": server.url, "queries": {"m": "m"}, "lookback_s": 60})}
    )
    assert list(world.observe(TICK)) == []
    assert "longer than 2 MB" in world.troubles[0]


def test_a_part_that_takes_all_the_time_makes_the_rest_wait_for_the_next_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "PATIENCE_S", 0.05)

    def slow(options: Mapping[str, Any], since: datetime | None, until: datetime) -> Iterator[Sample]:
        time.sleep(0.1)
        yield Sample(metric="m", value=1.0, ts=until)

    handler = SourceHandler("made", "", slow, split_by="queries")
    world = LiveWorld({}, lambda: TICK, {"made": (handler, {"queries": {"a": "1", "b": "2"}})})
    assert len(list(world.observe(TICK))) == 1
    assert world.troubles == ["source made/b: not asked in this turn, as others took 0 s"]


GOOD = Sample(metric="m", value=1.0, ts=TICK)
BAD = [
    (GOOD.model_copy(update={"labels": {"pod": "a\x00b"}}), "control characters"),
    (GOOD.model_copy(update={"metric": "m\n"}), "control characters"),
    (GOOD.model_copy(update={"unit": "\x1b[31m"}), "control characters"),
    (GOOD.model_copy(update={"ts": datetime(2100, 1, 1, tzinfo=UTC)}), "future"),
    (GOOD.model_copy(update={"ts": datetime(1969, 12, 31, tzinfo=UTC)}), "before 1970"),
    (GOOD.model_copy(update={"value": math.inf}), "no finite number"),
    (Event(event_type="deploy", ts=datetime(2100, 1, 1, tzinfo=UTC)), "future"),
    (Event(event_type="deploy", ts=datetime(1, 1, 1, tzinfo=UTC)), "before 1970"),
]


@pytest.mark.parametrize(("bad", "why"), BAD)
def test_what_cannot_be_recorded_is_skipped_and_named_and_the_rest_kept(bad: Sample | Event, why: str) -> None:
    world = world_of(lambda options, since, until: iter([bad, GOOD]))
    assert list(world.observe(TICK)) == [GOOD]
    (told,) = world.troubles
    assert why in told
    assert told.isprintable()
    assert world.newest == {"made": TICK}


@pytest.mark.parametrize(("bad", "why"), [each for each in BAD if isinstance(each[0], Sample) and not each[0].unit])
def test_of_columns_as_well(bad: Sample, why: str) -> None:
    world = world_of(lambda options, since, until: iter([SampleColumns.of([bad, GOOD])]))
    (kept,) = world.observe(TICK)
    assert isinstance(kept, SampleColumns)
    assert (kept.values.tolist(), GOOD.series in kept.series) == ([1.0], True)
    assert [why in told and told.isprintable() for told in world.troubles] == [True]
    assert world.newest == {"made": TICK}


def test_columns_of_a_time_before_all_calendars_take_no_other_source_along() -> None:
    def long_ago(options: Mapping[str, Any], since: datetime | None, until: datetime) -> Iterator[SampleColumns]:
        good = SampleColumns.of([GOOD, GOOD])
        yield replace(good, moments_us=np.array([-250_000_000_000_000_000, good.moments_us[1]]))

    with open_store(":memory:") as store:
        world = world_of(long_ago, late_s=600.0)
        world.since, world.unrecorded_columns = lambda part: TICK, store.samples.unrecorded_columns
        (kept,) = world.observe(TICK)
    assert isinstance(kept, SampleColumns)
    assert kept.values.tolist() == [1.0]
    assert world.troubles == ["source made: skipped, because its time lies before 1970: m"]


def test_columns_that_are_recorded_already_are_not_recorded_again() -> None:
    again, late = GOOD.model_copy(update={"value": 2.0}), GOOD.model_copy(update={"ts": TICK - MINUTE})
    with open_store(":memory:") as store:
        store.samples.append([GOOD])
        assert len(store.samples.unrecorded_columns(SampleColumns.of([GOOD]))) == 0
        new = store.samples.unrecorded_columns(SampleColumns.of([GOOD, again, late]))
    assert new.values.tolist() == [2.0, 1.0]


def test_what_a_source_gave_before_it_failed_is_kept() -> None:
    def torn(options: Mapping[str, Any], since: datetime | None, until: datetime) -> Iterator[Sample]:
        yield GOOD
        raise RuntimeError("the line is gone")

    world = world_of(torn)
    assert list(world.observe(TICK)) == [GOOD]
    assert world.troubles == ["source made: RuntimeError: the line is gone"]


def test_series_that_hold_no_numbers_are_named_and_the_others_kept(server: Server, tmp_path: Path) -> None:
    server.answer = lambda request: matrix(
        [
            {"metric": {"pod": "h"}, "histograms": [[1, {"count": "3", "sum": "4", "buckets": []}]]},
            {"metric": {"pod": "w"}, "values": [[TICK.timestamp(), "many"]]},
            {"metric": {"pod": "g"}, "values": points(request)},
            "no series at all",  # type: ignore[list-item]
        ]
    )
    lab = Lab({"prometheus": {"url": server.url, "queries": {"m": "m"}}}, tmp_path)
    lab.turn(TICK)
    assert [info.series for info in lab.store.samples.known()] == ['m{pod="g"}']
    (told,) = lab.troubles()
    assert all(part in told for part in ('"h"} holds native histograms', '"w"}', "no series at all"))


def test_a_label_that_explodes_is_bounded_to_the_same_series_each_time_and_said(server: Server, tmp_path: Path) -> None:
    options = {"url": server.url, "queries": {"m": "m"}, "max_series": 10}
    lab = Lab({"prometheus": options}, tmp_path)
    for turn in range(2):
        names = [f"r{number:03d}" for number in range(200)]
        server.answer = lambda request, names=names[:: 1 - 2 * turn]: matrix(  # type: ignore[misc]
            [{"metric": {"id": name}, "values": points(request)} for name in names]
        )
        lab.turn(TICK + 5 * turn * MINUTE)
    assert len(lab.store.samples.known()) == 10
    assert "200 series, more than max_series = 10" in lab.troubles()[0]


@pytest.mark.parametrize("url", ["http://reader:s3cr3t-word@127.0.0.1:9", "reader:s3cr3t-word@127.0.0.1:9"])
def test_no_secret_of_a_source_is_told(tmp_path: Path, url: str) -> None:
    lab = Lab({"prometheus": {"url": url, "queries": {"m": "m"}}}, tmp_path)
    lab.turn(TICK)
    (told,) = lab.troubles()
    assert "s3cr3t-word" not in told


def test_a_login_in_the_address_is_sent(server: Server, tmp_path: Path) -> None:
    server.answer = lambda request: matrix([{"metric": {}, "values": points(request)}])
    url = server.url.replace("http://", "http://reader:p%40ss@")
    Lab({"prometheus": {"url": url, "queries": {"m": "m"}}}, tmp_path).turn(TICK)
    assert server.requests[0].headers["authorization"] == "Basic cmVhZGVyOnBAc3M="


words = st.text("abcXYZ019-._~", min_size=8, max_size=20)


@given(words, st.sampled_from(["password", "api_key", "token", "X-Secret"]))
def test_whatever_stands_under_a_secretive_name_is_masked(word: str, name: str) -> None:
    options = {"headers": {"Authorization": f"Bearer {word}"}, name: word}
    said = masked(f"Illegal header value 'Bearer {word}' for db://someone:{word}@host/x", secrets_in(options))
    assert word not in said


def test_a_bad_line_of_a_file_is_named_and_the_lines_after_it_are_read(tmp_path: Path) -> None:
    file = tmp_path / "orders.csv"
    file.write_bytes(
        b"time,value\n2026-03-02 11:00,1\nyesterday,2\n2026-03-02 11:01,\xff\n2026-03-02 11:02,3\n2100-01-01,9\n"
    )
    lab = Lab({"csv_file": {"path": str(file)}}, tmp_path)
    lab.turn(TICK)
    assert [value for _, value in lab.recorded("orders")] == [1, 3]
    (told,) = lab.troubles()
    assert "Line 3" in told
    assert "1 other" in told


def test_a_line_that_comes_late_into_a_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "orders.csv"
    file.write_text("time,value\n2026-03-02 11:00,1\n2026-03-02 11:30,2\n")
    lab = Lab({"csv_file": {"path": str(file)}}, tmp_path)
    lab.turn(TICK)
    file.write_text(file.read_text() + "2026-03-02 11:25,7\n")
    lab.turn(TICK + 5 * MINUTE)
    assert sorted(value for _, value in lab.recorded("orders")) == [1, 2, 7]
