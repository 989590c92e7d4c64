"""One series to look at: its history with every extreme, its forecast, its objectives, and what happened to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from api.facade import Facade
from api.queries.forecasts import foreseen
from storage.errors import ForeactError
from storage.records import Breach, Forecast, Objective, metric_of
from tasks.objectives.in_force import objectives_in_force
from tasks.text import unit_of

RANGES = {
    "1h": timedelta(hours=1),
    "6h": timedelta(hours=6),
    "1d": timedelta(days=1),
    "7d": timedelta(days=7),
    "28d": timedelta(days=28),
}
"""How far back a person may look, by the name in the address."""
MOST_POINTS = 2_000
MOST_STEPS_AHEAD = 400
RECENT = timedelta(hours=1)
FIRST_YEAR, LAST_YEAR = 1971, 9998
EVENT_KINDS = {"anomaly": "anomaly", "change_point": "shift"}


@dataclass(frozen=True)
class SeriesRow:
    """A series in a list: its newest value of the last hour, and its most likely breach."""

    series: str
    unit: str
    last: float | None
    last_at: datetime | None
    objective: str | None
    probability: float | None


@dataclass(frozen=True)
class SeriesFan:
    """A forecast to draw: moments in epoch seconds, `quantiles` (levels, steps)."""

    at_s: list[float]
    point: list[float]
    levels: list[float]
    quantiles: list[list[float]]
    method: str
    remark: str


@dataclass(frozen=True)
class ObjectiveLine:
    """An objective's bound, and when it is expected to break: moments in epoch seconds, None where not known."""

    name: str
    bound: float
    side: str
    is_line: bool
    probability: float | None = None
    is_breached_now: bool = False
    expected_s: float | None = None
    earliest_s: float | None = None
    latest_s: float | None = None


@dataclass(frozen=True)
class SeriesEvent:
    """An anomaly, a shift or an act: when (epoch seconds), in words, and the page that tells more."""

    kind: str
    at_s: float
    text: str
    href: str


@dataclass(frozen=True)
class JudgedWindow:
    """The steps after an act that were judged (epoch seconds), and the two means that were compared."""

    from_s: float
    to_s: float
    expected: float
    actual: float


@dataclass(frozen=True)
class SeriesContext:
    """What a chart shows beside the history."""

    unit: str
    fan: SeriesFan | None
    objectives: list[ObjectiveLine]
    events: list[SeriesEvent]
    judged: JudgedWindow | None = None


@dataclass(frozen=True)
class TimeRange:
    """The part of the past that a person looks at: (since, until]; `name` is of RANGES, or empty where he chose it.

    Where it ends in the past, nothing of it changes any more.
    """

    since: datetime
    until: datetime
    name: str
    is_past: bool

    @property
    def ahead(self) -> datetime:
        """Return until when a forecast is shown: as far ahead as one looks back, in the past to its end."""
        return self.until if self.is_past else self.until + (self.until - self.since)


def listed(facade: Facade, text: str = "") -> list[SeriesRow]:
    """Return the series whose name contains a text: those likely to break first, then by name."""
    newest = facade.store.samples.latest(facade.clock() - RECENT)
    risks = {each.series: each for each in sorted(foreseen(facade).breaches, key=lambda each: each.probability)}
    rows = []
    for info in facade.store.samples.known():
        if text.casefold() in info.series.casefold():
            at, value = newest.get(info.series, (None, None))
            risk = risks.get(info.series)
            unit = info.unit or unit_of(info.series)
            rows.append(
                SeriesRow(
                    info.series, unit, value, at, risk.objective if risk else None, risk.probability if risk else None
                )
            )
    return sorted(rows, key=lambda row: (-(row.probability or 0.0), row.series))


def existing(facade: Facade, series: str) -> str:
    """Return the unit of a series; raises `series_unknown`."""
    known = next((info for info in facade.store.samples.known() if info.series == series), None)
    if known is None:
        raise ForeactError("series_unknown", f"There is no metric {series}.", "Record a value of it.", status=404)
    return known.unit or unit_of(series)


def time_range(now: datetime, name: str, since: datetime | None = None, until: datetime | None = None) -> TimeRange:
    """Return the range of a name, which ends now, or the one between two moments; raises `range_unknown`.

    A moment without a zone is UTC. Of two moments one may be left out: the range is then as long as its name says, or
    ends now. An end in the minute before now is now: a form knows whole minutes only.
    """
    if name not in RANGES:
        raise ForeactError(
            "range_unknown", f"There is no range {name}.", f"Use one of {', '.join(RANGES)}.", status=422
        )
    if since is None and until is None:
        return TimeRange(now - RANGES[name], now, name, is_past=False)
    end = _in_utc(until) if until else now
    end = end if now - end >= timedelta(minutes=1) else now
    start = _in_utc(since) if since else end - RANGES[name]
    if start >= end:
        raise ForeactError(
            "range_unknown",
            f"No time lies between {start:%Y-%m-%d %H:%M} and {end:%Y-%m-%d %H:%M} UTC.",
            "Let the range begin before it ends, and before now.",
            status=422,
        )
    return TimeRange(start, end, "", is_past=end < now)


