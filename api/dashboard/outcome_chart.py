"""The picture of an outcome as SVG: what was, what was expected, what came, and what the act changed.

It takes its colours from the page's variables; on its own it brings them along. It needs no script, so that an alert
and Prefect show it as pages do, where Plotly's chart takes its place (docs/adr/0010-charts.md).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from textwrap import wrap

import numpy as np
from markupsafe import Markup

from api.dashboard.drawing import Box, Scale, drawing, element, kept, line, titled
from api.dashboard.formatting import tone, value
from storage.records import FloatArray
from tasks.text import span

WIDTH, HEIGHT = 640.0, 300.0
LEFT, RIGHT, TOP, BOTTOM = 70.0, 14.0, 46.0, 44.0
BOX = Box(LEFT, WIDTH - RIGHT, TOP, HEIGHT - BOTTOM)
MOST_POINTS = 240
LINE_HEIGHT = 15.0
LETTER_WIDTH = 6.9
"""Of an average letter of the captions, in the widest of the usual fonts."""
TITLE_SIZE, TITLE_LINE = 15, 19.0
TITLE_LETTER_WIDTH = LETTER_WIDTH * TITLE_SIZE / 12 * 1.06
"""Of a letter of the title: larger, and bold."""
PALETTE = (
    "svg{--ink:#18202c;--muted:#5f6b7c;--line:#e2e6ec;--accent:#3157d5;--good:#07747e;--bad:#a1172e;--warn:#8f6400;"
    "background:#fff;font-family:system-ui,sans-serif}"
    "@media(prefers-color-scheme:dark){svg{--ink:#e5e9f0;--muted:#93a0b2;--line:#28303b;--accent:#88a5ff;--good:#4fd8cc;"
    "--bad:#f65a5a;--warn:#f2cd3d;background:#161b22}}"
)
_COLOURS = {"good": "var(--good)", "bad": "var(--bad)"}


@dataclass(frozen=True)
class OutcomeLines:
    """What the picture shows; moments in epoch seconds, values in the metric's unit, NaN where missing.

    `seen` (n,) at `seen_s` runs from before the act to the end of its window; `expected`, `low` and `high` (h,) lie at
    `after_s`. The first `window_steps` of these were judged: `mean_expected` beside `mean_expected + estimate`.
    """

    title: str
    caption: str
    verdict: str
    unit: str
    acted_s: float
    seen_s: FloatArray
    seen: FloatArray
    after_s: FloatArray
    expected: FloatArray
    low: FloatArray
    high: FloatArray
    window_steps: int = 0
    mean_expected: float = float("nan")
    estimate: float = float("nan")
    effect_low: float = float("nan")
    effect_high: float = float("nan")


def outcome_chart(lines: OutcomeLines, *, stands_alone: bool = False) -> Markup:
    """Draw an outcome; the same lines give the same text. `stands_alone` adds the colours and the namespace."""
    scale = _scale(lines)
    colour = _COLOURS.get(tone(lines.verdict), "var(--warn)")
    parts = [
        *_axes(scale, lines),
        *_judged_window(scale, lines, colour),
        _band(scale, lines),
        _line(scale, lines.after_s, lines.expected, stroke="var(--accent)", stroke_width="1.6", stroke_dasharray="5 3"),
        *_seen(scale, lines, colour),
        *_effect(scale, lines, colour),
        *_captions(lines),
    ]
    # A long title pushes what lies below it down.
    title, further = _title(lines), TITLE_LINE * (len(_title(lines)) - 1)
    heads = [
        _text(LEFT - 56, 20 + TITLE_LINE * number, words, "start", "var(--ink)", TITLE_SIZE, "600")
        for number, words in enumerate(title)
    ]
    parts = [*heads, element("g", *parts, transform=f"translate(0,{further:g})")]
    height = HEIGHT + further + LINE_HEIGHT * (len(_caption(lines)) - 1)
    if not stands_alone:
        return drawing("outcome", WIDTH, height, lines.title, parts)
    size = {"xmlns": "http://www.w3.org/2000/svg", "width": f"{WIDTH:g}", "height": f"{height:g}"}
    return drawing("outcome", WIDTH, height, lines.title, [element("style", PALETTE), *parts], **size)


def _scale(lines: OutcomeLines) -> Scale:
    every = np.concatenate([lines.seen, lines.expected, lines.low, lines.high])
    every = every[np.isfinite(every)]
    bottom, top = (float(every.min()), float(every.max())) if every.size else (0.0, 1.0)
    pad = 0.08 * (top - bottom) or 0.05 * max(abs(top), 1.0)
    moments = np.concatenate([lines.seen_s, lines.after_s, [lines.acted_s]])
    start_s = float(moments.min())
    return Scale(start_s, max(float(moments.max()), start_s + 1.0), bottom - pad, top + pad, BOX)


def _axes(scale: Scale, lines: OutcomeLines) -> Iterable[Markup]:
    for amount in np.linspace(scale.bottom, scale.top, 5)[1:-1]:
        y = scale.y(float(amount))
        yield element("line", x1=LEFT, y1=y, x2=WIDTH - RIGHT, y2=y, stroke="var(--line)")
        yield _text(LEFT - 8, y + 4, value(float(amount), lines.unit), "end", "var(--muted)")
    x, base = scale.x(lines.acted_s), HEIGHT - BOTTOM + 16
    yield element("line", x1=x, y1=TOP, x2=x, y2=HEIGHT - BOTTOM, stroke="var(--ink)", stroke_dasharray="2 3")
    act = f"action, {datetime.fromtimestamp(lines.acted_s, UTC):%Y-%m-%d %H:%M} UTC"
    before = f"{span(lines.acted_s - scale.start_s)} before"
    after = f"{span(scale.end_s - lines.acted_s)} after"
    left, right = LEFT + _width(before), WIDTH - RIGHT - _width(after)
    half = _width(act) / 2
    # Where there is no room on one side the name of the moment stands on the other one.
    anchor, begin = (
        ("end", x - 2 * half) if x + half > right else ("start", x) if x - half < left else ("middle", x - half)
    )
    yield _text(x, base, act, anchor, "var(--ink)")
    if begin > left:
        yield _text(LEFT, base, before, "start", "var(--muted)")
    if begin + 2 * half < right:
        yield _text(WIDTH - RIGHT, base, after, "end", "var(--muted)")


def _judged_window(scale: Scale, lines: OutcomeLines, colour: str) -> Iterable[Markup]:
    if 0 < lines.window_steps <= len(lines.after_s):
        left, right = scale.x(lines.acted_s), scale.x(float(lines.after_s[lines.window_steps - 1]))
        place = {"x": left, "y": TOP, "width": max(0.0, right - left), "height": HEIGHT - TOP - BOTTOM}
        yield titled("rect", "measured steps", **place, fill=colour, opacity=".07")


def _band(scale: Scale, lines: OutcomeLines) -> Markup:
    keep = [
        i for i in kept(len(lines.after_s), MOST_POINTS) if np.isfinite(lines.low[i]) and np.isfinite(lines.high[i])
    ]
    if not keep:
        return Markup()
    upper = [(scale.x(float(lines.after_s[i])), scale.y(float(lines.high[i]))) for i in keep]
    lower = [(scale.x(float(lines.after_s[i])), scale.y(float(lines.low[i]))) for i in reversed(keep)]
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in [*upper, *lower])
    return titled("polygon", "90 % interval", points=points, fill="var(--accent)", opacity=".16")


def _seen(scale: Scale, lines: OutcomeLines, colour: str) -> Iterable[Markup]:
    before = lines.seen_s <= lines.acted_s
    yield _line(scale, lines.seen_s[before], lines.seen[before], stroke="var(--ink)", stroke_width="1.3")
    joined = ~before
    if before.any():
        joined[int(np.flatnonzero(before)[-1])] = True
    yield _line(scale, lines.seen_s[joined], lines.seen[joined], stroke=colour, stroke_width="2")


def _effect(scale: Scale, lines: OutcomeLines, colour: str) -> Iterable[Markup]:
    """Draw the two means that were compared, and the change between them with its interval."""
    steps = min(lines.window_steps, len(lines.after_s))
    if not (np.isfinite(lines.estimate) and np.isfinite(lines.mean_expected) and steps > 0):
        return
    left, right = scale.x(lines.acted_s), scale.x(float(lines.after_s[steps - 1]))
    expected, actual = scale.y(lines.mean_expected), scale.y(lines.mean_expected + lines.estimate)
    for y, paint in ((expected, "var(--accent)"), (actual, colour)):
        yield element("line", x1=left, y1=y, x2=right, y2=y, stroke=paint, opacity=".7")
    middle = (left + right) / 2
    if np.isfinite(lines.effect_low) and np.isfinite(lines.effect_high):
        ends = [scale.y(lines.mean_expected + end) for end in (lines.effect_low, lines.effect_high)]
        ends_at = {"x1": middle, "y1": ends[0], "x2": middle, "y2": ends[1]}
        yield titled("line", "90 % interval", **ends_at, stroke=colour, stroke_width="5", opacity=".3")
    yield element("line", x1=middle, y1=expected, x2=middle, y2=actual, stroke=colour)
    yield element("circle", cx=middle, cy=actual, r="3.5", fill=colour)


def _captions(lines: OutcomeLines) -> Iterable[Markup]:
    yield _text(LEFT - 56, 37, "— observed", "start", "var(--ink)")
    yield _text(LEFT + 26, 37, "- - forecast without the action, 90 % interval", "start", "var(--accent)")
    for number, words in enumerate(_caption(lines)):
        yield _text(LEFT - 56, HEIGHT - 8 + LINE_HEIGHT * number, words, "start", "var(--muted)")


def _title(lines: OutcomeLines) -> list[str]:
    """Return the title in lines that fit."""
    return wrap(lines.title, int((WIDTH - LEFT + 56 - RIGHT) / TITLE_LETTER_WIDTH)) or [""]


def _caption(lines: OutcomeLines) -> list[str]:
    """Return the caption in lines that fit."""
    return wrap(lines.caption, int((WIDTH - LEFT + 56) / LETTER_WIDTH)) or [""]


def _width(words: str) -> float:
    """Return how wide words are, with a gap to the next."""
    return len(words) * LETTER_WIDTH + 8


def _line(scale: Scale, moments_s: FloatArray, amounts: FloatArray, **paint: str) -> Markup:
    commands = line(scale.x(moments_s), scale.y(amounts), MOST_POINTS)
    return element("path", fill="none", **paint, d=commands) if commands else Markup()


def _text(x: float, y: float, words: str, anchor: str, colour: str, size: int = 12, weight: str = "400") -> Markup:
    how = {"font_weight": weight, "text_anchor": anchor, "fill": colour}
    return element("text", words, x=x, y=y, font_size=size, **how)
