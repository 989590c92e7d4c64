"""A stretch of history as SVG text: the metric, its bound, when it was broken, and what the loop did when."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from markupsafe import Markup

from api.dashboard.drawing import Box, Scale, drawing, element, nice_step, titled
from api.dashboard.formatting import value
from storage.records import FloatArray

WIDE, NARROW = 1080.0, 340.0
HEIGHT = 220.0
LEFT, RIGHT, TOP, BOTTOM, LANE = 64.0, 10.0, 10.0, 22.0, 34.0
COLUMN, TICK = 2.0, 120.0
"""The width of a column of values, and the least from one moment named to the next."""

_TICKS_S = (60, 300, 900, 3_600, 3 * 3_600, 6 * 3_600, 12 * 3_600, 86_400, 2 * 86_400, 7 * 86_400, 30 * 86_400)


@dataclass(frozen=True)
class Stretch:
    """Something that lasted: from, until (epoch seconds), how it is to be seen (good, warn, bad), and in words."""

    start_s: float
    end_s: float
    tone: str
    text: str


@dataclass(frozen=True)
class Mark:
    """Something that happened at a moment (epoch seconds)."""

    at_s: float
    tone: str
    text: str


@dataclass(frozen=True)
class Timeline:
    """What a timeline shows: values over moments (epoch seconds), NaN where missing, and what happened meanwhile."""

    unit: str
    moments_s: FloatArray
    values: FloatArray
    bound: float | None = None
    stretches: tuple[Stretch, ...] = ()
    goals: tuple[Mark, ...] = ()
    acts: tuple[Mark, ...] = ()


def timeline(lines: Timeline, label: str, width: float = WIDE) -> Markup:
    """Draw a stretch of history; below the values lie goals (triangles) and acts (bars), each with its words."""
    scale = _scale(lines, Box(LEFT, width - RIGHT, TOP, HEIGHT - BOTTOM - LANE))
    parts = [
        *_axes(scale, lines),
        *_stretches(scale, lines.stretches),
        _envelope(scale, lines),
        *_bound(scale, lines),
        *_marks(scale, lines),
    ]
    return drawing("chart", width, HEIGHT, label, parts)


def _scale(lines: Timeline, box: Box) -> Scale:
    seen = lines.values[np.isfinite(lines.values)]
    bottom, top = (float(seen.min()), float(seen.max())) if seen.size else (0.0, 1.0)
    if lines.bound is not None and bottom - (top - bottom) <= lines.bound <= top + (top - bottom):
        bottom, top = min(bottom, lines.bound), max(top, lines.bound)
    pad = 0.06 * (top - bottom) or max(abs(top), 1.0) * 0.05
    start_s = float(lines.moments_s.min()) if lines.moments_s.size else 0.0
    end_s = float(lines.moments_s.max()) if lines.moments_s.size else 1.0
    return Scale(start_s, max(end_s, start_s + 1), bottom - pad, top + pad, box)


def _axes(scale: Scale, lines: Timeline) -> Iterable[Markup]:
    right, step = scale.box.right, nice_step((scale.top - scale.bottom) / 4)
    for amount in np.arange(np.ceil(scale.bottom / step) * step, scale.top, step):
        y = scale.y(float(amount))
        yield element("line", class_="grid", x1=LEFT, y1=y, x2=right, y2=y)
        text = value(float(amount), lines.unit)
        yield element("text", text, class_="tick", x=LEFT - 6, y=y + 3.5, text_anchor="end")
    span_s, most = scale.end_s - scale.start_s, (right - LEFT) / TICK
    tick_s = next((each for each in _TICKS_S if span_s / each <= most), _TICKS_S[-1])
    for moment_s in np.arange(np.ceil(scale.start_s / tick_s) * tick_s, scale.end_s, tick_s):
        moment, x = datetime.fromtimestamp(float(moment_s), UTC), scale.x(float(moment_s))
        text = f"{moment:%d %b}" if tick_s >= 86_400 else f"{moment:%d %b %H:%M}"
        yield element("line", class_="grid", x1=x, y1=TOP, x2=x, y2=HEIGHT - BOTTOM)
        anchor = "end" if x > right + RIGHT - TICK / 2 else "middle"
        yield element("text", text, class_="tick", x=x, y=HEIGHT - 6, text_anchor=anchor)


def _envelope(scale: Scale, lines: Timeline) -> Markup:
    """Draw the values: least and greatest of each column, so that no spike is lost however long the history."""
    count = int((scale.box.right - LEFT) / COLUMN)
    share = (lines.moments_s - scale.start_s) / (scale.end_s - scale.start_s)
    columns = np.minimum((share * count).astype(int), count - 1)
    commands, is_pen_down, last = [], False, -1
    finite = np.isfinite(lines.values)
    for column in np.unique(columns[finite]):
        inside = finite & (columns == column)
        x = scale.x(float(lines.moments_s[inside].mean()))
        values = lines.values[inside]
        is_pen_down = is_pen_down and column - last <= max(2, count // max(1, int(finite.sum())) * 3)
        ends = [float(values.min()), float(values.max())] if len(values) > 1 else [float(values[0])]
        for amount in ends:
            commands.append(f"{'L' if is_pen_down else 'M'}{x:.1f},{scale.y(amount):.1f}")
            is_pen_down = True
        last = int(column)
    return element("path", class_="history", d=" ".join(commands)) if commands else Markup()


def _bound(scale: Scale, lines: Timeline) -> Iterable[Markup]:
    if lines.bound is not None and scale.bottom <= lines.bound <= scale.top:
        y = scale.y(lines.bound)
        line = element("line", class_="bound", x1=LEFT, y1=y, x2=scale.box.right, y2=y)
        yield element("g", line, element("title", f"bound: {value(lines.bound, lines.unit)}"))


def _stretches(scale: Scale, stretches: Iterable[Stretch]) -> Iterable[Markup]:
    for each in stretches:
        left, right = scale.x(each.start_s), scale.x(each.end_s)
        place = {"x": left, "y": TOP, "width": max(2.0, right - left), "height": HEIGHT - TOP - BOTTOM - LANE}
        yield titled("rect", each.text, class_=f"stretch {each.tone}", **place)
        if each.tone == "bad":  # what came without warning is known without its colour too
            yield element("line", class_="unforetold", x1=left, y1=TOP, x2=max(left + 2.0, right), y2=TOP)


def _marks(scale: Scale, lines: Timeline) -> Iterable[Markup]:
    y = HEIGHT - BOTTOM - LANE + 14
    for each in lines.goals:
        x = scale.x(each.at_s)
        corners = f"{x - 6:.1f},{y + 5} {x + 6:.1f},{y + 5} {x:.1f},{y - 6}"
        yield titled("polygon", each.text, class_=f"mark {each.tone}", points=corners)
    for each in lines.acts:
        place = {"x": scale.x(each.at_s) - 1.5, "y": y + 8, "width": 3, "height": 11}
        yield titled("rect", each.text, class_=f"mark {each.tone}", **place)
