"""The demo as one picture: the same fortnight run in each way, one above the other. SVG that loads nothing."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from api.dashboard.drawing import Box, Scale, colours, element, line, picture
from flows.demo import DemoReport, Way
from storage.records import FloatArray

LEFT = 16.0
MOST_MS = 380.0
MEAN_OF_STEPS = 4
"""Twenty minutes to a point: finer is not seen."""
STYLE = """
text{font:14px system-ui,sans-serif;fill:var(--muted)}text.title{font-size:20px;font-weight:650;fill:var(--ink)}
text.name{font-size:15px;font-weight:600;fill:var(--ink)}text.big{font-size:30px;font-weight:700;fill:var(--bad)}
text.big.good{fill:var(--good)}text.small{font-size:12px}.bound{stroke:var(--bad);stroke-dasharray:5 4}
.grid{stroke:var(--line)}.value{fill:none;stroke:var(--ink);stroke-width:1.2;stroke-linejoin:round}
.late{fill:var(--bad);opacity:.8}.act{stroke:var(--accent);stroke-width:2}
"""


@dataclass(frozen=True)
class PictureSize:
    """Sizes of a picture: a curve ends at `right`, `row` high; its figures stand beside it, or above it if narrow."""

    width: float
    right: float
    row: float
    head: float
    letters: int
    is_narrow: bool = False


WIDE = PictureSize(width=1000.0, right=770.0, row=118.0, head=0.0, letters=140)
NARROW = PictureSize(width=400.0, right=384.0, row=90.0, head=68.0, letters=52, is_narrow=True)
"""For the screen of a phone."""
GAP, LINE = 26.0, 20.0


def draw(report: DemoReport, frame: PictureSize = WIDE) -> str:
    """Return the picture as an SVG document that reads in light and in dark."""
    days = (report.foreact.times[-1] - report.foreact.times[0]).days + 1
    words = (f"The same {days} days of a web shop", "how long answers took")
    title = (": ".join(words),) if not frame.is_narrow else words
    key = textwrap.wrap(_key(report.foreact.bound), frame.letters)
    parts = [element("text", text, class_="title", x=LEFT, y=30.0 + 24.0 * at) for at, text in enumerate(title)]
    below = 30.0 + 24.0 * (len(title) - 1)
    parts += [element("text", text, class_="small", x=LEFT, y=below + 22.0 + 16.0 * at) for at, text in enumerate(key)]
    top = below + 18.0 + 16.0 * len(key)
    weeks = report.weeks()
    for way in report.ways:
        by_week = [way.late_minutes_between(*week) for week in weeks]
        is_good = by_week[-1] < report.nothing.late_minutes_between(*weeks[-1]) / 2
        parts += [*_curve(way, frame, top + frame.head), *_figures(way, frame, top, by_week, is_good)]
        top += frame.head + frame.row + GAP
    said = [each for sentence in sentences(report) for each in textwrap.wrap(sentence, frame.letters)]
    parts += [element("text", text, x=LEFT, y=top + 16.0 + LINE * at) for at, text in enumerate(said)]
    label = "; ".join(f"{way.name}: {way.late_minutes:,.0f} late minutes" for way in report.ways)
    return f"{picture(frame.width, top + 6.0 + LINE * len(said), label, colours() + STYLE, parts)}\n"


def _key(bound: float) -> str:
    return f"red: later than the objective of {bound:g} ms allows; blue: something was done"


def sentences(report: DemoReport) -> Sequence[str]:
    """Return what each side knew, and what the loop found out, a sentence each."""
    return (
        "The rule was told that more workers help, and waits until answers are late.",
        "foreact was told neither. Now and then it does nothing on purpose, to know what happens anyway.",
        learned(report),
    )


def learned(report: DemoReport) -> str:
    """Say which actions were tried how often, and how often each improved something."""
    counts: dict[str, list[str]] = {}
    for outcome in report.simulation.outcomes:
        if outcome.role == "target" and outcome.action in {name for _, name in report.foreact.acts}:
            counts.setdefault(outcome.action, []).append(str(outcome.verdict))
    ranked = sorted(counts.items(), key=lambda each: -each[1].count("improved"))
    tried = [f"{name} helped in {seen.count('improved')} of {len(seen)} tries" for name, seen in ranked]
    return f"What it found out: {', '.join(tried)}." if tried else "Nothing was measured yet."


def _figures(way: Way, frame: PictureSize, top: float, by_week: Sequence[float], is_good: bool) -> list[Markup]:
    """Write what a way came to: beside its curve, or above it with the number at the end of the line."""
    tone = "big good" if is_good else "big"
    words = (*_late(by_week), f"{_several(len(way.acts), 'act')}, cost {way.cost:,.0f}")
    left, first = (LEFT, top + 16.0) if frame.is_narrow else (frame.right + 20.0, top + 30.0)
    number = {"x": frame.right, "text_anchor": "end"} if frame.is_narrow else {"x": left}
    below = first + 17.0 if frame.is_narrow else first + 49.0
    return [
        element("text", way.name, class_="name", x=left, y=first),
        element("text", f"{by_week[-1]:,.0f}", class_=tone, **number, y=first + (10.0 if frame.is_narrow else 30.0)),
        *(element("text", text, class_="small", x=left, y=below + 17.0 * at) for at, text in enumerate(words)),
    ]


def _curve(way: Way, frame: PictureSize, top: float) -> list[Markup]:
    right, row = frame.right, frame.row
    times_s = np.array([each.timestamp() for each in way.times])
    scale = Scale(times_s[0], times_s[-1], 0.0, MOST_MS, Box(LEFT, right, top, top + row))
    count = len(times_s) // MEAN_OF_STEPS * MEAN_OF_STEPS
    middles = times_s[:count].reshape(-1, MEAN_OF_STEPS).mean(axis=1)
    means = way.response_ms[:count].reshape(-1, MEAN_OF_STEPS).mean(axis=1)
    x, y, bound_y = scale.x(middles), scale.y(means), float(scale.y(way.bound))
    acts = [float(scale.x(at.timestamp())) for at, _ in way.acts]
    return [
        element("line", class_="grid", x1=LEFT, x2=right, y1=top + row, y2=top + row),
        element("path", class_="value", d=line(x, y, len(x))),
        element("path", class_="late", d=_above(x, np.asarray(y), bound_y)),
        element("line", class_="bound", x1=LEFT, x2=right, y1=bound_y, y2=bound_y),
        *(element("line", class_="act", x1=at, x2=at, y1=top + row, y2=top + row + 7.0) for at in acts),
    ]


def _late(by_week: Sequence[float]) -> Sequence[str]:
    """Say what the figure above it counts: what came after the first week, in which foreact still had to learn."""
    if len(by_week) == 1:
        return ("late minutes",)
    return "late minutes after the first week", f"{by_week[0]:,.0f} in it, {sum(by_week):,.0f} in all"


def _several(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _above(x: FloatArray, y: FloatArray, bound_y: float) -> str:
    """Return the area between a line and the bound below it, as a path; y grows downward."""
    upper = " ".join(f"L{across:.1f},{min(up, bound_y):.1f}" for across, up in zip(x.tolist(), y.tolist(), strict=True))
    return f"M{x[0]:.1f},{bound_y:.1f} {upper} L{x[-1]:.1f},{bound_y:.1f}Z"
