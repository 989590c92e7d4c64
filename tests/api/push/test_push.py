"""What is pushed in another program's format is recorded, and refused with the item and why."""

from __future__ import annotations

import gzip
import json
import zlib
from datetime import datetime, timedelta

import pytest
from fastapi.testclient import TestClient
from google.protobuf import json_format
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse

from api.app import create_app
from settings import Settings
from storage import Store
from tests.api.conftest import BASE, RecordingTrigger
from tests.api.push.bodies import PROTOBUF, REMOTE_WRITE, TEXT, otlp_request, packed, write_request

WRITE, OTLP, LINES = "/api/v1/write", "/v1/metrics", "/api/v2/write"


def latest(store: Store, tick: datetime) -> dict[str, float]:
    return {name: value for name, (_, value) in store.samples.latest(tick - timedelta(days=2)).items()}


def ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000)


def test_remote_write_keeps_series_moments_and_values(client: TestClient, store: Store, tick: datetime) -> None:
    points = [(ms(tick) - 2_000, 1.0), (ms(tick) - 1_000, 2.5)]
    for _ in range(2):  # the second time the series is known
        body = write_request(
            ({"__name__": "up", "job": "api", "instance": "a:1"}, points), ({"__name__": "x"}, points[:1])
        )
        assert client.post(WRITE, content=packed(body), headers=REMOTE_WRITE).status_code == 204
        assert latest(store, tick) == {'up{instance="a:1",job="api"}': 2.5, "x": 1.0}
        spans = {info.series: (info.count, info.last) for info in store.samples.spans(tick - timedelta(days=1), tick)}
        assert spans == {
            'up{instance="a:1",job="api"}': (2, tick - timedelta(seconds=1)),
            "x": (1, tick - timedelta(seconds=2)),
        }


def test_a_series_that_retention_forgot_is_seen_again_when_it_is_pushed_again(
    settings: Settings, store: Store, tick: datetime
) -> None:
    days = [tick]
    store.samples._clock = lambda: days[-1]
    app = create_app(settings, store=store, trigger=RecordingTrigger(), clock=lambda: days[-1])
    with TestClient(app, base_url=BASE) as client:
        for day in (tick, tick + timedelta(days=120)):
            days.append(day)
            body = write_request(({"__name__": "rare"}, [(ms(day), 1.0)]))
            assert client.post(WRITE, content=packed(body), headers=REMOTE_WRITE).status_code == 204
            assert [info.series for info in store.samples.known()] == ["rare"]
            store.engine.rows("DELETE FROM samples")
            store.engine.rows("DELETE FROM series")


def test_what_a_series_name_cannot_hold_is_replaced(client: TestClient, store: Store, tick: datetime) -> None:
    labels = {"__name__": "took", "path": "/users/{id}", "said": 'a "b"\nc', "empty": ""}
    body = write_request((labels, [(ms(tick), 1.0)]))
    assert client.post(WRITE, content=packed(body), headers=REMOTE_WRITE).status_code == 204
    (known,) = store.samples.known()
    assert known.labels == {"path": "/users/(id)", "said": "a 'b' c"}


def test_a_stale_marker_is_no_value_and_no_error(client: TestClient, store: Store, tick: datetime) -> None:
    body = write_request(({"__name__": "up"}, [(ms(tick), float("nan"))]))
    assert client.post(WRITE, content=packed(body), headers=REMOTE_WRITE).status_code == 204
    assert store.samples.known() == []


def test_an_infinite_value_is_refused_and_told(client: TestClient, store: Store, tick: datetime) -> None:
    points = [(ms(tick) - 2_000, float("inf")), (ms(tick) - 1_000, float("-inf")), (ms(tick), 1.0)]
    answer = client.post(WRITE, content=packed(write_request(({"__name__": "x"}, points))), headers=REMOTE_WRITE)
    assert (answer.status_code, answer.json()["code"]) == (400, "points_refused")
    assert "Of 3 points 2 were refused: item 0 (x): its value is infinite" in answer.json()["detail"]
    assert latest(store, tick) == {"x": 1.0}


