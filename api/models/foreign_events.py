"""Events as other programs tell them: Alertmanager's webhook and CloudEvents."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from api.models.ingest import MAX_LABELS, EventIn, Timestamp
from api.models.points import METRIC, identity
from storage.errors import ForeactError

Text = Annotated[str, StringConstraints(min_length=1, max_length=1_000)]
Texts = Annotated[dict[str, str], Field(max_length=MAX_LABELS)]
ATTRIBUTE = "ce-"
LEAST = "specversion", "id", "source", "type"


class Alert(BaseModel):
    """One alert of Alertmanager."""

    status: Literal["firing", "resolved"]
    labels: Texts
    annotations: Texts = Field(default_factory=dict)
    startsAt: Timestamp
    endsAt: Timestamp | None = None
    generatorURL: str = ""
    fingerprint: str = ""


class AlertGroup(BaseModel):
    """What Alertmanager sends to a webhook: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config"""

    version: Literal["4"]
    receiver: str = ""
    alerts: Annotated[list[Alert], Field(max_length=10_000)]

    def events(self) -> Iterator[EventIn]:
        """Yield an event for each alert: when it began, or when it was over."""
        for alert in self.alerts:
            is_over = alert.status == "resolved" and alert.endsAt is not None
            detail = {"annotations": alert.annotations, "fingerprint": alert.fingerprint}
            yield _event(
                f"alert_{alert.status}:{alert.labels.get('alertname', 'unnamed')}",
                alert.endsAt if is_over else alert.startsAt,
                {name: text for name, text in alert.labels.items() if name != "alertname"},
                {**detail, "receiver": self.receiver, "url": alert.generatorURL},
            )


class CloudEvent(BaseModel):
    """An event as CloudEvents 1.0 has it: https://github.com/cloudevents/spec"""

    model_config = ConfigDict(extra="allow")

    specversion: Literal["1.0"]
    id: Text
    source: Text
    type: Text
    subject: Text | None = None
    time: Timestamp | None = None
    data: Any = None

    def event(self) -> EventIn:
        """Return it as an event: source and subject are its labels, all else its metadata."""
        labels = {"source": self.source, **({"subject": self.subject} if self.subject else {})}
        more = {"data": self.data} if self.data is not None else {}
        return _event(self.type, self.time, labels, {"id": self.id, **(self.model_extra or {}), **more})


def in_headers(headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """Return a CloudEvent of which the headers hold the attributes and the body the data, as one object.

    Raises `event_invalid` where an attribute is missing, or the data is no JSON.
    """
    try:
        data = {"data": json.loads(body)} if body else {}
    except (ValueError, RecursionError):
        raise ForeactError("json_invalid", "The data of the event is not valid JSON.", "Send JSON.") from None
    told = {name.removeprefix(ATTRIBUTE): text for name, text in headers.items() if name.startswith(ATTRIBUTE)}
    missing = [f"ce-{name}" for name in LEAST if name not in told]
    if missing:
        detail = f"This is no CloudEvent: {', '.join(missing)} is missing. Nothing was recorded."
        remedy = "Send `Content-Type: application/cloudevents+json`, or the attributes as ce- headers."
        raise ForeactError("event_invalid", detail, remedy, status=422)
    return {**told, **data}


def _event(event_type: str, at: datetime | None, labels: Mapping[str, str], metadata: dict[str, Any]) -> EventIn:
    try:
        plain_type, plain_labels, _ = identity(((METRIC, event_type), *labels.items()))
    except ValueError as trouble:
        detail = f"{event_type:.80}: {trouble}. Nothing was recorded."
        raise ForeactError("event_invalid", detail, "Shorten it, and send it again.", status=422) from None
    return EventIn(event_type=plain_type, metadata=metadata, timestamp=at, labels=plain_labels)
