"""The Prometheus source, against a server that speaks its API and, where installed, Prometheus itself."""

from __future__ import annotations

import json
import math
import shutil
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from handlers import discover_sources
from handlers.sources import prometheus
from storage.errors import ForeactError, TransientError
from storage.records import Event, Sample
from storage.sample_window import moment_at, series_id
from storage.samples import SampleColumns
from tests.handlers.conftest import TICK, Request, Server

PULL = discover_sources()["prometheus"].pull
START_S = TICK.timestamp()


def prometheus_answer(request: Request) -> tuple[int, str]:
    """Answer as Prometheus does: a value at every step from start to end, here the time since TICK in seconds."""
    if request.path.endswith("/runtimeinfo"):
        return 200, json.dumps({"status": "success", "data": {"storageRetention": "2h"}})
    query = request.query["query"]
    if query == "broken(":
        return 400, json.dumps({"status": "error", "errorType": "bad_data", "error": "1:8: parse error"})
    if request.path.endswith("/query"):
        vector = [{"metric": {"__name__": "up", "job": "web"}, "value": [float(request.query["time"]), "1"]}]
        return 200, json.dumps({"status": "success", "data": {"resultType": "vector", "result": vector}})
    start, end, step = (float(request.query[name]) for name in ("start", "end", "step"))
    if (end - start) / step > 11_000:
        return 400, json.dumps({"status": "error", "error": "exceeded maximum resolution of 11,000 points"})
    times = [start + i * step for i in range(math.floor((end - start) / step) + 1)]
    values = [[t, "NaN" if query == "gappy" and i % 2 else str(t - START_S)] for i, t in enumerate(times)]
    names = ["a", "b"] if query == "two" else ["a"]
    matrix = [{"metric": {"__name__": "up", "instance": name}, "values": values} for name in names]
    return 200, json.dumps({"status": "success", "data": {"resultType": "matrix", "result": matrix}})


@pytest.fixture
def api(server: Server) -> Server:
    server.answer = prometheus_answer
    return server


def pull(
    api: Server, query: str = "up", since_s: float | None = 0, until_s: float = 300, **options: Any
) -> list[Sample]:
    settings = {"url": api.url, "queries": {"requests": query}, "step_s": 60, **options}
    since = None if since_s is None else TICK + timedelta(seconds=since_s)
    return list(samples_of(PULL(settings, since, TICK + timedelta(seconds=until_s))))


def samples_of(pulled: Iterable[Sample | SampleColumns | Event]) -> Iterator[Sample]:
    for part in pulled:
        assert isinstance(part, SampleColumns)
        by_number = {series_id(name): info for name, info in part.series.items()}
        columns = zip(part.numbers.tolist(), part.moments_us.tolist(), part.values.tolist(), strict=True)
        for number, at_us, value in columns:
            info = by_number[number]
            ts = moment_at(at_us)
            yield Sample(metric=info.metric, value=value, ts=ts, labels=info.labels, unit=info.unit)


def test_a_range_begins_after_the_last_sample_and_ends_with_the_moment_asked_for(api: Server) -> None:
    samples = pull(api, units={"requests": "1/s"})
    assert [sample.value for sample in samples] == [60, 120, 180, 240, 300]
    assert [sample.ts for sample in samples] == [TICK + timedelta(seconds=60 * i) for i in range(1, 6)]
    assert {(sample.metric, sample.unit) for sample in samples} == {("requests", "1/s")}
    assert samples[0].labels == {"instance": "a"}


def test_pulling_in_pieces_gives_the_same_samples_as_pulling_at_once(api: Server) -> None:
    pieces = [*pull(api, until_s=97), *pull(api, since_s=97, until_s=131), *pull(api, since_s=131, until_s=300)]
    assert pieces == pull(api)


def test_nothing_new_asks_nothing(api: Server) -> None:
    assert pull(api, since_s=61, until_s=119) == []
    assert api.requests == []


def test_a_first_pull_looks_back_as_far_as_configured(api: Server) -> None:
    assert len(pull(api, since_s=None, until_s=0, lookback_s=600)) == 10


