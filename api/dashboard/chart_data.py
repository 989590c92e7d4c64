"""What a chart shows: as JSON for the script that draws it, as CSV, and as a drawing where no script runs."""

from __future__ import annotations

import csv
import hashlib
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import orjson
from fastapi.responses import Response
from markupsafe import Markup

from api.dashboard.charts import Lines, forecast_chart
from api.dashboard.rendering import HEADERS
from api.queries.series import SeriesContext


@dataclass(frozen=True)
class ChartData:
    """Moments in epoch seconds; `now_s` is None where now lies outside."""

    since_s: float
    now_s: float | None
    at_s: Sequence[float]
    value: Sequence[float]
    context: SeriesContext


def as_json(chart: ChartData, known: str = "") -> Response:
    """Return a chart; what is of the `known` version is left out, and 204 says that nothing else is new."""
    context = orjson.dumps(chart.context)
    version = hashlib.sha256(context).hexdigest()[:16]
    if known == version and not chart.at_s:
        return Response(status_code=204, headers=HEADERS)
    body = {
        "version": version,
        "since_s": chart.since_s,
        "now_s": chart.now_s,
        "at_s": chart.at_s,
        "value": chart.value,
        "context": None if known == version else orjson.Fragment(context),
    }
    return Response(orjson.dumps(body), media_type="application/json", headers=HEADERS)


def as_csv(chart: ChartData, name: str) -> Response:
    """Return a chart as a table: observed values, then the forecast with its 90 % interval where it has one."""
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(["timestamp", "kind", "value", "low_90", "high_90"])
    seen = ((at_s, value) for at_s, value in zip(chart.at_s, chart.value, strict=True) if math.isfinite(value))
    for at_s, value in seen:
        rows.writerow([moment_of(at_s).isoformat(), "observed", value, "", ""])
    fan = chart.context.fan
    if fan is not None:
        lows, highs = (fan.quantiles[0], fan.quantiles[-1]) if fan.quantiles else ([""] * len(fan.point),) * 2
        for at_s, value, low, high in zip(fan.at_s, fan.point, lows, highs, strict=True):
            rows.writerow([moment_of(at_s).isoformat(), "forecast", value, low, high])
    disposition = f'attachment; filename="{file_name(name)}.csv"'
    return Response(text.getvalue(), media_type="text/csv", headers={**HEADERS, "Content-Disposition": disposition})


def as_drawing(chart: ChartData, label: str, at_s: float, at_label: str = "now") -> Markup | None:
    """Draw a chart around a moment (epoch seconds) and its name; None where there is nothing to draw."""
    fan, nothing = chart.context.fan, np.zeros(0)
    if not chart.at_s and fan is None:
        return None
    ends = (fan.quantiles[0], fan.quantiles[-1]) if fan and fan.quantiles else (nothing, nothing)
    lines = Lines(
        unit=chart.context.unit,
        now_s=at_s,
        history_s=np.array(chart.at_s),
        history=np.array(chart.value),
        future_s=np.array(fan.at_s) if fan else nothing,
        point=np.array(fan.point) if fan else nothing,
        low=np.array(ends[0]),
        high=np.array(ends[1]),
        bounds=tuple((each.name, each.bound) for each in chart.context.objectives if each.is_line),
        now_label=at_label,
        judged=chart.context.judged,
    )
    return forecast_chart(lines, label)


def file_name(name: str) -> str:
    """Return a name that any file system and any header takes."""
    return "".join(each if each.isascii() and (each.isalnum() or each in "-_") else "_" for each in name)[:100]


def moment_of(at_s: float) -> datetime:
    """Return the moment of an epoch second."""
    return datetime.fromtimestamp(at_s, UTC)
