"""The programs and client libraries that people have send to a facade on a socket, and what they sent is there."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from settings import utc_now
from tests.api.conftest import API
from tests.api.push.conftest import Live
from tests.conftest import free_port

pytestmark = pytest.mark.slow


def program(name: str, package: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed; on Debian: apt install {package}")
    return found


@contextmanager
def running(command: list[str], folder: Path, ready_url: str) -> Iterator[None]:
    """Run a program in a folder until the `with` ends."""
    with (folder / "program.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        for _ in range(300):
            assert process.poll() is None, (folder / "program.log").read_text()
            try:
                if httpx.get(ready_url).is_success:
                    break
            except httpx.HTTPError:
                time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(20)


def test_prometheus_writes_what_it_scrapes(live: Live, tmp_path: Path) -> None:
    binary, port = program("prometheus", "prometheus"), free_port()
    (tmp_path / "prometheus.yml").write_text(
        f"""
global: {{scrape_interval: 500ms}}
scrape_configs: [{{job_name: itself, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]
remote_write: [{{url: '{live.url}/api/v1/write', queue_config: {{batch_send_deadline: 200ms}}}}]
"""
    )
    options = [f"--web.listen-address=127.0.0.1:{port}", "--storage.tsdb.path=data", "--config.file=prometheus.yml"]
    with running([binary, *options], tmp_path, f"http://127.0.0.1:{port}/-/ready"):
        series = f'up{{instance="127.0.0.1:{port}",job="itself"}}'
        assert live.wait_for(series)[series] == 1
        assert live.wait_for("prometheus_tsdb_head_series{")
        figures = httpx.get(f"http://127.0.0.1:{port}/metrics").text
        failed = [line for line in figures.splitlines() if line.startswith("prometheus_remote_storage_samples_failed")]
        assert [line.split()[-1] for line in failed] == ["0"]


def test_alertmanager_tells_its_alerts(live: Live, tmp_path: Path) -> None:
    binary, port = program("prometheus-alertmanager", "prometheus-alertmanager"), free_port()
    (tmp_path / "alertmanager.yml").write_text(
        f"""
route: {{receiver: foreact, group_wait: 100ms, group_interval: 200ms}}
receivers: [{{name: foreact, webhook_configs: [{{url: '{live.url}{API}/events/alertmanager'}}]}}]
"""
    )
    url = f"http://127.0.0.1:{port}"
    listen = [f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address=", "--storage.path=data"]
    with running([binary, "--config.file=alertmanager.yml", *listen], tmp_path, f"{url}/-/ready"):
        alert = {"labels": {"alertname": "DiskFull", "mount": "/"}, "annotations": {"summary": "it fills"}}
        httpx.post(f"{url}/api/v2/alerts", json=[alert]).raise_for_status()
        kinds = wait_for_events(live, 1)
        over = {**alert, "endsAt": datetime.now(UTC).isoformat()}
        httpx.post(f"{url}/api/v2/alerts", json=[over]).raise_for_status()
        kinds = wait_for_events(live, 2)
    assert kinds == ["alert_resolved:DiskFull", "alert_firing:DiskFull"]


def wait_for_events(live: Live, count: int) -> list[str]:
    for _ in range(200):
        now = utc_now()
        kinds = [event.event_type for event in live.store.events.between(now - timedelta(hours=1), now)]
        if len(kinds) >= count:
            return kinds
        time.sleep(0.1)
    raise AssertionError(kinds)


def test_the_opentelemetry_sdk_exports(live: Live) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="opentelemetry-sdk is a development package")
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import MetricExportResult, PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import Resource

    results: list[MetricExportResult] = []

    class Noting(OTLPMetricExporter):
        def export(self, *args: object, **kwargs: object) -> MetricExportResult:
            results.append(super().export(*args, **kwargs))  # type: ignore[arg-type]
            return results[-1]

    exporter = Noting(endpoint=f"{live.url}/v1/metrics", compression=Compression.Gzip)
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=60_000)
    provider = MeterProvider([reader], resource=Resource({"service.name": "users", "service.instance.id": "i1"}))
    meter = provider.get_meter("test")
    meter.create_counter("requests", unit="1").add(3, {"path": "/"})
    meter.create_histogram("took", unit="s").record(0.25)
    provider.force_flush()
    provider.shutdown()
    found = live.latest()
    assert found['requests{instance="i1",job="users",path="/"}'] == 3
    assert found['took_sum{instance="i1",job="users"}'] == 0.25
    assert set(results) == {MetricExportResult.SUCCESS}


def test_the_influxdb_client_writes_points(live: Live) -> None:
    client = pytest.importorskip("influxdb_client", reason="influxdb-client is a development package")
    from influxdb_client.client.write_api import SYNCHRONOUS

    point = client.Point("cpu").tag("host", "a b,c=d").field("usage", 1.5).field("n", 2).field("text", 'a "b"\nc')
    points = [point, client.Point("up").field("value", 1)]
    with client.InfluxDBClient(url=live.url, token="t", org="o", enable_gzip=True) as influx:
        influx.write_api(write_options=SYNCHRONOUS).write(bucket="b", record=points)
    assert live.latest() == {'cpu_usage{host="a b,c=d"}': 1.5, 'cpu_n{host="a b,c=d"}': 2, "up": 1}


def test_the_statsd_client_sends(live: Live) -> None:
    statsd = pytest.importorskip("statsd", reason="statsd is a development package")
    client = statsd.StatsClient("127.0.0.1", live.statsd_port, prefix="shop")
    client.incr("orders", 3)
    client.gauge("queue", 7)
    client.timing("took", 250)
    client.close()
    found = live.wait_for("shop.took_p50")
    assert (found["shop.queue"], found["shop.took_p50"]) == (7, 250)
    assert "shop.orders_per_second" in found


def test_the_cloudevents_sdk_sends(live: Live) -> None:
    pytest.importorskip("cloudevents", reason="cloudevents is a development package")
    from cloudevents.core.bindings.http import to_binary, to_structured
    from cloudevents.core.formats.json import JSONFormat
    from cloudevents.core.v1.event import CloudEvent

    event = CloudEvent({"type": "org.deploy", "source": "/ci", "id": "1", "specversion": "1.0"}, {"version": 3})
    for make in (to_structured, to_binary):
        message = make(event, JSONFormat())
        answer = httpx.post(f"{live.url}{API}/events/cloudevents", content=message.body, headers=message.headers)
        assert (answer.status_code, json.loads(answer.text)) == (200, {"recorded": 1})