def usual_range(facade: Facade, series: str, now: datetime) -> TimeRange:
    """Return the last day of a series, or the shortest range that holds all of a younger one."""
    moments_s, _ = history(facade, series, now - RANGES["1d"], now)
    age_s = now.timestamp() - moments_s[0] if moments_s else RANGES["1d"].total_seconds()
    return time_range(now, next((name for name in ("1h", "6h") if age_s <= RANGES[name].total_seconds()), "1d"))


def _in_utc(moment: datetime) -> datetime:
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:  # at the ends of the calendar no zone can be reckoned with
        moment = moment.replace(year=FIRST_YEAR if moment.year < FIRST_YEAR else LAST_YEAR, month=1, day=2)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def history(facade: Facade, series: str, since: datetime, until: datetime) -> tuple[list[float], list[float]]:
    """Return moments (epoch seconds) and values of a series in (since, until]: at most 2,000, no extreme left out."""
    if until <= since:
        return [], []
    moments_s, values = facade.store.samples.extremes(series, since, until, MOST_POINTS // 2)
    return moments_s.tolist(), values.tolist()


def context(facade: Facade, series: str, shown: TimeRange) -> SeriesContext:
    """Return forecast, objectives and events of a series in a range.

    Of one that ends in the past the forecast is the one in force when it began, beside what came.
    """
    found = facade.store.forecasts.before(series, shown.since if shown.is_past else shown.until)
    lines = objective_lines(facade, series)
    return SeriesContext(
        unit=existing(facade, series),
        fan=_fan(found[1], shown.ahead) if found else None,
        objectives=[_line_alone(each) for each in lines] if shown.is_past else lines,
        events=sorted(_events(facade, series, shown), key=lambda each: each.at_s),
    )


def objective_lines(facade: Facade, series: str) -> list[ObjectiveLine]:
    """Return the objectives of a series with what is foreseen of each."""
    risks = {each.objective: each for each in foreseen(facade).breaches if each.series == series}
    wanted = objectives_in_force(facade.in_force, facade.store)
    return [_line(each, risks.get(each.name)) for each in wanted if each.matches(series)]


def _line_alone(line: ObjectiveLine) -> ObjectiveLine:
    """Return an objective's bound without what is foreseen of it now."""
    return ObjectiveLine(line.name, line.bound, line.side, line.is_line)


def _line(objective: Objective, risk: Breach | None) -> ObjectiveLine:
    is_line = objective.kind.is_drawn_as_line
    if risk is None:
        return ObjectiveLine(objective.name, objective.bound, objective.side, is_line)
    return ObjectiveLine(
        name=objective.name,
        bound=objective.bound,
        side=objective.side,
        is_line=is_line,
        probability=risk.probability,
        is_breached_now=risk.is_breached_now,
        expected_s=_epoch(risk.expected_at),
        earliest_s=_epoch(risk.earliest_at),
        latest_s=_epoch(risk.latest_at),
    )


def _fan(forecast: Forecast, until: datetime) -> SeriesFan:
    ahead = int((until - forecast.issued_at).total_seconds() / forecast.step_s)
    steps = max(0, min(len(forecast.point), ahead))
    keep = slice(0, steps, max(1, -(-steps // MOST_STEPS_AHEAD)))
    first_s = forecast.issued_at.timestamp() + forecast.step_s
    return SeriesFan(
        at_s=[first_s + forecast.step_s * step for step in range(steps)][keep],
        point=forecast.point[:steps][keep].astype(float).tolist(),
        levels=list(forecast.levels),
        quantiles=forecast.quantiles[:steps][keep].T.astype(float).tolist(),
        method=forecast.method,
        remark="; ".join(forecast.warnings),
    )


def _events(facade: Facade, series: str, shown: TimeRange) -> Iterator[SeriesEvent]:
    until_s = shown.until.timestamp()
    for pattern in facade.store.patterns.dated(series, tuple(EVENT_KINDS), shown.since):
        if (at_s := float(pattern.evidence["at_s"])) <= until_s:
            href = f"/patterns/{quote(pattern.pattern_id, safe='')}"
            yield SeriesEvent(EVENT_KINDS[pattern.kind], at_s, pattern.statement, href)
    verdicts = {each.action_id: str(each.verdict) for each in facade.store.outcomes.targets() if each.series == series}
    for view in facade.store.actions.finished(shown.since):
        action = view.action
        if view.receipt and view.receipt.started_at <= shown.until and _touches(series, action.series, action.guards):
            became = verdicts.get(action.action_id) or str(view.receipt.status)
            text = f"{'undo of ' if action.undo_of else ''}{action.title}: {became.replace('_', ' ')}"
            yield SeriesEvent("act", view.receipt.started_at.timestamp(), text, f"/actions/{action.action_id}")


def _touches(series: str, aimed_at: str | None, guards: Sequence[str]) -> bool:
    return series == aimed_at or series in guards or metric_of(series) in guards


def _epoch(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()