def test_what_can_be_recorded_is_and_the_rest_is_named(client: TestClient, store: Store, tick: datetime) -> None:
    body = write_request(
        ({"__name__": "good"}, [(ms(tick), 1.0)]),
        ({"job": "nameless"}, [(ms(tick), 1.0)]),
        ({"__name__": "old"}, [(0, 1.0), (ms(tick), 3.0)]),
        ({"__name__": "long", "l": "x" * 1_001}, [(ms(tick), 1.0)]),
        ({"__name__": "early"}, [(ms(tick + timedelta(hours=1)), 1.0)]),
    )
    answer = client.post(WRITE, content=packed(body), headers=REMOTE_WRITE)
    assert (answer.status_code, answer.json()["code"]) == (400, "points_refused")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"] == (
        "Of 6 points 4 were refused: item 1 (without a name): it has no name; item 2 (old): 1970-01-01T00:00:00+00:00 "
        "is too far in the past; item 3 (long): its label l is longer than 1,000 characters; and 1 more. "
        "2 were recorded."
    )
    assert latest(store, tick) == {"good": 1.0, "old": 3.0}
    assert "foreact_samples_refused_total 4.0" in client.get("/metrics").text


BROKEN = write_request(({"__name__": "up", "job": "api"}, [(1, 1.0)]))


@pytest.mark.parametrize(
    ("path", "body", "headers", "status", "code"),
    [
        (WRITE, packed(BROKEN[:-3]), REMOTE_WRITE, 400, "protobuf_invalid"),
        (WRITE, packed(BROKEN)[:-3], REMOTE_WRITE, 400, "body_corrupt"),
        (WRITE, BROKEN, REMOTE_WRITE, 400, "body_corrupt"),
        (WRITE, b"", REMOTE_WRITE, 400, "body_corrupt"),
        (WRITE, packed(b"\0" * 6_000_000), REMOTE_WRITE, 413, "body_too_large"),
        (WRITE, b"\xff\xff\xff\xff\x0f", REMOTE_WRITE, 413, "body_too_large"),
        (WRITE, packed(BROKEN), {**REMOTE_WRITE, "Content-Encoding": "zstd"}, 415, "packing_unknown"),
        (WRITE, b"{}", {"Content-Type": "application/json"}, 415, "content_type_unknown"),
        (
            WRITE,
            packed(BROKEN),
            {**REMOTE_WRITE, "Content-Type": "application/x-protobuf;proto=io.prometheus.write.v2.Request"},
            415,
            "content_type_unknown",
        ),
        (OTLP, otlp_request(1).SerializeToString()[:-3], PROTOBUF, 400, "protobuf_invalid"),
        (OTLP, b'{"resourceMetrics": [', {"Content-Type": "application/json"}, 400, "json_invalid"),
        (OTLP, b"[]", {"Content-Type": "application/json"}, 400, "json_invalid"),
        (OTLP, b' ""', {"Content-Type": "application/json"}, 400, "json_invalid"),
        (OTLP, b'{"resourceMetrics": 5}', {"Content-Type": "application/json"}, 400, "json_invalid"),
        (OTLP, b"[" * 100_000, {"Content-Type": "application/json"}, 400, "json_invalid"),
        (OTLP, b"\xff\xfe", {"Content-Type": "application/json"}, 400, "json_invalid"),
        (
            OTLP,
            gzip.compress(b" " * 6_000_000, mtime=0),
            {**PROTOBUF, "Content-Encoding": "gzip"},
            413,
            "body_too_large",
        ),
        (OTLP, gzip.compress(b" " * 100, mtime=0)[:-9], {**PROTOBUF, "Content-Encoding": "gzip"}, 400, "body_corrupt"),
        (OTLP, b"plain", {**PROTOBUF, "Content-Encoding": "gzip"}, 400, "body_corrupt"),
        (OTLP, b"a 1", TEXT, 415, "content_type_unknown"),
        (LINES, b"\xff\xfe", TEXT, 400, "text_invalid"),
        (LINES, zlib.compress(b"#" * 6_000_000), {**TEXT, "Content-Encoding": "deflate"}, 413, "body_too_large"),
        (LINES, b"cpu value=1", {"Content-Type": "application/json"}, 415, "content_type_unknown"),
        (f"{LINES}?precision=weeks", b"cpu value=1", TEXT, 400, "precision_unknown"),
    ],
)
def test_a_body_that_cannot_be_read_is_refused(
    client: TestClient, store: Store, path: str, body: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    answer = client.post(path, content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.json()["detail"].endswith(".")
    assert answer.json()["remedy"]
    assert store.samples.known() == []


@hypothesis_settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=300), is_packed=st.booleans())
def test_no_bytes_whatever_are_more_than_a_refusal(client: TestClient, body: bytes, is_packed: bool) -> None:
    for path, headers in ((WRITE, REMOTE_WRITE), (OTLP, PROTOBUF), (LINES, TEXT)):
        content = packed(body) if is_packed and path == WRITE else body
        assert client.post(path, content=content, headers=headers).status_code < 500


