"""Bodies as senders make them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cramjam
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from api.models.remote_write import message

REMOTE_WRITE = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}
PROTOBUF = {"Content-Type": "application/x-protobuf"}
TEXT = {"Content-Type": "text/plain; charset=utf-8"}

Series = tuple[Mapping[str, str], Sequence[tuple[int, float]]]


def packed(body: bytes) -> bytes:
    return bytes(cramjam.snappy.compress_raw(body))


def write_request(*series: Series) -> bytes:
    """Return a WriteRequest of series: labels, and points as milliseconds and value."""
    request, label = message("WriteRequest")(), message("Label")
    for labels, points in series:
        added = request.timeseries.add()
        added.labels.extend(label(name=name, value=text).SerializeToString() for name, text in labels.items())
        for at_ms, value in points:
            added.samples.add(timestamp=at_ms, value=value)
    return bytes(request.SerializeToString())


def otlp_request(at_ns: int) -> ExportMetricsServiceRequest:
    """Return one metric of each kind, of one service."""
    request = ExportMetricsServiceRequest()
    resource = request.resource_metrics.add()
    for name, text in (("service.name", "users"), ("service.namespace", "shop"), ("host.arch", "arm64")):
        attribute = resource.resource.attributes.add(key=name)
        attribute.value.string_value = text
    metrics = resource.scope_metrics.add().metrics
    gauge = metrics.add(name="queue.length", unit="{jobs}").gauge.data_points.add(time_unix_nano=at_ns, as_int=7)
    attribute = gauge.attributes.add(key="high")
    attribute.value.bool_value = True
    metrics.add(name="sent", unit="By").sum.data_points.add(time_unix_nano=at_ns, as_double=2.5)
    histogram = metrics.add(name="took", unit="s").histogram.data_points.add(time_unix_nano=at_ns, count=3)
    histogram.sum, histogram.max = 4.5, 3.0
    histogram.explicit_bounds.extend([1.0, 2.0])
    histogram.bucket_counts.extend([1, 1, 1])
    spread = metrics.add(name="spread").exponential_histogram.data_points.add(time_unix_nano=at_ns, count=9)
    spread.sum = 1.5
    summary = metrics.add(name="wait").summary.data_points.add(time_unix_nano=at_ns, count=5, sum=6.0)
    summary.quantile_values.add(quantile=0.99, value=1.25)
    return request
