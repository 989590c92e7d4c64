"""`foreact forecast`: which series are meant, what is known of them, and the picture."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from rich.console import Console

from cli import show
from cli.terminal_chart import BoundLine, Picture, column_of_now, draw, far_bounds, glyphs_for
from settings import Settings, utc_now
from storage import open_store
from storage.errors import ForeactError
from storage.records import Objective, metric_of, selects
from tasks.text import limit, moment, span, value

MOST_DRAWN = 3
HEIGHT = 14
HISTORY_OF_HORIZON = 1.0
"""As long a past is drawn as the forecast reaches ahead."""


def meant(series: Sequence[Mapping[str, Any]], name: str) -> list[Mapping[str, Any]]:
    """Return the forecasts that a name means: a series, all of a metric, or those a selector or pattern matches.

    Raises `series_unknown` with the names that are most like it.
    """
    exact = [each for each in series if each["series"] == name]
    found = exact or [each for each in series if metric_of(each["series"]) == name or _selects(name, each["series"])]
    if not found:
        import difflib

        names = sorted({part for each in series for part in (each["series"], metric_of(each["series"]))})
        close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        like = f" Did you mean {' or '.join(close)}?" if close else ""
        raise ForeactError(
            "series_unknown", f"There is no forecast of {name}.{like}", "`foreact forecast` lists all.", status=404
        )
    return found


def _selects(name: str, series: str) -> bool:
    from fnmatch import fnmatchcase

    try:
        return fnmatchcase(series, name) or selects(name, series)
    except ValueError:
        return False


def with_history(settings: Settings, series: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return forecasts with what was recorded as long before as they reach ahead: `history`, moments and values."""
    if not series:
        return []
    reach = max(timedelta(seconds=each["step_seconds"] * max(1, len(each["point"]))) for each in series)
    ends = [datetime.fromisoformat(each["timestamps"][0]) for each in series if each["timestamps"]]
    now = utc_now()
    since = min([*ends, now]) - max(reach * HISTORY_OF_HORIZON, timedelta(hours=1))
    with open_store(settings.database_path) as store:
        found = store.samples.columns(since, now, [each["series"] for each in series])
    told = []
    for each in series:
        own = found["series"] == each["series"]
        moments = found["ts"][own].astype("datetime64[ms]").astype(str).tolist()
        history = {"timestamps": [f"{at}Z" for at in moments], "values": found["value"][own].tolist()}
        told.append({**each, "history": history})
    return told


def listed(answer: Mapping[str, Any]) -> None:
    """Print a line for every series: where it will be at the end of the horizon, and why not where it is refused."""
    rows = [
        (each["series"], each["refusal"] or _at_the_end(each))
        for each in sorted(answer["series"], key=lambda each: (bool(each["refusal"]), each["series"]))
    ]
    show.table("", ("series", "expected at the end of the horizon"), rows, answer["note"] or "No series is forecast.")
    for each in answer["breaches"]:
        if each["probability"] >= show.WORTH_A_LINE:
            show.say(show.breach(each))
    if rows and answer["note"]:
        show.say(answer["note"])


def _at_the_end(each: Mapping[str, Any]) -> str:
    if not each["point"]:
        return "nothing within this horizon"
    point, low, high = (value(each[name][-1], each["unit"]) for name in ("point", "low", "high"))
    at = moment(datetime.fromisoformat(each["timestamps"][-1]))
    return f"{point} ({low} to {high}) at {at}"


def drawn(
    each: Mapping[str, Any], objectives: Sequence[Mapping[str, Any]], breaches: Sequence[Mapping[str, Any]]
) -> None:
    """Print one series: the chart with history, median, interval and bounds, and what all of it means."""
    known = [Objective.model_validate(view["objective"]) for view in objectives]
    bounds = [objective for objective in known if objective.matches(each["series"])]
    if each["refusal"]:
        show.say(f"{each['series']}: no forecast. {each['refusal']}")
        return
    if not each["point"]:
        show.say(f"{each['series']}: nothing is forecast within this horizon.")
        return
    console, picture = Console(), _picture(each, bounds)
    glyphs = glyphs_for(getattr(sys.stdout, "encoding", None))
    lines = draw(picture, console.width, HEIGHT, glyphs)
    unit = f" ({each['unit']})" if each["unit"] else ""
    show.say(f"{each['series']}{unit}, by {each['method']}")
    for line in (*lines, *_below(each, picture, column_of_now(picture, lines, glyphs), console.width)):
        show.say(line)
    show.say(f"{glyphs.history} recorded  {glyphs.median} median  {glyphs.band} 90 % interval  {glyphs.bound} bound")
    show.say(f"Expected at the end: {_at_the_end(each)}")
    far = {line.name for line in far_bounds(picture)}
    for objective in bounds:
        off = ", too far off to be drawn" if objective.name in far else ""
        show.say(f"{objective.name}: {limit(objective.side, objective.bound, each['unit'])}{off}")
    for sentence in (*(show.breach(breach) for breach in breaches), *each["warnings"]):
        show.say(sentence)


def _picture(each: Mapping[str, Any], bounds: Sequence[Objective]) -> Picture:
    step_s = float(each["step_seconds"])
    ahead_s = _seconds(each["timestamps"])
    return Picture(
        history_s=_seconds(each["history"]["timestamps"]),
        history=np.asarray(each["history"]["values"], dtype=float),
        now_s=float(ahead_s[0]) - step_s,
        ahead_s=ahead_s,
        median=np.asarray(each["point"], dtype=float),
        low=np.asarray(each["low"], dtype=float),
        high=np.asarray(each["high"], dtype=float),
        bounds=[BoundLine(objective.name, objective.bound) for objective in bounds],
    )


def _seconds(moments: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([datetime.fromisoformat(text).timestamp() for text in moments], dtype=np.float64)


def _below(each: Mapping[str, Any], picture: Picture, now_column: int, width: int) -> list[str]:
    """Return the line below a chart: how far back it begins, when the forecast was made, how far ahead it ends."""
    first_s = min([*picture.history_s.tolist(), picture.now_s])
    back = f"{span(picture.now_s - first_s)} before" if first_s < picture.now_s else ""
    ahead = f"{span(float(picture.ahead_s[-1]) - picture.now_s)} ahead"
    middle = datetime.fromtimestamp(picture.now_s, tz=utc_now().tzinfo).strftime("%H:%M UTC")
    start = max(0, now_column - len(middle) // 2)
    line = f"{back:<{start}}" if len(back) < start else " " * start
    line += middle
    room = width - len(line)
    return [line + (f"{ahead:>{room}}" if room > len(ahead) else "")]
