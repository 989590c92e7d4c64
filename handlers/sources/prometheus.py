"""Samples from a Prometheus server, or anything that speaks its query API, since the last ones taken."""

from __future__ import annotations

import json
import math
import re
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote, urlsplit, urlunsplit

import numpy as np
import orjson

from handlers.contract.source import source
from handlers.contract.source_options import NO_TABLE, headers_in, option
from handlers.support.clocks import MOST_SKEW_S, skew_s, told_skew
from storage.errors import ForeactError, TransientError
from storage.records import series_key
from storage.samples import SampleColumns, SeriesInfo, series_id

if TYPE_CHECKING:
    import httpx

Moments = np.ndarray[tuple[int], np.dtype[np.int64]]
Values = np.ndarray[tuple[int], np.dtype[np.float64]]

MAX_POINTS = 10_000
"""Prometheus refuses a range query of more than 11,000 points a series."""
MOST_BYTES = 100_000_000
BYTES_A_POINT = 40
"""About what a moment and a value of sixteen digits take, `[1772452800.123,"0.1234567890123456"],`."""
ROOM = MOST_BYTES // 2 // BYTES_A_POINT
"""How many points are asked for at once, all series together."""
RETENTION_S = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0, "y": 31_536_000.0}
MOST_AT_FIRST = 5_000_000
"""How many points of one query the first pull takes, all series together."""
QUICK_STEPS = 60
"""Who takes too long for so few steps takes too long for any."""
UNKNOWN_S = 604_800.0
"""How far the first pull reaches where the server does not say how long it keeps its samples."""
LATE_S = 3_600.0
LAST_MOMENT_S = 253_402_300_800.0
"""The year 10,000."""
LEAST_STEP_S = 0.001
REMEDY = "Correct it under [sources.prometheus] in foreact.toml."


@dataclass(frozen=True)
class _Options:
    """The options, checked: `queries` maps the metric's name here to its PromQL."""

    url: str
    login: tuple[str, str] | None
    queries: Mapping[str, str]
    mode: Literal["range", "instant"]
    step_s: float
    lookback_s: float | None
    most_lookback_s: float
    timeout_s: float
    max_series: int
    headers: Mapping[str, str]
    units: Mapping[str, str]
    skews_s: list[float] = field(default_factory=list)
    """How far the server's clock was ahead of ours at each answer."""


@source(
    name="prometheus",
    interval_s=60.0,
    options={
        "url": "address of the server",
        "queries": "table of metric name = PromQL",
        "mode": "range (every step since the last sample) or instant (the value now); range",
        "step_s": "seconds between the points of a range; 60",
        "lookback_s": "seconds to look back at the first pull; as far as the server keeps its samples",
        "most_lookback_s": "the furthest to look back where lookback_s is left out; as long as foreact keeps samples",
        "timeout_s": "seconds to wait for a whole answer; 10",
        "max_series": "how many series of one query are recorded; 1000",
        "headers": "headers to send along, such as Authorization",
        "units": "table of metric name = unit",
    },
    split_by="queries",
    late_s=LATE_S,
)
def prometheus(options: Mapping[str, Any], since: datetime | None, until: datetime) -> Iterable[SampleColumns]:
    """Query a Prometheus server for each configured PromQL expression.

    Range queries fall on multiples of `step_s`, so that pulling twice gives the same points; instant queries ask
    for the value at `until`. Raises TransientError where the server cannot be reached, is overloaded or too slow, and
    ForeactError where a query, an option or the login is wrong; in both cases after all else was given, as for series
    that are no numbers, and for a server whose clock is not ours.
    The API: https://prometheus.io/docs/prometheus/latest/querying/api/
    """
    checked = _check(options)
    troubles: list[ForeactError | TransientError] = []
    for metric, query in checked.queries.items():
        try:
            yield from _pull(checked, metric, query, since, until)
        except (ForeactError, TransientError) as trouble:
            troubles.append(trouble)
    if troubles:
        raise troubles[0]
    ahead_s = min(checked.skews_s, key=abs, default=0.0)
    if abs(ahead_s) > MOST_SKEW_S:
        message = f"The clock of Prometheus at {checked.url} is {told_skew(ahead_s)} ours, and so is what it gives."
        raise ForeactError("prometheus_clock", message, "Set both clocks, by NTP for example.")


