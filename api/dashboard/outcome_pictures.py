"""What an act changed: its chart for pages, and the same as a picture that needs no script, for alerts and Prefect."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from textwrap import wrap

import numpy as np
from markupsafe import Markup

from api.dashboard.chart_data import ChartData, as_drawing
from api.dashboard.charts import HEIGHT, LETTER_WIDTH, WIDTH, moments_s
from api.dashboard.drawing import element, picture, style_of_pages
from api.dashboard.forecast_picture import STYLE
from api.dashboard.formatting import value
from api.facade import Facade
from api.queries.outcomes import existing
from api.queries.series import JudgedWindow, SeriesContext, SeriesEvent, SeriesFan
from storage.records import FloatArray, Outcome
from tasks.text import moment

PICTURE_SPANS = 3
FEWEST_BEFORE_STEPS = 40
MOST_BEFORE_STEPS = 600
GAP, LINE, SIZE = 14.0, 19.0, 1.25
"""Around a picture, of a line of words, and how much larger than on a page its chart is."""
NAME_WIDTH = 9.2
"""Of an average letter of the title, which is larger and bold."""
KEY = "— observed · - - forecast without the action, 90 % interval · shaded: judged"


def picture_of(facade: Facade, outcome_id: str) -> Markup:
    """Return the picture of an outcome as an SVG document; raises `outcome_unknown`."""
    outcome = existing(facade, outcome_id)
    title = f"{outcome.action} on {outcome.series}: {outcome.verdict}"
    acted = f"action, {moment(outcome.acted_at)}"
    drawn = as_drawing(chart_of(facade, outcome), title, outcome.acted_at.timestamp(), acted) or Markup()
    wide, high = SIZE * WIDTH, SIZE * HEIGHT
    heads = wrap(title, int(wide / NAME_WIDTH))
    captions = wrap(_caption(outcome), int(wide / LETTER_WIDTH))
    top = GAP + LINE * (len(heads) + 1)
    parts = [
        *_texts("name", heads, GAP),
        *_texts("key", [KEY], GAP + LINE * len(heads)),
        element("svg", drawn, x=GAP, y=top, width=wide, height=high),
        *_texts("caption", captions, top + high),
    ]
    height = top + high + LINE * len(captions) + GAP
    return picture(wide + 2 * GAP, height, title, style_of_pages() + STYLE, parts)


def _texts(class_: str, lines: Sequence[str], top: float) -> list[Markup]:
    return [
        element("text", words, class_=class_, x=GAP, y=top + LINE * (number + 0.7))
        for number, words in enumerate(lines)
    ]


def chart_of(facade: Facade, outcome: Outcome) -> ChartData:
    """Return what the chart of an outcome shows: what was seen, and the forecast without the act.

    What is no longer kept, or never was, is left blank.
    """
    evidence = outcome.evidence
    step_s = float(evidence.get("step_s") or max(1.0, outcome.horizon_s / 10))
    expected, low, high = (_numbers(evidence.get(name)) for name in ("forecast", "low", "high"))
    steps = len(expected) or max(1, round(outcome.horizon_s / step_s))
    first_at = datetime.fromisoformat(evidence["first_at"]) if evidence.get("first_at") else None
    first_at = first_at or outcome.acted_at + timedelta(seconds=step_s)
    end = first_at + timedelta(seconds=step_s * (steps - 1))
    before = min(max(PICTURE_SPANS * steps, FEWEST_BEFORE_STEPS), MOST_BEFORE_STEPS)
    seen_s = moments_s(end, step_s, before + steps).tolist()
    seen = facade.store.samples.frame([outcome.series], end, step_s, before + steps).row(outcome.series)
    has_band = len(low) == len(high) == len(expected) and bool(np.isfinite(low).any())
    band, levels = ([low.tolist(), high.tolist()], [0.05, 0.95]) if has_band else ([], [])
    fan = SeriesFan(seen_s[-steps:], expected.tolist(), levels, band, "", "") if len(expected) else None
    act = SeriesEvent("act", outcome.acted_at.timestamp(), outcome.action, f"/actions/{outcome.action_id}")
    context = SeriesContext("", fan, [], [act], _judged(outcome, fan))
    return ChartData(seen_s[0] - 1, None, seen_s, seen.tolist(), context)


def _judged(outcome: Outcome, fan: SeriesFan | None) -> JudgedWindow | None:
    steps, expected = outcome.evidence.get("window_steps"), outcome.evidence.get("expected")
    if not (fan and steps) or expected is None or outcome.estimate is None:
        return None
    until_s = fan.at_s[min(int(steps), len(fan.at_s)) - 1]
    return JudgedWindow(outcome.acted_at.timestamp(), until_s, float(expected), float(expected) + outcome.estimate)


def _caption(outcome: Outcome) -> str:
    if outcome.low is None or outcome.estimate is None:
        return f"{outcome.verdict}: {outcome.reason}"
    ratio = outcome.evidence.get("relative_ratio")
    share = f" ({ratio:+.1%})" if isinstance(ratio, float) else ""
    return (
        f"effect {value(outcome.estimate)}{share}, 90 % interval {value(outcome.low)} to {value(outcome.high)}; "
        f"{outcome.reason}"
    )


def _numbers(values: Sequence[float | None] | None) -> FloatArray:
    return np.array([np.nan if each is None else each for each in values or ()], dtype=np.float64)
