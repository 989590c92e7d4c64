"""Samples from a Prometheus server, or anything that speaks its query API, since the last ones taken."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from handlers.contract.source import source
from storage.errors import ForeactError, TransientError
from storage.records import Sample

if TYPE_CHECKING:
    import httpx

MAX_POINTS = 10_000
"""Prometheus refuses a range query of more than 11,000 points a series."""
REMEDY = "Correct it under [sources.prometheus] in foreact.toml."


@dataclass(frozen=True)
class _Options:
    """The options, checked: `queries` maps the metric's name here to its PromQL."""

    url: str
    queries: Mapping[str, str]
    mode: Literal["range", "instant"]
    step_s: float
    lookback_s: float
    timeout_s: float
    max_series: int
    headers: Mapping[str, str]
    units: Mapping[str, str]


@source(
    name="prometheus",
    interval_s=60.0,
    options={
        "url": "address of the server",
        "queries": "table of metric name = PromQL",
        "mode": "range (every step since the last sample) or instant (the value now); range",
        "step_s": "seconds between the points of a range; 60",
        "lookback_s": "seconds to look back at the first pull; 3600",
        "timeout_s": "seconds to wait for an answer; 10",
        "max_series": "how many series one query may give; 1000",
        "headers": "headers to send along, such as Authorization",
        "units": "table of metric name = unit",
    },
)
def prometheus(options: Mapping[str, Any], since: datetime | None, until: datetime) -> Iterable[Sample]:
    """Query a Prometheus server for each configured PromQL expression.

    Range queries fall on multiples of `step_s`, so that pulling twice gives the same points; instant queries ask
    for the value at `until`. Raises TransientError where the server cannot be reached or is overloaded and
    ForeactError where a query or an option is wrong.
    The API: https://prometheus.io/docs/prometheus/latest/querying/api/
    """
    import httpx

    checked = _check(options)
    samples: list[Sample] = []
    with httpx.Client(base_url=checked.url, timeout=checked.timeout_s, headers=dict(checked.headers)) as client:
        for metric, query in checked.queries.items():
            samples.extend(_pull(client, checked, metric, query, since, until))
    return samples


def _pull(
    client: httpx.Client, options: _Options, metric: str, query: str, since: datetime | None, until: datetime
) -> Iterator[Sample]:
    unit = options.units.get(metric, "")
    if options.mode == "instant":
        data = _ask(client, metric, "api/v1/query", {"query": query, "time": until.timestamp()})
        yield from _samples(data, metric, unit, options.max_series)
        return
    for start_s, end_s in _windows(options, since, until):
        parameters = {"query": query, "start": start_s, "end": end_s, "step": options.step_s}
        data = _ask(client, metric, "api/v1/query_range", parameters)
        yield from _samples(data, metric, unit, options.max_series)


def _windows(options: _Options, since: datetime | None, until: datetime) -> Iterator[tuple[float, float]]:
    """Cut the time after `since` up to `until`, on multiples of the step, into ranges that the server accepts."""
    after = since or until - timedelta(seconds=options.lookback_s)
    first = math.floor(after.timestamp() / options.step_s) + 1
    last = math.floor(until.timestamp() / options.step_s)
    for start in range(first, last + 1, MAX_POINTS):
        yield start * options.step_s, min(start + MAX_POINTS - 1, last) * options.step_s


def _ask(client: httpx.Client, metric: str, path: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    import httpx

    try:
        response = client.get(path, params=dict(parameters))
    except httpx.TransportError as error:
        raise TransientError(f"Prometheus at {client.base_url} cannot be reached: {error}") from error
    if response.status_code >= 500 or response.status_code == httpx.codes.TOO_MANY_REQUESTS:
        raise TransientError(f"Prometheus at {client.base_url} answered {response.status_code} for {metric}.")
    try:
        answer = response.json()
        if answer["status"] == "success":
            data: dict[str, Any] = answer["data"]
            return data
        reason = str(answer.get("error", ""))
    except (ValueError, KeyError, TypeError, AttributeError):
        reason = f"{response.status_code}, and the body is not Prometheus JSON"
    message = f"Prometheus at {client.base_url} refuses the query for {metric}: {reason}."
    raise ForeactError("prometheus_query_refused", message, REMEDY)


def _samples(data: Mapping[str, Any], metric: str, unit: str, max_series: int) -> Iterator[Sample]:
    kind, result = data.get("resultType"), data.get("result", [])
    if kind == "scalar":
        result = [{"metric": {}, "value": result}]
    elif kind not in {"vector", "matrix"}:
        message = f"The query for {metric} gives a {kind}, not numbers over time."
        raise ForeactError("prometheus_result_kind", message, REMEDY)
    if len(result) > max_series:
        message = f"The query for {metric} gives {len(result)} series, more than max_series = {max_series}."
        raise ForeactError("prometheus_too_many_series", message, "Aggregate in the query, or increase max_series.")
    for series in result:
        labels = {name: text for name, text in series.get("metric", {}).items() if name != "__name__"}
        for at_s, text in series.get("values") or [series["value"]]:
            value = float(text)
            if math.isfinite(value):
                ts = datetime.fromtimestamp(float(at_s), UTC)
                yield Sample(metric=metric, value=value, ts=ts, labels=labels, unit=unit)


def _check(options: Mapping[str, Any]) -> _Options:
    url, queries = options.get("url"), options.get("queries")
    if not isinstance(url, str) or not url.startswith(("http://", "https://")):
        raise ForeactError("prometheus_url", f"url = {url!r} is not the HTTP address of a Prometheus server.", REMEDY)
    if not isinstance(queries, Mapping) or not queries:
        raise ForeactError("prometheus_queries", "There are no queries; give a table of metric name = PromQL.", REMEDY)
    mode = options.get("mode", "range")
    if mode not in {"range", "instant"}:
        raise ForeactError("prometheus_mode", f"mode = {mode!r} is neither 'range' nor 'instant'.", REMEDY)
    step_s = float(options.get("step_s", 60))
    if step_s <= 0:
        raise ForeactError("prometheus_step", f"step_s = {step_s} must be more than 0.", REMEDY)
    return _Options(
        url=url if url.endswith("/") else f"{url}/",
        queries=queries,
        mode=mode,
        step_s=step_s,
        lookback_s=float(options.get("lookback_s", 3_600)),
        timeout_s=float(options.get("timeout_s", 10)),
        max_series=int(options.get("max_series", 1_000)),
        headers=options.get("headers") or {},
        units=options.get("units") or {},
    )
