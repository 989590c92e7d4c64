"""Prometheus remote write 1.0: https://prometheus.io/docs/specs/prw/remote_write_spec/"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from api.models.points import Labels, Pushed, UnreadLabels
from storage.errors import ForeactError

MEDIA_TYPE = "application/x-protobuf"
FIELDS: dict[str, tuple[tuple[str, int, str], ...]] = {
    "Label": (("name", 1, "string"), ("value", 2, "string")),
    "Sample": (("value", 1, "double"), ("timestamp", 2, "int64")),
    "TimeSeries": (("labels", 1, "*bytes"), ("samples", 2, "*Sample"), ("histograms", 4, "*bytes")),
    "WriteRequest": (("timeseries", 1, "*TimeSeries"),),
}
"""The part of the schema that is read: name, number and type of each field, `*` where it is repeated.

Labels are left as the bytes that they are on the wire, which are the same: most series are known by these already.
"""
PACKAGE = "prometheus"


def read_remote_write(body: bytes) -> Pushed:
    """Return the series of a WriteRequest, each with its points; raises `protobuf_invalid`."""
    from google.protobuf.message import DecodeError

    request = message("WriteRequest")()
    try:
        request.ParseFromString(body)
    except DecodeError as trouble:
        raise not_protobuf("WriteRequest", trouble) from None
    return _series(request)


def not_protobuf(message: str, trouble: Exception) -> ForeactError:
    """Refuse a body that is no such message, or only the beginning of one."""
    return ForeactError(
        "protobuf_invalid",
        f"The body is no {message}, or not the whole of it: {trouble}. Nothing was recorded.",
        "Send the message as the protocol describes it.",
    )


def _series(request: Any) -> Iterator[tuple[Any, Any]]:
    for series in request.timeseries:
        key = _LabelsOnTheWire(series.labels)
        points = [(sample.timestamp * 1_000, sample.value) for sample in series.samples]
        if not points and series.histograms:
            yield key, "it is a native histogram, which is not taken; classic ones are"
        else:
            yield key, points


class _LabelsOnTheWire(UnreadLabels):
    """The labels of a series as they came, each a Label message."""

    def read(self) -> Labels:
        """Return the labels; raises ValueError where one of them is none."""
        from google.protobuf.message import DecodeError

        label = message("Label")
        try:
            return tuple((each.name, each.value) for each in map(label.FromString, self))
        except DecodeError:
            raise ValueError("its labels cannot be read") from None


@cache
def message(name: str) -> Any:
    """Return the class of a message."""
    from google.protobuf import message_factory

    return message_factory.GetMessageClass(_schema().FindMessageTypeByName(f"{PACKAGE}.{name}"))


@cache
def _schema() -> Any:
    """Return the schema as protobuf itself holds it."""
    from google.protobuf import descriptor_pb2, descriptor_pool

    file = descriptor_pb2.FileDescriptorProto(name="foreact/remote_write.proto", package=PACKAGE, syntax="proto3")
    for name, fields in FIELDS.items():
        message = file.message_type.add(name=name)
        for field, number, kind in fields:
            added = message.field.add(name=field, number=number)
            repeated, scalar = kind.startswith("*"), kind.lstrip("*")
            added.label = added.LABEL_REPEATED if repeated else added.LABEL_OPTIONAL
            if scalar in FIELDS:
                added.type, added.type_name = added.TYPE_MESSAGE, f".{PACKAGE}.{scalar}"
            else:
                added.type = getattr(added, f"TYPE_{scalar.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool
