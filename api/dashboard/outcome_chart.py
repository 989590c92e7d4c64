"""The picture of an outcome as SVG: what was, what was expected, what came, and what the act changed.

It takes its colours from the page's variables; on its own it brings them along. Drawn by hand: a plotting library would
cost the facade more memory than all else it does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape

import numpy as np
from markupsafe import Markup

from api.dashboard.drawing import Box, Scale, kept, line
from api.dashboard.formatting import tone, value
from storage.records import FloatArray
from tasks.text import span

WIDTH, HEIGHT = 640.0, 300.0
LEFT, RIGHT, TOP, BOTTOM = 70.0, 14.0, 46.0, 44.0
BOX = Box(LEFT, WIDTH - RIGHT, TOP, HEIGHT - BOTTOM)
MOST_POINTS = 240
PALETTE = (
    "svg{--ink:#18202c;--muted:#5f6b7c;--line:#e2e6ec;--accent:#3157d5;--good:#167a4a;--bad:#c4262e;--warn:#a85b00;"
    "background:#fff;font-family:system-ui,sans-serif}"
    "@media(prefers-color-scheme:dark){svg{--ink:#e5e9f0;--muted:#93a0b2;--line:#28303b;--accent:#88a5ff;--good:#4cc38a;"
    "--bad:#ff6b70;--warn:#f0a93b;background:#161b22}}"
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
        _line(scale, lines.after_s, lines.expected, 'stroke="var(--accent)" stroke-width="1.6" stroke-dasharray="5 3"'),
        *_seen(scale, lines, colour),
        *_effect(scale, lines, colour),
        *_words(lines),
    ]
    head = f'<svg class="outcome" viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="img" aria-label="{escape(lines.title)}"'
    if stands_alone:
        head += f' xmlns="http://www.w3.org/2000/svg" width="{WIDTH:g}" height="{HEIGHT:g}"><style>{PALETTE}</style>'
    else:
        head += ">"
    return Markup(head + "".join(parts) + "</svg>")


def _scale(lines: OutcomeLines) -> Scale:
    every = np.concatenate([lines.seen, lines.expected, lines.low, lines.high])
    every = every[np.isfinite(every)]
    bottom, top = (float(every.min()), float(every.max())) if every.size else (0.0, 1.0)
    pad = 0.08 * (top - bottom) or 0.05 * max(abs(top), 1.0)
    moments = np.concatenate([lines.seen_s, lines.after_s, [lines.acted_s]])
    start_s = float(moments.min())
    return Scale(start_s, max(float(moments.max()), start_s + 1.0), bottom - pad, top + pad, BOX)


def _axes(scale: Scale, lines: OutcomeLines) -> Iterable[str]:
    for amount in np.linspace(scale.bottom, scale.top, 5)[1:-1]:
        y = scale.y(float(amount))
        yield f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="var(--line)"/>'
        yield _text(LEFT - 8, y + 4, value(float(amount), lines.unit), "end", "var(--muted)")
    x, base = scale.x(lines.acted_s), HEIGHT - BOTTOM + 16
    place = f'x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{HEIGHT - BOTTOM}"'
    yield f'<line {place} stroke="var(--ink)" stroke-dasharray="2 3"/>'
    yield _text(
        x, base, f"action, {datetime.fromtimestamp(lines.acted_s, UTC):%d %b %H:%M} UTC", "middle", "var(--ink)"
    )
    if lines.acted_s - scale.start_s > 0.25 * (scale.end_s - scale.start_s):
        yield _text(LEFT, base, f"{span(lines.acted_s - scale.start_s)} before", "start", "var(--muted)")
    if scale.end_s - lines.acted_s > 0.25 * (scale.end_s - scale.start_s):
        yield _text(WIDTH - RIGHT, base, f"{span(scale.end_s - lines.acted_s)} after", "end", "var(--muted)")


def _judged_window(scale: Scale, lines: OutcomeLines, colour: str) -> Iterable[str]:
    if 0 < lines.window_steps <= len(lines.after_s):
        left, right = scale.x(lines.acted_s), scale.x(float(lines.after_s[lines.window_steps - 1]))
        place = f'x="{left:.1f}" y="{TOP}" width="{max(0.0, right - left):.1f}" height="{HEIGHT - TOP - BOTTOM:g}"'
        yield f'<rect {place} fill="{colour}" opacity=".07"><title>measured steps</title></rect>'


def _band(scale: Scale, lines: OutcomeLines) -> str:
    keep = [
        i for i in kept(len(lines.after_s), MOST_POINTS) if np.isfinite(lines.low[i]) and np.isfinite(lines.high[i])
    ]
    if not keep:
        return ""
    upper = [(scale.x(float(lines.after_s[i])), scale.y(float(lines.high[i]))) for i in keep]
    lower = [(scale.x(float(lines.after_s[i])), scale.y(float(lines.low[i]))) for i in reversed(keep)]
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in [*upper, *lower])
    return f'<polygon points="{points}" fill="var(--accent)" opacity=".16"><title>90 % interval</title></polygon>'


def _seen(scale: Scale, lines: OutcomeLines, colour: str) -> Iterable[str]:
    before = lines.seen_s <= lines.acted_s
    yield _line(scale, lines.seen_s[before], lines.seen[before], 'stroke="var(--ink)" stroke-width="1.3"')
    joined = ~before
    if before.any():
        joined[int(np.flatnonzero(before)[-1])] = True
    yield _line(scale, lines.seen_s[joined], lines.seen[joined], f'stroke="{colour}" stroke-width="2"')


def _effect(scale: Scale, lines: OutcomeLines, colour: str) -> Iterable[str]:
    """Draw the two means that were compared, and the change between them with its interval."""
    steps = min(lines.window_steps, len(lines.after_s))
    if not (np.isfinite(lines.estimate) and np.isfinite(lines.mean_expected) and steps > 0):
        return
    left, right = scale.x(lines.acted_s), scale.x(float(lines.after_s[steps - 1]))
    expected, actual = scale.y(lines.mean_expected), scale.y(lines.mean_expected + lines.estimate)
    for y, paint in ((expected, "var(--accent)"), (actual, colour)):
        yield f'<line x1="{left:.1f}" y1="{y:.1f}" x2="{right:.1f}" y2="{y:.1f}" stroke="{paint}" opacity=".7"/>'
    middle = (left + right) / 2
    if np.isfinite(lines.effect_low) and np.isfinite(lines.effect_high):
        ends = [scale.y(lines.mean_expected + end) for end in (lines.effect_low, lines.effect_high)]
        ends_at = f'x1="{middle:.1f}" y1="{ends[0]:.1f}" x2="{middle:.1f}" y2="{ends[1]:.1f}"'
        yield f'<line {ends_at} stroke="{colour}" stroke-width="5" opacity=".3"><title>90 % interval</title></line>'
    yield f'<line x1="{middle:.1f}" y1="{expected:.1f}" x2="{middle:.1f}" y2="{actual:.1f}" stroke="{colour}"/>'
    yield f'<circle cx="{middle:.1f}" cy="{actual:.1f}" r="3.5" fill="{colour}"/>'


def _words(lines: OutcomeLines) -> Iterable[str]:
    yield _text(LEFT - 56, 20, lines.title, "start", "var(--ink)", 15, "600")
    yield _text(LEFT - 56, 37, "— observed", "start", "var(--ink)")
    yield _text(LEFT + 26, 37, "- - forecast without the action, 90 % interval", "start", "var(--accent)")
    yield _text(LEFT - 56, HEIGHT - 8, lines.caption, "start", "var(--muted)")


def _line(scale: Scale, moments_s: FloatArray, amounts: FloatArray, paint: str) -> str:
    commands = line(scale.x(moments_s), scale.y(amounts), MOST_POINTS)
    return f'<path fill="none" {paint} d="{commands}"/>' if commands else ""


def _text(x: float, y: float, words: str, anchor: str, colour: str, size: float = 12, weight: str = "400") -> str:
    how = f'font-size="{size:g}" font-weight="{weight}" text-anchor="{anchor}" fill="{colour}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {how}>{escape(words)}</text>'
