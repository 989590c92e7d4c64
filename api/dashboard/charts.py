"""Charts as SVG text: a history with its forecast, an interval, a bar of probabilities."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from markupsafe import Markup

from api.dashboard.drawing import Box, Scale, drawing, element, kept, line, nice_step, titled
from api.dashboard.formatting import value
from api.queries.series import JudgedWindow
from storage.records import FloatArray
from tasks.text import chance, span

WIDTH, HEIGHT = 520.0, 190.0
LEFT, RIGHT, TOP, BOTTOM = 76.0, 10.0, 8.0, 22.0
BOX = Box(LEFT, WIDTH - RIGHT, TOP, HEIGHT - BOTTOM)
MOST_POINTS = 150
MOST_HOVERS = 36
LETTER_WIDTH = 7.5
"""Of an average letter of a chart's words, in the widest of the usual fonts."""
LEAST_REACH, LEAST_REACH_RATIO = 0.05, 0.04
MOST_BEYOND = 2.0
"""How far an interval is drawn beyond all else, as a share of the height of that."""
INTERVAL_SD = 3.0
Z_90 = 1.645
STRIPES = {"degraded": 9.0, "critical": 4.5, "unknown": 18.0}
"""How far apart the stripes of a state lie: who cannot tell the colours apart tells the states by them."""


@dataclass(frozen=True)
class Lines:
    """What a chart shows; moments in epoch seconds, values in the unit of the metric, NaN where missing."""

    unit: str
    now_s: float
    history_s: FloatArray
    history: FloatArray
    future_s: FloatArray
    point: FloatArray
    low: FloatArray
    high: FloatArray
    bounds: tuple[tuple[str, float], ...] = ()
    now_label: str = "now"
    judged: JudgedWindow | None = None


def forecast_chart(lines: Lines, label: str) -> Markup:
    """Draw a history, its forecast with the 90 % band, the objectives' bounds, and what was judged after an act."""
    scale = _scale(lines)
    ahead = band(scale, lines.future_s, lines.low, lines.high)
    parts = [*axes(scale, lines), *_judged(scale, lines), *ahead, *_bounds(scale, lines)]
    parts.append(path("history", scale.x(lines.history_s), scale.y(lines.history)))
    joined_s, joined = _joined(lines)
    parts.append(path("forecast", scale.x(joined_s), scale.y(joined)))
    parts += _hovers(scale, lines)
    return drawing("chart", WIDTH, HEIGHT, label, parts)


def interval(estimate_sd: float, error_sd: float, verdict_tone: str) -> Markup:
    """Draw an effect with its 90 % interval in standard deviations of its metric; right of the line is better."""
    width, middle, height = 132.0, 66.0, 18.0
    half = Z_90 * error_sd
    low, mid, high = (
        middle + (width / 2 - 5) * float(np.clip(sd / INTERVAL_SD, -1, 1))
        for sd in (estimate_sd - half, estimate_sd, estimate_sd + half)
    )
    parts = [
        element("line", class_="zero", x1=middle, y1=1, x2=middle, y2=height - 1),
        element("line", class_=f"whisker {verdict_tone}", x1=low, y1=9, x2=high, y2=9),
        element("circle", class_=verdict_tone, cx=mid, cy=9, r=4),
    ]
    return drawing("interval", width, height, f"{estimate_sd:+.2f} ± {half:.2f} standard deviations", parts)


def probability_bar(probabilities: Mapping[str, float]) -> Markup:
    """Draw the probability of each state as a part of one bar, best first."""
    width, height, left = 300.0, 10.0, 0.0
    parts = []
    for state in ("healthy", "degraded", "critical", "unknown"):
        share = float(probabilities.get(state, 0.0))
        if share > 0:
            place = {"x": left, "y": 0, "width": share * width, "height": height}
            parts.append(titled("rect", f"{state} {chance(share)}", class_=state, **place))
            parts += [
                element("line", x1=float(x), y1=0, x2=float(x), y2=height)
                for x in np.arange(left + 4.0, left + share * width, STRIPES.get(state, np.inf))
                if state in STRIPES
            ]
        left += share * width
    label = ", ".join(f"{state} {chance(share)}" for state, share in probabilities.items())
    return drawing("probabilities", width, height, label, parts, preserveAspectRatio="none")


