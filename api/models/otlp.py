"""OTLP metrics, as protobuf or JSON: https://opentelemetry.io/docs/specs/otlp/

Labels are those that OpenTelemetry says Prometheus gives them: a service is a `job`, a process of it an `instance`.
https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from api.models.points import Key, Points, Pushed, key_of
from api.models.remote_write import MEDIA_TYPE, not_protobuf
from storage.errors import ForeactError

NO_RECORDED_VALUE = 1
PERCENT = 100.0


def read_otlp(body: bytes, media_type: str) -> Pushed:
    """Return the series of an ExportMetricsServiceRequest; raises `protobuf_invalid` or `json_invalid`."""
    from google.protobuf import json_format
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

    request = ExportMetricsServiceRequest()
    if media_type == MEDIA_TYPE:
        try:
            request.ParseFromString(body)
        except DecodeError as trouble:
            raise not_protobuf("ExportMetricsServiceRequest", trouble) from None
        return _series(request)
    try:
        if not body.lstrip().startswith(b"{"):
            raise json_format.ParseError("it is no object")
        json_format.Parse(body, request, ignore_unknown_fields=True)
    except (json_format.ParseError, UnicodeDecodeError, RecursionError) as trouble:
        detail = f"The body is no ExportMetricsServiceRequest in JSON: {str(trouble).splitlines()[0]}."
        raise ForeactError("json_invalid", detail, "Send OTLP in its JSON encoding.") from None
    return _series(request)


def answer(refused: int, why: str, media_type: str) -> bytes:
    """Return the answer to a request: empty where all was taken, else how many points were not, and why."""
    from google.protobuf import json_format
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse

    response = ExportMetricsServiceResponse()
    if refused:
        response.partial_success.rejected_data_points = refused
        response.partial_success.error_message = why
    if media_type == MEDIA_TYPE:
        return response.SerializeToString()
    return json_format.MessageToJson(response, indent=None).encode()


def _series(request: Any) -> Iterator[tuple[Key, Points | str]]:
    for resource_metrics in request.resource_metrics:
        told_of = _identified(resource_metrics.resource.attributes)
        for scope_metrics in resource_metrics.scope_metrics:
            for metric in scope_metrics.metrics:
                yield from _of_metric(metric, told_of)


def _of_metric(metric: Any, told_of: Mapping[str, str]) -> Iterator[tuple[Key, Points | str]]:
    kind = metric.WhichOneof("data")
    if kind is None:
        yield key_of(metric.name, ()), "it has no data of a known kind"
        return
    for point in getattr(metric, kind).data_points:
        if point.flags & NO_RECORDED_VALUE:
            continue
        moment_us = point.time_unix_nano // 1_000 or None
        labels = {**{each.key: _text(each.value) for each in point.attributes}, **told_of}.items()
        if kind in ("gauge", "sum"):
            value = point.as_int if point.WhichOneof("value") == "as_int" else point.as_double
            yield key_of(metric.name, labels, metric.unit), [(moment_us, float(value))]
            continue
        for suffix, more, unit, value in _parts(metric, kind, point):
            yield key_of(metric.name + suffix, [*labels, *more], unit), [(moment_us, float(value))]


def _parts(metric: Any, kind: str, point: Any) -> Iterator[tuple[str, list[tuple[str, str]], str, float]]:
    """Yield what a distribution comes down to: count and sum, and where it says so largest, buckets or quantiles."""
    yield "_count", [], "", point.count
    if kind == "summary" or point.HasField("sum"):
        yield "_sum", [], metric.unit, point.sum
    if kind == "summary":
        for each in point.quantile_values:
            yield "", [("quantile", f"{each.quantile:g}")], metric.unit, each.value
        return
    if point.HasField("max"):
        yield "_max", [], metric.unit, point.max
    if kind == "histogram":
        total = 0
        for bound, count in zip([*point.explicit_bounds, float("inf")], point.bucket_counts, strict=False):
            total += count
            yield "_bucket", [("le", f"{bound:g}" if bound != float("inf") else "+Inf")], "", total


def _identified(attributes: Iterable[Any]) -> dict[str, str]:
    """Return the labels by which a resource is known."""
    said = {each.key: _text(each.value) for each in attributes}
    job = "/".join(said[name] for name in ("service.namespace", "service.name") if said.get(name))
    return {**({"job": job} if job else {}), **_instance(said)}


def _instance(said: Mapping[str, str]) -> dict[str, str]:
    instance = said.get("service.instance.id")
    return {"instance": instance} if instance else {}


def _text(value: Any) -> str:
    kind = value.WhichOneof("value")
    if kind is None:
        return ""
    if kind == "bool_value":
        return "true" if value.bool_value else "false"
    if kind == "array_value":
        return ",".join(_text(each) for each in value.array_value.values)
    return str(getattr(value, kind)) if kind != "kvlist_value" else ""
