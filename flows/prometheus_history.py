"""The history that a Prometheus keeps, read at once for a backtest; nothing of it is recorded here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from api.prefect_client import our_blocks
from handlers import discover_sources
from settings import Settings
from storage import ForeactError
from storage.samples import SampleColumns

SOURCE = "prometheus"
STEP_S = 300.0
"""The loop looks at a long history in steps of five minutes, however fine it is."""
TIMEOUT_S = 60.0


@dataclass(frozen=True)
class PrometheusQuestion:
    """Where to ask, for what beside the configured queries, and how finely."""

    url: str
    queries: Mapping[str, str]
    step_s: float = STEP_S


@dataclass(frozen=True)
class PrometheusHistory:
    """What was read, and a sentence about each query of which nothing, or not all, was."""

    samples: SampleColumns
    notes: tuple[str, ...]


def queries_from(words: Sequence[str]) -> dict[str, str]:
    """Read queries as in `latency=histogram_quantile(…)`, by metric; raises `query_unreadable`."""
    queries: dict[str, str] = {}
    for word in words:
        name, sign, query = word.partition("=")
        if not (sign and name.strip() and query.strip()):
            raise ForeactError("query_unreadable", f"{word!r} is no query.", "Write --query NAME=PROMQL.")
        queries[name.strip()] = query.strip()
    return queries


def source_options(settings: Settings, asked: PrometheusQuestion) -> dict[str, Any]:
    """Return the options of the source: what is asked goes before what is configured.

    The configured headers go to the configured address alone. Raises `prometheus_queries` where there are no queries.
    """
    configured = dict(settings.sources.get(SOURCE, {}))
    queries = asked.queries or configured.get("queries")
    if not queries:
        raise ForeactError(
            "prometheus_queries",
            "There is nothing to ask Prometheus for.",
            "Give --query NAME=PROMQL, or queries under [sources.prometheus] in the configuration.",
        )
    headers = configured.get("headers", {}) if _same_server(configured.get("url", ""), asked.url) else {}
    kept = {name: configured[name] for name in ("max_series", "units") if name in configured}
    timeout_s = max(TIMEOUT_S, float(configured.get("timeout_s", 0)))
    own = {"url": asked.url, "queries": dict(queries), "step_s": asked.step_s, "headers": headers}
    return our_blocks(settings).resolved(kept | own | {"timeout_s": timeout_s})


def _same_server(one: str, other: str) -> bool:
    try:
        return urlsplit(one).netloc.rpartition("@")[2] == urlsplit(other).netloc.rpartition("@")[2]
    except ValueError:
        return False


def read_history(options: Mapping[str, Any], start: datetime, end: datetime) -> PrometheusHistory:
    """Ask a Prometheus for all that its queries give in (start, end], each query by itself.

    Raises what the source raises: TransientError where the server cannot be reached, ForeactError where a query or the
    login is refused; `history_empty` where no query gives anything.
    """
    lookback_s = (end - start) / timedelta(seconds=1)
    parts: list[SampleColumns] = []
    notes: list[str] = []
    for name, query in options["queries"].items():
        found, trouble = _pulled({**options, "queries": {name: query}, "lookback_s": lookback_s}, end)
        if trouble:
            notes.append(trouble)
        elif not len(found):
            notes.append(f"The query for {name} gives nothing in this time.")
        parts.append(found)
    samples = SampleColumns.joined(parts)
    if not len(samples):
        raise ForeactError(
            "history_empty",
            f"Prometheus has nothing of this for {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC.",
            "Try the queries in its own page, or choose fewer days: it may not keep so many.",
        )
    order = samples.moments_us.argsort(kind="stable")
    ordered = SampleColumns(samples.series, samples.numbers[order], samples.moments_us[order], samples.values[order])
    return PrometheusHistory(ordered, tuple(notes))


PARTLY_READ = frozenset({"prometheus_series_skipped", "prometheus_clock"})


def _pulled(options: Mapping[str, Any], end: datetime) -> tuple[SampleColumns, str]:
    """Return what one query gives, and what is to be said where that is not all."""
    parts: list[SampleColumns] = []
    trouble = ""
    try:
        for part in discover_sources()[SOURCE].pull(options, None, end):
            assert isinstance(part, SampleColumns)
            parts.append(part)
    except ForeactError as refusal:
        if refusal.code not in PARTLY_READ:
            raise
        trouble = str(refusal)
    return SampleColumns.joined(parts or [SampleColumns.of(())]), trouble
