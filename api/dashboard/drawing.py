"""What every chart draws with: elements, a scale, a line that breaks where values are missing, round steps, colours."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup, escape

from storage.records import FloatArray

STATIC = Path(__file__).parent / "static"
REACH = 0.05
"""How far beyond the values' edges a line may run, as a share of their height."""


@dataclass(frozen=True)
class Box:
    """Where the values lie in a drawing: its edges, in the drawing's own units, from its upper left corner."""

    left: float
    right: float
    top: float
    bottom: float


@dataclass(frozen=True)
class Scale:
    """From data to the coordinates of a drawing: moments in epoch seconds, values from `bottom` to `top`."""

    start_s: float
    end_s: float
    bottom: float
    top: float
    box: Box

    def x(self, moments_s: FloatArray | float) -> Any:
        """Return where moments lie, a number or an array as given; what is outside lies at the edge."""
        share = (np.asarray(moments_s, dtype=float) - self.start_s) / (self.end_s - self.start_s)
        return self.box.left + np.clip(share, 0, 1) * (self.box.right - self.box.left)

    def y(self, values: FloatArray | float) -> Any:
        """Return how high values lie, a number or an array as given; what is far outside lies beside the edge."""
        share = (np.asarray(values, dtype=float) - self.bottom) / (self.top - self.bottom)
        return self.box.bottom - np.clip(share, -REACH, 1 + REACH) * (self.box.bottom - self.box.top)


def element(tag: str, /, *children: Markup | str, **attributes: str | float) -> Markup:
    """Return an SVG element: the one place where drawings become markup, so that nothing in them is left unescaped.

    A text among the children and all attributes are escaped; `class_` and `stroke_width` are `class` and
    `stroke-width`, and coordinates are written to a tenth.
    """
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{value:.1f}"'
        if isinstance(value, float)
        else f' {name.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for name, value in attributes.items()
    )
    if not children:
        return Markup(f"<{tag}{written}/>")
    return Markup(f"<{tag}{written}>{''.join(map(escape, children))}</{tag}>")


def titled(tag: str, /, title: str, **attributes: str | float) -> Markup:
    """Return an element that tells a title under the pointer."""
    return element(tag, element("title", title), **attributes)


def drawing(class_: str, width: float, height: float, label: str, parts: Iterable[Markup], /, **further: str) -> Markup:
    """Return a whole drawing of a size, and what it is for those who do not see it."""
    head = {"class_": class_, "viewBox": f"0 0 {width:g} {height:g}", "role": "img", "aria_label": label, **further}
    return element("svg", *parts, **head)


def picture(width: float, height: float, label: str, style: str, parts: Iterable[Markup]) -> Markup:
    """Return a drawing that stands alone: it has its own size and style, and loads nothing."""
    size = {"width": f"{width:g}", "height": f"{height:g}", "xmlns": "http://www.w3.org/2000/svg"}
    back = element("rect", width=width, height=height, fill="var(--card)")
    return drawing("picture", width, height, label, [element("style", style), back, *parts], **size)


def colours() -> str:
    """Return the colours of the pages for what stands alone: dark where whoever looks at it prefers that."""
    light, dark = re.findall(r":root\S* ({.*?\n})", (STATIC / "foreact.css").read_text(), re.DOTALL)[:2]
    return f":root {light}\n@media (prefers-color-scheme: dark) {{ :root {dark} }}\n"


def style_of_pages(*further: str) -> str:
    """Return the style of the pages, with further sheets, for what stands alone."""
    return "".join([*((STATIC / name).read_text() for name in ("foreact.css", *further)), colours()])


def line(x: FloatArray, y: FloatArray, most: int) -> str:
    """Return the commands of a path that breaks where y is missing; empty where all of it is."""
    commands, is_pen_down, keep = [], False, kept(len(x), most)
    for across, up in zip(x[keep].tolist(), y[keep].tolist(), strict=True):
        if not math.isfinite(up):
            is_pen_down = False
            continue
        commands.append(f"{'L' if is_pen_down else 'M'}{across:.1f},{up:.1f}")
        is_pen_down = True
    return " ".join(commands)


def kept(count: int, most: int) -> list[int]:
    """Return the indices to draw: all of a short line, evenly spread ones of a long one, the last always."""
    if count <= most:
        return list(range(count))
    spread: list[int] = np.linspace(0, count - 1, most).round().astype(int).tolist()
    return spread


def nice_step(rough: float) -> float:
    """Return the round number nearest to a step."""
    size = 10.0 ** np.floor(np.log10(rough))
    return float(min((m * size for m in (1, 2, 2.5, 5, 10)), key=lambda each: abs(each - rough)))