def _scale(lines: Lines) -> Scale:
    """Fit the data, and those bounds that are near enough to matter."""
    near, seen = (
        each[np.isfinite(each)]
        for each in (
            np.concatenate([lines.history, lines.point]),
            np.concatenate([lines.history, lines.point, lines.low, lines.high]),
        )
    )
    bottom, top = (float(seen.min()), float(seen.max())) if seen.size else (0.0, 1.0)
    if near.size and np.ptp(near) > 0:
        # Where little is known the interval may be many times what was seen; cut, it leaves the rest to be read.
        bottom = max(bottom, float(near.min() - MOST_BEYOND * np.ptp(near)))
        top = min(top, float(near.max() + MOST_BEYOND * np.ptp(near)))
    least = max(LEAST_REACH * max(abs(top), abs(bottom), 1e-9), LEAST_REACH_RATIO if lines.unit == "ratio" else 0.0)
    slack = max(0.0, least - (top - bottom)) / 2
    bottom, top = bottom - slack, top + slack
    reach = top - bottom
    for _, bound in lines.bounds:
        if bottom - 2.5 * reach <= bound <= top + 2.5 * reach:
            bottom, top = min(bottom, bound), max(top, bound)
    pad = 0.07 * (top - bottom)
    bottom = max(0.0, bottom - pad) if seen.size and seen.min() >= 0 else bottom - pad
    moments = np.concatenate([lines.history_s, lines.future_s, [lines.now_s]])
    start_s, end_s = float(moments.min()), float(moments.max())
    return Scale(start_s, max(end_s, start_s + 1), bottom, top + pad, BOX)


def axes(scale: Scale, lines: Lines) -> Iterable[Markup]:
    """Draw the grid with its values, and the moment that a chart is about with how far its ends are from it."""
    for tick in _nice_ticks(scale.bottom, scale.top):
        y = float(scale.y(tick))
        yield element("line", class_="grid", x1=LEFT, y1=y, x2=WIDTH - RIGHT, y2=y)
        yield _tick(LEFT - 6, y + 3.5, value(tick, lines.unit), text_anchor="end")
    now_x = float(scale.x(lines.now_s))
    yield element("line", class_="now", x1=now_x, y1=TOP, x2=now_x, y2=HEIGHT - BOTTOM)
    yield from _moments(now_x, lines.now_s - scale.start_s, scale.end_s - lines.now_s, lines.now_label)


def _moments(now_x: float, before_s: float, after_s: float, now_label: str) -> Iterable[Markup]:
    """Name the moment of a chart, and how far its ends are from it where there is room."""
    is_now, base, half = now_label == "now", HEIGHT - 6, _width(now_label) / 2
    before = f"{span(before_s)} {'ago' if is_now else 'before'}"
    after = f"in {span(after_s)}" if is_now else f"{span(after_s)} after"
    # Where there is no room on one side the name of the moment stands on the other one.
    anchor, left = "middle", now_x - half
    if now_x + half > WIDTH - RIGHT:
        anchor, left = "end", now_x - 2 * half
    elif now_x - half < LEFT:
        anchor, left = "start", now_x
    yield _tick(now_x, base, now_label, text_anchor=anchor)
    if before_s > 0 and LEFT + _width(before) < left:
        yield _tick(LEFT, base, before)
    if after_s > 0 and left + 2 * half < WIDTH - RIGHT - _width(after):
        yield _tick(WIDTH - RIGHT, base, after, text_anchor="end")


def _width(words: str) -> float:
    """Return how wide words are, with a gap to the next."""
    return len(words) * LETTER_WIDTH + 8


def _tick(x: float, y: float, text: str, **attributes: str) -> Markup:
    return element("text", text, class_="tick", x=x, y=y, **attributes)


def band(scale: Scale, moments_s: FloatArray, low: FloatArray, high: FloatArray) -> Iterable[Markup]:
    """Draw what lies between two edges (n,), where both are known."""
    is_known = np.isfinite(low) & np.isfinite(high)
    keep = [each for each in kept(len(low), MOST_POINTS) if is_known[each]]
    if not keep:
        return
    x = scale.x(moments_s[keep]).tolist()
    upper, lower = scale.y(high[keep]).tolist(), scale.y(low[keep]).tolist()
    corners = [*zip(x, upper, strict=True), *reversed(list(zip(x, lower, strict=True)))]
    yield element("polygon", class_="band", points=" ".join(f"{a:.1f},{b:.1f}" for a, b in corners))