def test_a_long_absence_is_caught_up_with_in_ranges_that_the_server_accepts(api: Server) -> None:
    samples = pull(api, since_s=0, until_s=25_000, step_s=1)
    assert [sample.value for sample in samples] == list(range(1, 25_001))
    assert len(api.requests) == 4


def test_a_first_pull_reaches_as_far_back_as_the_server_keeps_its_samples_and_foreact_would(api: Server) -> None:
    assert len(pull(api, since_s=None, until_s=0)) == 120
    assert len(pull(api, since_s=None, until_s=0, most_lookback_s=600)) == 10


@pytest.mark.parametrize("status", [404, 429, 502])
def test_a_server_that_does_not_say_what_it_keeps_is_asked_for_a_week(server: Server, status: int) -> None:
    server.answer = lambda request: (status, "") if "runtimeinfo" in request.path else prometheus_answer(request)
    assert len(pull(server, since_s=None, until_s=0, step_s=3_600)) == 7 * 24


@pytest.mark.parametrize(
    ("said", "kept_s"),
    [("15d", 1_296_000), ("1w3d or 10GiB", 864_000), ("512MiB", math.inf), ("90m500ms", 5_400.5), ("?", math.inf)],
)
def test_a_retention_is_read_as_prometheus_writes_it(said: str, kept_s: float) -> None:
    assert prometheus._retention_s(said) == kept_s


def test_a_range_is_as_long_as_there_is_room_for_its_series(api: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus, "ROOM", 200)
    whole = pull(api, "two", until_s=12_000, max_series=10)
    assert len(whole) == 400
    assert [request.query["end"] for request in api.requests[:2]] == [str(START_S + each) for each in (1_200, 7_200)]
    monkeypatch.setattr(prometheus, "MOST_BYTES", 3_000)
    api.requests.clear()
    in_parts = pull(api, "two", until_s=12_000, max_series=10)
    assert {(each.series, each.ts) for each in in_parts} == {(each.series, each.ts) for each in whole}
    assert len(in_parts) == len(whole)
    assert len(api.requests) < 50, "what was too long is not asked for again"


def test_values_that_are_no_numbers_are_left_out(api: Server) -> None:
    assert [sample.value for sample in pull(api, "gappy")] == [60, 180, 300]


def test_each_series_of_an_answer_keeps_its_labels(api: Server) -> None:
    assert {sample.series for sample in pull(api, "two")} == {'requests{instance="a"}', 'requests{instance="b"}'}


def test_an_instant_query_gives_the_value_now(api: Server) -> None:
    samples = pull(api, mode="instant")
    assert [(sample.value, sample.ts, sample.labels) for sample in samples] == [
        (1.0, TICK + timedelta(seconds=300), {"job": "web"})
    ]


def test_a_server_under_a_path_and_behind_a_token_is_reached(api: Server) -> None:
    pull(api, url=f"{api.url}/prometheus", headers={"Authorization": "Bearer t"})
    assert api.requests[0].path == "/prometheus/api/v1/query_range"
    assert api.requests[0].headers["authorization"] == "Bearer t"


def test_a_wrong_query_is_refused_with_its_name_and_the_servers_words(api: Server) -> None:
    with pytest.raises(ForeactError, match=r"query for requests: 1:8: parse error.*foreact\.toml") as refusal:
        pull(api, "broken(")
    assert refusal.value.code == "prometheus_query_refused"


def test_too_many_series_are_refused(api: Server) -> None:
    with pytest.raises(ForeactError, match="2 series, more than max_series = 1"):
        pull(api, "two", max_series=1)


@pytest.mark.parametrize("status", [401, 403])
def test_a_login_that_is_refused_is_told_as_that_with_the_remedy(server: Server, status: int) -> None:
    server.answer = lambda request: (status, "Unauthorized")
    with pytest.raises(ForeactError, match=rf"refuses this login \({status}\).*Authorization") as refusal:
        pull(server)
    assert refusal.value.code == "prometheus_login"


