"""The page of a metric: a chart to look into, and the numbers behind it as JSON for the chart and CSV for people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse, Response
from markupsafe import Markup

from api import queries
from api.dashboard.chart_data import ChartData, as_csv, as_drawing, as_json, file_name, moment_of
from api.dashboard.rendering import CHART_POLICY, Pages
from api.dependencies import FacadeDep
from api.facade import Facade
from api.models.goals import GoalSummary
from api.queries.series import SeriesContext, TimeRange
from storage.records import GoalState, Pattern

Name = Annotated[str, Query(max_length=10_000, description="The series")]
MOST_EVENTS = 50
FRESH_MS = {"1h": 5_000, "6h": 15_000}
SLOW_MS = 60_000
AROUND, MINUTE = timedelta(hours=6), timedelta(minutes=1)
"""How much of what came before and after a goal its chart shows."""


@dataclass(frozen=True)
class MetricChart:
    """The chart of a metric on a page: where its data come from, and what it has without a script."""

    name: str
    known: SeriesContext
    shown: TimeRange
    drawing: Markup | None
    query: str
    file: str
    every_ms: int


def _asked(
    range: Annotated[str, Query(max_length=10, description="How far back")] = "1d",
    since: Annotated[datetime | None, Query(alias="from", description="Not before this moment; UTC, no zone")] = None,
    until: Annotated[datetime | None, Query(alias="to", description="Not after this moment")] = None,
) -> Callable[[datetime], TimeRange]:
    """Return what finds the range that is asked for; the page itself refuses one that there is not."""
    return partial(queries.series.time_range, name=range, since=since, until=until)


Asked = Annotated[Callable[[datetime], TimeRange], Depends(_asked)]


def add(router: APIRouter, pages: Pages) -> None:
    """Add the page of a metric and its data to a router."""

    @router.get("/series-data")
    def data(
        facade: FacadeDep,
        name: Name,
        asked: Asked,
        after: Annotated[float | None, Query(description="Only what was seen after this, in epoch seconds")] = None,
        known: Annotated[str, Query(max_length=64, description="The version of the rest that is shown")] = "",
    ) -> Response:
        """Return what a chart shows; with `after` and `known` only what is new, 204 where nothing is."""
        return as_json(_chart(facade, name, asked(facade.clock()), after), known)

    @router.get("/series-data.csv")
    def table(facade: FacadeDep, name: Name, asked: Asked) -> Response:
        """Return what a chart shows as a table: observed values, then the forecast with its 90 % interval."""
        shown = asked(facade.clock())
        return as_csv(_chart(facade, name, shown), _titled(name, shown))

    @router.get("/series/{name:path}")
    @pages.refusing
    def series(name: str, facade: FacadeDep, asked: Asked, request: Request) -> HTMLResponse:
        """Show one metric: its past and forecast, its objectives, and what happened to it."""
        is_chosen = not request.query_params.keys().isdisjoint({"range", "from", "to"})
        now = facade.clock()
        shown = asked(now) if is_chosen else queries.series.usual_range(facade, name, now)
        metric = chart_of(facade, name, shown)
        return pages.page(
            facade,
            "series.html",
            policy=CHART_POLICY,
            metric=metric,
            events=metric.known.events[: -MOST_EVENTS - 1 : -1],
            ranges=list(queries.series.RANGES),
            goals=[view for view in facade.store.goals.open() if name in (view.goal.series, *view.goal.members)],
            moment=moment_of,
            outcomes=facade.store.outcomes.of_series(name, MOST_EVENTS),
            patterns=[each for each in queries.agent.patterns(facade).patterns if _concerns(each, name)],
        )


def chart_of(facade: Facade, name: str, shown: TimeRange) -> MetricChart:
    """Return the chart of a metric in a range; raises `series_unknown`."""
    chart = _chart(facade, name, shown)
    until = f"{shown.until:%d %b %H:%M} UTC" if shown.is_past else "now"
    return MetricChart(
        name=name,
        known=chart.context,
        shown=shown,
        drawing=as_drawing(chart, f"{name}: history and forecast", shown.until.timestamp(), until),
        query=urlencode({"name": name, **_address(shown)}),
        file=file_name(_titled(name, shown)),
        every_ms=0 if shown.is_past else FRESH_MS.get(shown.name, SLOW_MS),
    )


def chart_of_goal(facade: Facade, goal: GoalSummary) -> MetricChart | None:
    """Return the chart of a goal's metric from before it was set until after it ended; None where none is kept."""
    info = next((each for each in facade.store.samples.known() if each.series == goal.series), None)
    if info is None:
        return None
    now, longest = facade.clock(), queries.series.RANGES["28d"]
    until = min(now, goal.since + AROUND) if GoalState(goal.state).is_terminal else now
    since = max(goal.created_at - AROUND, until - longest, info.first or goal.created_at - AROUND)
    shown = queries.series.time_range(now, "1d", min(since, until - MINUTE), until)
    chart = chart_of(facade, info.series, shown)
    return chart if chart.drawing else None


def _concerns(pattern: Pattern, series: str) -> bool:
    """Tell whether a pattern is about a series; those with a moment of their own are among what happened."""
    return pattern.subject == series and pattern.kind not in queries.series.EVENT_KINDS


def _chart(facade: Facade, name: str, shown: TimeRange, after: float | None = None) -> ChartData:
    since = shown.since if after is None else max(shown.since, moment_of(after))
    context = queries.series.context(facade, name, shown)
    now_s = None if shown.is_past else shown.until.timestamp()
    return ChartData(shown.since.timestamp(), now_s, *queries.series.history(facade, name, since, shown.until), context)


def _address(shown: TimeRange) -> dict[str, str]:
    """Return a range as it is asked for; one between two moments that ends now goes on from where it began."""
    if shown.name:
        return {"range": shown.name}
    ends = {"to": shown.until.isoformat()} if shown.is_past else {}
    return {"from": shown.since.isoformat(), **ends}


def _titled(name: str, shown: TimeRange) -> str:
    return f"{name[:70]}-{shown.name or f'{shown.since:%Y%m%dT%H%M}-{shown.until:%Y%m%dT%H%M}'}"