def _judged(scale: Scale, lines: Lines) -> Iterable[Markup]:
    """Shade the steps after an act that were judged, and draw the two means that were compared."""
    if (judged := lines.judged) is None:
        return
    left, right = float(scale.x(judged.from_s)), float(scale.x(judged.to_s))
    place = {"x": left, "y": TOP, "width": right - left, "height": HEIGHT - TOP - BOTTOM}
    yield element("rect", class_="judged", **place)
    for name, mean in (("mean foreseen", judged.expected), ("mean", judged.actual)):
        y = float(scale.y(mean))
        yield element("line", class_=name, x1=left, y1=y, x2=right, y2=y)


def _bounds(scale: Scale, lines: Lines) -> Iterable[Markup]:
    for name, bound in lines.bounds:
        if scale.bottom <= bound <= scale.top:
            y = float(scale.y(bound))
            drawn = element("line", class_="bound", x1=LEFT, y1=y, x2=WIDTH - RIGHT, y2=y)
            yield element("g", drawn, element("title", f"{name}: {value(bound, lines.unit)}"))


def _hovers(scale: Scale, lines: Lines) -> Iterable[Markup]:
    """Lay invisible columns over the chart that tell the values under the pointer."""
    before = kept(len(lines.history), MOST_HOVERS)
    seen = [value(each, lines.unit) for each in lines.history[before].tolist()]
    yield from _columns(scale, lines.now_s, lines.history_s[before], seen)
    after = kept(len(lines.low), MOST_HOVERS)
    point, low, high = (
        [value(each, lines.unit) for each in each_line[after].tolist()]
        for each_line in (lines.point, lines.low, lines.high)
    )
    foreseen = [f"{mid} ({least} to {most})" for mid, least, most in zip(point, low, high, strict=True)]
    yield from _columns(scale, lines.now_s, lines.future_s[after], foreseen)


def _columns(scale: Scale, now_s: float, moments_s: FloatArray, texts: Sequence[str]) -> Iterable[Markup]:
    width = (WIDTH - LEFT - RIGHT) / 2 / max(len(texts), 1) + 1
    left = (scale.x(moments_s) - width / 2).tolist()
    size = {"y": TOP, "width": width, "height": HEIGHT - TOP - BOTTOM}
    for x, moment_s, text in zip(left, moments_s.tolist(), texts, strict=True):
        yield titled("rect", f"{_when(moment_s, now_s)}: {text}", class_="hover", x=x, **size)


def _when(moment_s: float, now_s: float) -> str:
    distance_s = moment_s - now_s
    if abs(distance_s) < 1:
        return "now"
    return f"in {span(distance_s)}" if distance_s > 0 else f"{span(-distance_s)} ago"


def _joined(lines: Lines) -> tuple[FloatArray, FloatArray]:
    """Begin the forecast where the history ends, so that the line does not break."""
    seen = np.flatnonzero(np.isfinite(lines.history))
    if not seen.size or not lines.future_s.size or lines.history_s[seen[-1]] >= lines.future_s[0]:
        return lines.future_s, lines.point
    last = seen[-1]
    return np.append(lines.history_s[last], lines.future_s), np.append(lines.history[last], lines.point)


def path(name: str, x: FloatArray, y: FloatArray) -> Markup:
    commands = line(x, y, MOST_POINTS)
    return element("path", class_=name, d=commands) if commands else Markup()


def _nice_ticks(bottom: float, top: float) -> Sequence[float]:
    """Return two to five round numbers between two values."""
    step = nice_step((top - bottom) / 4)
    first = np.ceil(bottom / step) * step
    return [float(t) for t in np.arange(first, top + 1e-9 * step, step)]


def epoch_s(moments: Sequence[datetime]) -> FloatArray:
    """Return moments as seconds since 1970."""
    return np.array([moment.timestamp() for moment in moments], dtype=np.float64)


def moments_s(end: datetime, step_s: float, steps: int) -> FloatArray:
    """Return the ends of the steps up to a moment, in epoch seconds."""
    moments: FloatArray = end.timestamp() - step_s * np.arange(steps, dtype=np.float64)[::-1]
    return moments