@pytest.mark.parametrize(("ahead_s", "side"), [(100, ""), (-100, ""), (1_800, "ahead of"), (-1_800, "behind")])
def test_a_clock_that_is_not_ours_is_told_once_all_is_taken(api: Server, ahead_s: float, side: str) -> None:
    api.clock = datetime.now(UTC) + timedelta(seconds=ahead_s)
    if not side:
        assert pull(api)
        return
    taken: list[Any] = []
    with pytest.raises(ForeactError, match=f"s {side} ours") as refusal:
        taken.extend(PULL({"url": api.url, "queries": {"up": "up"}}, TICK, TICK + timedelta(minutes=5)))
    assert (refusal.value.code, len(taken)) == ("prometheus_clock", 1)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_overloaded_server_is_worth_another_try(server: Server, status: int) -> None:
    server.answer = lambda request: (status, "busy")
    with pytest.raises(TransientError, match=str(status)):
        pull(server)


def test_a_server_that_is_not_there_is_worth_another_try() -> None:
    with pytest.raises(TransientError, match="cannot be reached"):
        pull(Server(url="http://127.0.0.1:9"))


@pytest.mark.parametrize("text", ["<html>", "[]", '{"status": "success"}', "{}"])
def test_an_answer_that_is_not_prometheus_is_refused(server: Server, text: str) -> None:
    server.answer = lambda request: (200, text)
    with pytest.raises(ForeactError, match=r"not Prometheus's JSON|refuses the query"):
        pull(server)


@pytest.mark.parametrize(
    "change", [{"url": "ftp://x"}, {"queries": {}}, {"mode": "all"}, {"step_s": 0}, {"url": "http://[::1"}]
)
def test_options_that_cannot_work_are_refused_with_the_remedy(api: Server, change: dict[str, Any]) -> None:
    with pytest.raises(ForeactError) as refusal:
        pull(api, **change)
    assert "foreact.toml" in refusal.value.remedy


@pytest.fixture
def real_prometheus(tmp_path: Path) -> Iterator[str]:
    """Run Prometheus scraping itself every 200 ms."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("Prometheus is not installed (Debian: apt install prometheus)")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    config = tmp_path / "prometheus.yml"
    job = {"job_name": "self", "scrape_interval": "200ms", "scrape_timeout": "200ms"}
    job["static_configs"] = [{"targets": [address]}]  # type: ignore[assignment]
    config.write_text(json.dumps({"scrape_configs": [job]}))
    arguments = [f"--config.file={config}", f"--storage.tsdb.path={tmp_path}/data", f"--web.listen-address={address}"]
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen([program, *arguments], stdout=log, stderr=log)
    try:
        yield f"http://{address}"
    finally:
        server.terminate()
        server.wait(10)


@pytest.mark.slow
def test_prometheus_itself_is_understood(real_prometheus: str) -> None:
    options = {"url": real_prometheus, "queries": {"up": "up", "memory": "process_resident_memory_bytes"}, "step_s": 1}
    deadline = time.monotonic() + 30
    samples: list[Sample] = []
    while time.monotonic() < deadline and len({sample.ts for sample in samples}) < 3:
        time.sleep(0.5)
        try:
            samples = list(samples_of(PULL({**options, "lookback_s": 10}, None, datetime.now(UTC))))
        except (TransientError, httpx.HTTPError):
            continue
    kept_s = prometheus._lookback_s(prometheus._check({**options, "most_lookback_s": 1e9}), "up")
    assert kept_s == 15 * 86_400, "what it keeps unless told otherwise"
    up = [sample for sample in samples if sample.metric == "up"]
    assert len(up) >= 3
    assert {sample.value for sample in up} == {1.0}
    assert set(up[0].labels) == {"instance", "job"}
    assert all(sample.value > 1e6 for sample in samples if sample.metric == "memory")
    two = {**options, "mode": "instant", "queries": {"one": "vector(1)", "two": "2"}}
    instant = list(samples_of(PULL(two, None, datetime.now(UTC))))
    assert [(sample.metric, sample.value) for sample in instant] == [("one", 1), ("two", 2)]
    with pytest.raises(ForeactError, match="parse error"):
        list(PULL({**options, "queries": {"bad": "up{"}}, None, datetime.now(UTC)))