EXPECTED_OF_OTLP = {
    'queue.length{high="true",job="shop/users"}': 7,
    'sent{job="shop/users"}': 2.5,
    'took_count{job="shop/users"}': 3,
    'took_sum{job="shop/users"}': 4.5,
    'took_max{job="shop/users"}': 3,
    'took_bucket{job="shop/users",le="1"}': 1,
    'took_bucket{job="shop/users",le="2"}': 2,
    'took_bucket{job="shop/users",le="+Inf"}': 3,
    'spread_count{job="shop/users"}': 9,
    'spread_sum{job="shop/users"}': 1.5,
    'wait_count{job="shop/users"}': 5,
    'wait_sum{job="shop/users"}': 6,
    'wait{job="shop/users",quantile="0.99"}': 1.25,
}


@pytest.mark.parametrize("encoding", ["protobuf", "json", "gzip"])
def test_otlp_is_recorded_in_each_encoding(client: TestClient, store: Store, tick: datetime, encoding: str) -> None:
    request = otlp_request(ms(tick) * 1_000_000)
    kind = "application/json" if encoding == "json" else "application/x-protobuf"
    body = json_format.MessageToJson(request).encode() if encoding == "json" else request.SerializeToString()
    headers = {"Content-Type": kind}
    if encoding == "gzip":
        body, headers = gzip.compress(body, mtime=0), {**headers, "Content-Encoding": "gzip"}
    answer = client.post(OTLP, content=body, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
    assert answer.content == (b"{}" if encoding == "json" else b"")
    assert latest(store, tick) == EXPECTED_OF_OTLP
    assert {info.unit for info in store.samples.known() if info.metric == "sent"} == {"By"}


def test_otlp_tells_what_it_refused_as_a_partial_success(client: TestClient, store: Store, tick: datetime) -> None:
    request = otlp_request(ms(tick) * 1_000_000)
    request.resource_metrics[0].scope_metrics[0].metrics[1].name = ""
    answer = client.post(OTLP, content=request.SerializeToString(), headers=PROTOBUF)
    said = ExportMetricsServiceResponse.FromString(answer.content).partial_success
    assert (answer.status_code, said.rejected_data_points) == (200, 1)
    assert "item 1 (without a name): it has no name" in said.error_message
    assert set(EXPECTED_OF_OTLP) - set(latest(store, tick)) == {'sent{job="shop/users"}'}
    assert (
        json.loads(
            client.post(
                OTLP, content=json_format.MessageToJson(request), headers={"Content-Type": "application/json"}
            ).text
        )["partialSuccess"]["rejectedDataPoints"]
        == "1"
    )


def test_each_number_of_a_line_is_a_metric(client: TestClient, store: Store, tick: datetime) -> None:
    at_ns = ms(tick) * 1_000_000
    body = f"""# a comment
cpu,host=a\\ b,cpu=cpu0 usage_user=1.5,usage_idle=2i,ok=true,text="two
lines" {at_ns}

load,host=b value=3u {at_ns}\r
"""
    for path in ("/write?db=telegraf&precision=ns", LINES):
        assert client.post(path, content=body, headers=TEXT).status_code == 204
        assert latest(store, tick) == {
            'cpu_usage_user{cpu="cpu0",host="a b"}': 1.5,
            'cpu_usage_idle{cpu="cpu0",host="a b"}': 2.0,
            'cpu_ok{cpu="cpu0",host="a b"}': 1.0,
            'load{host="b"}': 3.0,
        }


@pytest.mark.parametrize(("precision", "divisor"), [("us", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000)])
def test_the_time_of_a_line_has_the_precision_that_is_named(
    client: TestClient, store: Store, tick: datetime, precision: str, divisor: int
) -> None:
    body = f"cpu value=1 {ms(tick) * 1_000_000 // divisor}"
    assert client.post(f"{LINES}?precision={precision}", content=body, headers=TEXT).status_code == 204
    assert store.samples.latest(tick - timedelta(days=1)) == {"cpu": (tick, 1.0)}


def test_a_bad_line_costs_no_other_and_is_told_in_words_that_telegraf_knows(
    client: TestClient, store: Store, tick: datetime
) -> None:
    answer = client.post(LINES, content='cpu value=1\nmem value=\ndisk value="\nnet value=2', headers=TEXT)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("partial write: unable to parse: Of 4 points 2 were refused: item 1 (mem")
    assert latest(store, tick) == {"cpu": 1.0, "net": 2.0}


def test_a_page_of_another_site_cannot_push(client: TestClient, store: Store) -> None:
    headers = {**TEXT, "Origin": "http://elsewhere.example"}
    assert client.post(LINES, content="cpu value=1", headers=headers).status_code == 403
    assert store.samples.known() == []