def _pull(
    options: _Options, metric: str, query: str, since: datetime | None, until: datetime
) -> Iterator[SampleColumns]:
    skipped: list[str] = []
    if options.mode == "instant":
        data = _ask(options, metric, "api/v1/query", {"query": query, "time": until.timestamp()})
        yield _samples(data, metric, options, skipped)
    else:
        yield from _history(options, metric, query, since, until, skipped)
    if skipped:
        message = f"Of the query for {metric} not all was recorded: {'; '.join(dict.fromkeys(skipped[:3]))}"
        more = f"; and {len(skipped) - 3} more." if len(skipped) > 3 else "."
        raise ForeactError("prometheus_series_skipped", message + more, REMEDY)


def _history(
    options: _Options, metric: str, query: str, since: datetime | None, until: datetime, skipped: list[str]
) -> Iterator[SampleColumns]:
    """Yield what lies after `since`; at first the newest, and where there is any what is older, while there is room."""
    steps = _steps(options, metric, since, until)
    newest = steps[-_points(options.max_series) :] if since is None else steps
    found = list(_ranges(options, metric, query, newest, skipped))
    if since is None and (series := len({name for each in found for name in each.series})):
        older = steps[: len(steps) - len(newest)]
        yield from _ranges(options, metric, query, older[-(MOST_AT_FIRST // series) :], skipped)
    yield from found


def _steps(options: _Options, metric: str, since: datetime | None, until: datetime) -> range:
    """Return the multiples of the step that lie after `since`, or as far back as is looked at first, up to `until`."""
    after_s = until.timestamp() - _lookback_s(options, metric) if since is None else since.timestamp()
    return range(math.floor(after_s / options.step_s) + 1, math.floor(until.timestamp() / options.step_s) + 1)


def _lookback_s(options: _Options, metric: str) -> float:
    """Return how far the first pull reaches: as configured, or as far as the server and foreact keep samples."""
    if options.lookback_s is not None:
        return options.lookback_s
    try:
        said = _ask(options, metric, "api/v1/status/runtimeinfo", {}).get("storageRetention")
    except (ForeactError, TransientError, AttributeError):
        # Others that speak the query API need not have this address, and a gateway before them may answer 502 there.
        said = None
    kept_s = _retention_s(str(said)) if said else UNKNOWN_S
    return min(kept_s, options.most_lookback_s)


def _retention_s(said: str) -> float:
    """Return a retention such as `15d`, `1w3d or 10GiB` in seconds; infinity where only the size is bounded."""
    for part in said.split(" or "):
        if re.fullmatch(r"(\d+(ms|[smhdwy]))+", part):
            return sum(int(number) * RETENTION_S[unit] for number, unit in re.findall(r"(\d+)(ms|[smhdwy])", part))
    return math.inf


def _ranges(options: _Options, metric: str, query: str, steps: range, skipped: list[str]) -> Iterator[SampleColumns]:
    """Ask for the steps in ranges that the server accepts, each of as many steps as there is room for its series."""
    most, points = MAX_POINTS, _points(options.max_series)
    while steps:
        window, parameters = steps[:points], {"query": query, "step": options.step_s}
        parameters |= {"start": window[0] * options.step_s, "end": window[-1] * options.step_s}
        try:
            data = _ask(options, metric, "api/v1/query_range", parameters)
        except (ForeactError, TransientError) as refusal:
            is_slow = isinstance(refusal, TransientError) and len(window) > QUICK_STEPS
            is_long = isinstance(refusal, ForeactError) and refusal.code == "prometheus_answer_too_long"
            if not is_slow and not (is_long and len(window) > 1):
                raise
            most = points = max(1, len(window) // 4)
            continue
        yield _samples(data, metric, options, skipped)
        points, steps = min(most, _points(len(data.get("result") or ()))), steps[points:]


def _points(series: int) -> int:
    return min(MAX_POINTS, max(1, ROOM // max(1, series)))


def _ask(options: _Options, metric: str, path: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data of one answer, or raise at the latest after `timeout_s`, however slowly the server talks."""
    import httpx

    outcome: list[tuple[int, bytes] | Exception] = []

    def fetch() -> None:
        give_up_s = time.monotonic() + options.timeout_s
        try:
            with (
                httpx.Client(timeout=options.timeout_s, headers=dict(options.headers), auth=options.login) as client,
                client.stream("GET", options.url + path, params=dict(parameters)) as response,
            ):
                options.skews_s.append(skew_s(response.headers))
                outcome.append((response.status_code, _body(response, metric, options, give_up_s)))
        except Exception as trouble:
            outcome.append(trouble)

    # A server that sends a byte now and then is never too slow for a socket: only who waits can tell.
    waiting = threading.Thread(target=fetch, daemon=True)
    waiting.start()
    waiting.join(options.timeout_s + 1)
    if not outcome:
        raise _too_slow(metric, options)
    if isinstance(outcome[0], httpx.InvalidURL):
        raise ForeactError("prometheus_url", f"url cannot be asked: {outcome[0]}.", REMEDY) from outcome[0]
    if isinstance(outcome[0], httpx.RequestError):
        raise TransientError(f"Prometheus at {options.url} cannot be reached: {outcome[0]}") from outcome[0]
    if isinstance(outcome[0], Exception):
        raise outcome[0]
    return _data(*outcome[0], metric, options)


def _body(response: httpx.Response, metric: str, options: _Options, give_up_s: float) -> bytes:
    body = bytearray()
    for part in response.iter_bytes():
        body += part
        if len(body) > MOST_BYTES:
            message = f"The answer to the query for {metric} is longer than {MOST_BYTES // 1_000_000} MB."
            raise ForeactError("prometheus_answer_too_long", message, "Aggregate in the query, or ask in wider steps.")
        if time.monotonic() > give_up_s:
            raise _too_slow(metric, options)
    return bytes(body)


def _too_slow(metric: str, options: _Options) -> TransientError:
    return TransientError(
        f"Prometheus at {options.url} did not answer the query for {metric} in full within {options.timeout_s:g} s."
    )


def _data(status: int, body: bytes, metric: str, options: _Options) -> dict[str, Any]:
    if status >= 500 or status == 429:
        raise TransientError(f"Prometheus at {options.url} answered {status} for {metric}.")
    if status in {401, 403}:
        message = f"Prometheus at {options.url} refuses this login ({status})."
        remedy = "Give a login in headers (the header Authorization, with Bearer and the key), or in url."
        raise ForeactError("prometheus_login", message, remedy)
    try:
        answer = orjson.loads(body)
        if answer["status"] == "success":
            data: dict[str, Any] = answer["data"]
            return data
        reason = str(answer.get("error", ""))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        reason = f"{status}, and the body is not Prometheus JSON"
    message = f"Prometheus at {options.url} refuses the query for {metric}: {reason}."
    raise ForeactError("prometheus_query_refused", message, REMEDY)


def _samples(data: Mapping[str, Any], metric: str, options: _Options, skipped: list[str]) -> SampleColumns:
    """Return the numbers of an answer; say in `skipped` which series had none, and where there were too many."""
    try:
        kind, result = data.get("resultType"), list(data.get("result") or ())
    except (AttributeError, TypeError):
        kind, result = type(data).__name__, []
    if kind == "scalar":
        result = [{"metric": {}, "value": result}]
    elif kind not in {"vector", "matrix"}:
        message = f"The query for {metric} gives a {kind}, not numbers over time."
        raise ForeactError("prometheus_result_kind", message, REMEDY)
    if len(result) > options.max_series:
        # The same ones each time, so that they have a history.
        result = sorted(result, key=_identity)[: options.max_series]
        skipped.append(
            f"it gives {len(data['result'])} series, more than max_series = {options.max_series}; only the first "
            "by their labels are recorded: aggregate in the query, or increase max_series"
        )
    found: list[tuple[SeriesInfo, Moments, Values]] = []
    for series in result:
        try:
            found.append(_numbers(series, metric, options.units.get(metric, "")))
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, IndexError):
            has_histograms = isinstance(series, Mapping) and {"histogram", "histograms"} & series.keys()
            why = (
                "holds native histograms: use histogram_quantile or rate in the query"
                if has_histograms
                else ("holds what is no list of times and numbers")
            )
            skipped.append(f"{_identity(series):.200} {why}")
    numbers = [np.full(len(values), series_id(info.series)) for info, _, values in found]
    return SampleColumns(
        {info.series: info for info, _, _ in found},
        np.concatenate([np.empty(0, dtype=np.int64), *numbers]),
        np.concatenate([np.empty(0, dtype=np.int64), *(moments_us for _, moments_us, _ in found)]),
        np.concatenate([np.empty(0), *(values for _, _, values in found)]),
    )


def _identity(series: Any) -> str:
    labels = series.get("metric", {}) if isinstance(series, Mapping) else series
    return json.dumps(labels, sort_keys=True)


def _numbers(series: Mapping[str, Any], metric: str, unit: str) -> tuple[SeriesInfo, Moments, Values]:
    """Return a series with its moments in microseconds since 1970 and its values, of equal length; NaN is left out."""
    labels = {str(name): str(text) for name, text in series.get("metric", {}).items() if name != "__name__"}
    points = series["values"] if "values" in series else [series["value"]]
    times_s, texts = zip(*points, strict=True) if points else ((), ())
    values, moments_s = np.array([*map(float, texts)]), np.array([*map(float, times_s)])
    if not (np.abs(moments_s) < LAST_MOMENT_S).all():
        raise ValueError("a time that no calendar has")
    is_number = np.isfinite(values)
    info = SeriesInfo(series_key(metric, labels), metric, labels, unit)
    return info, np.rint(moments_s[is_number] * 1e6).astype(np.int64), values[is_number]


def _check(options: Mapping[str, Any]) -> _Options:
    url, queries = option(options, "url", ""), option(options, "queries", NO_TABLE)
    if not url.startswith(("http://", "https://")):
        # Not shown: most likely a login stands in it.
        raise ForeactError("prometheus_url", "url is not the http:// or https:// address of a server.", REMEDY)
    if not queries:
        raise ForeactError("prometheus_queries", "There are no queries; give a table of metric name = PromQL.", REMEDY)
    mode = option(options, "mode", "range")
    if mode != "range" and mode != "instant":
        raise ForeactError("prometheus_mode", f"mode = {mode!r} is neither 'range' nor 'instant'.", REMEDY)
    step_s = option(options, "step_s", 60.0)
    if step_s < LEAST_STEP_S:
        raise ForeactError("prometheus_step", f"step_s = {step_s:g} must be at least {LEAST_STEP_S:g}.", REMEDY)
    address, login = _without_login(url)
    return _Options(
        url=address if address.endswith("/") else f"{address}/",
        login=login,
        queries=queries,
        mode="range" if mode == "range" else "instant",
        step_s=step_s,
        lookback_s=None if options.get("lookback_s") is None else option(options, "lookback_s", 0.0),
        most_lookback_s=option(options, "most_lookback_s", 7_776_000.0),
        timeout_s=option(options, "timeout_s", 10.0),
        max_series=option(options, "max_series", 1_000),
        headers=headers_in(options),
        units=option(options, "units", NO_TABLE),
    )


def _without_login(url: str) -> tuple[str, tuple[str, str] | None]:
    """Return an address without the login in it, so that no message or log shows one, and the login."""
    try:
        parts = urlsplit(url)
    except ValueError as trouble:
        raise ForeactError("prometheus_url", f"url is no address: {trouble}.", REMEDY) from None
    login, is_there, host = parts.netloc.rpartition("@")
    if not is_there:
        return url, None
    name, _, password = login.partition(":")
    return urlunsplit(parts._replace(netloc=host)), (unquote(name), unquote(password))
