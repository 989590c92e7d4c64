"""Draw the rooms of the house and what each imports: `python docs/draw_rooms.py` writes docs/rooms.svg.

A house stands above those that it imports, and so do rooms within a house. An arrow that follows from others is left
out; a dashed one leads to modules that are found in their folder. Coloured rooms lie on the way of a sample, with the
numbers of its steps in docs/architecture.md. Long arrows get a place of their own in every row that they cross.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from itertools import pairwise
from pathlib import Path
from statistics import fmean

import grimp

ROOT = Path(__file__).resolve().parents[1]
PAGE, PICTURE = ROOT / "docs" / "architecture.md", ROOT / "docs" / "rooms.svg"
COLOURS = {
    "cli": ("#f5f1fd", "#7c5cc4"),
    "flows": ("#eef5fe", "#3b82d6"),
    "api": ("#ebf8f8", "#1f9a9a"),
    "tasks": ("#ecf8f0", "#2f9e5b"),
    "handlers": ("#fef7ea", "#d68a1f"),
    "storage": ("#fef0f0", "#d64545"),
}
HOUSES = tuple(COLOURS)
PLAIN, MAIN, FOUND, TEXT = "#a3adba", "#1d2733", "#7c5cc4", "#5b6675"
WIDTH, LEFT, RIGHT, TOP = 1180.0, 112.0, 16.0, 12.0
BOX, ROW_GAP, HOUSE_GAP, PADDING, ROOM_GAP, LINE_GAP = 42.0, 26.0, 14.0, 18.0, 22.0, 14.0
SWEEPS = 40
Edge = tuple[str, str]


@dataclass
class Rooms:
    """Modules by room; imports and findings as pairs of rooms; the steps of a sample in each room."""

    modules: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    imports: set[Edge] = field(default_factory=set)
    findings: set[Edge] = field(default_factory=set)
    steps: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))

    @cached_property
    def reach(self) -> dict[str, set[str]]:
        """Return the rooms that each room imports, itself or through others; ValueError where they form a circle."""
        reached: dict[str, set[str]] = {}

        def visit(room: str, above: tuple[str, ...]) -> set[str]:
            if room in above:
                raise ValueError(f"rooms import each other: {' > '.join((*above, room))}")
            if room not in reached:
                below = sorted(b for a, b in self.imports if a == room)
                reached[room] = set(below).union(*(visit(each, (*above, room)) for each in below))
            return reached[room]

        for each in sorted(self.modules):
            visit(each, ())
        return reached

    @cached_property
    def arrows(self) -> list[Edge]:
        """Return the imports that do not follow from others."""
        follows = {(a, b) for a, b in self.imports for x, c in self.imports if x == a and b in self.reach[c]}
        return sorted(self.imports - follows)

    @cached_property
    def main(self) -> list[Edge]:
        """Return the arrows between rooms on the way of a sample."""
        return [(a, b) for a, b in self.arrows if self.steps[a] and self.steps[b]]

    def rows(self, house: str) -> list[list[str]]:
        """Return the rooms of a house in rows, each above all that it imports, and that it finds, where it can be."""
        own = sorted(room for room in self.modules if house_of(room) == house)
        below = {(a, b) for a, b in self.imports | self.findings if a in own and b in own and a not in self.reach[b]}
        depth: dict[str, int] = {}

        def fathom(room: str) -> int:
            if room not in depth:
                depth[room] = 1 + max((fathom(b) for a, b in below if a == room), default=0)
            return depth[room]

        return [[room for room in own if fathom(room) == each] for each in sorted({*map(fathom, own)}, reverse=True)]


def house_of(name: str) -> str:
    """Return the house that a room or a module belongs to."""
    return re.split(r"[/ .]", name)[0]


def look() -> Rooms:
    """Read the rooms from the files as they are."""
    graph = grimp.build_graph(*HOUSES, exclude_type_checking_imports=True, cache_dir=None)
    packages = {each for each in graph.modules if graph.find_children(each)}
    found = {each: _found(each) for each in graph.modules}
    home = {}
    for each in sorted(graph.modules - set(HOUSES)):
        second = ".".join(each.split(".")[:2])
        within = {".".join(other.split(".")[:2]) for other in graph.find_upstream_modules(each) | found[each]}
        is_front = any(other in packages and house_of(other) == house_of(each) for other in within)
        side = "front" if is_front else "ground"
        home[each] = second.replace(".", "/") if second in packages else f"{house_of(each)} {side}"
    rooms = Rooms()
    for module, room in home.items():
        if module not in packages:
            rooms.modules[room].append(module)
        rooms.imports |= {
            (room, home[each]) for each in graph.find_modules_directly_imported_by(module) if each in home
        }
        rooms.findings |= {(room, home[each]) for each in found[module]}
    rooms.imports = {(a, b) for a, b in rooms.imports if a != b}
    rooms.findings = {(a, b) for a, b in rooms.findings if a != b}
    for number, modules in enumerate(steps(), 1):
        for each in modules:
            rooms.steps[home[each]].add(number)
    return rooms


def _found(module: str) -> set[str]:
    """Return the packages whose modules a module finds by `modules_of`."""
    path = ROOT / module.replace(".", "/")
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    calls = [each for each in ast.walk(ast.parse(path.read_text())) if isinstance(each, ast.Call)]
    named = [each.args[0] for each in calls if ast.unparse(each.func) == "modules_of"]
    return {str(each.value) for each in named if isinstance(each, ast.Constant)}


def steps() -> list[list[str]]:
    """Return the modules of each step of a sample: the files that the numbered lines of the page name."""
    lines = re.findall(r"^\d+\. .*", PAGE.read_text(), flags=re.MULTILINE)
    return [[each.replace("/", ".") for each in re.findall(r"`([\w/]+)\.py`", line)] for line in lines]


@dataclass
class Drawing:
    """Rows of rooms and of places that long arrows cross; where each lies; from where to where a house goes down."""

    rooms: Rooms
    rows: list[list[str]]
    tracks: dict[Edge, list[str]]
    x: dict[str, float] = field(default_factory=dict)
    y: dict[str, float] = field(default_factory=dict)
    houses: dict[str, tuple[float, float]] = field(default_factory=dict)

    @cached_property
    def near(self) -> dict[str, list[str]]:
        """Return what each room and each crossing is joined to."""
        joined: dict[str, list[str]] = defaultdict(list)
        for track in self.tracks.values():
            for a, b in pairwise(track):
                joined[a].append(b)
                joined[b].append(a)
        return joined

    def width(self, node: str) -> float:
        """Return the width that a box, or an arrow that passes, takes."""
        return max(84.0, 7.6 * len(title(self.rooms, node)) + 24) if node in self.rooms.modules else 0.0

    def settle(self) -> None:
        """Find an order and places with short arrows: every node wishes to lie amid what it is joined to."""
        for row in self.rows:
            self._spread(row, dict.fromkeys(row, WIDTH / 2))
        for sweep in range(SWEEPS):
            for row in self.rows if sweep % 2 else self.rows[::-1]:
                wish = {node: fmean(self.x[each] for each in self.near[node] or [node]) for node in row}
                if sweep < SWEEPS // 2:
                    row.sort(key=lambda node: (wish[node], node))
                self._spread(row, wish)

    def _spread(self, row: list[str], wish: dict[str, float]) -> None:
        """Place a row as near to its wishes as its order and its gaps allow (pool adjacent violators)."""
        offsets, at = [], 0.0
        for left, node in zip([None, *row], row, strict=False):
            at += self._gap(left, node) if left else 0.0
            offsets.append(at)
        pools: list[list[float]] = []
        for node, offset in zip(row, offsets, strict=True):
            pools.append([wish[node] - offset])
            while len(pools) > 1 and fmean(pools[-2]) > fmean(pools[-1]):
                pools[-2:] = [pools[-2] + pools[-1]]
        spots = [fmean(pool) for pool in pools for _ in pool]
        first, last = self.width(row[0]) / 2, self.width(row[-1]) / 2
        low, high = LEFT + PADDING + first, WIDTH - RIGHT - PADDING - last - offsets[-1]
        self.x |= {n: min(max(spot, low), high) + o for n, spot, o in zip(row, spots, offsets, strict=True)}

    def _gap(self, left: str, right: str) -> float:
        both = self.width(left) / 2 + self.width(right) / 2
        return both + (ROOM_GAP if self.width(left) and self.width(right) else LINE_GAP)


def arrange(rooms: Rooms) -> Drawing:
    """Return where everything lies."""
    by_house = {house: rooms.rows(house) for house in HOUSES}
    rows = [list(row) for house in HOUSES for row in by_house[house]]
    level = {room: at for at, row in enumerate(rows) for room in row}
    tracks = {}
    for a, b in [*rooms.arrows, *sorted(rooms.findings)]:
        step = 1 if level[b] > level[a] else -1
        crossed = [(f"{a}>{b}@{at}", at) for at in range(level[a] + step, level[b], step)]
        tracks[a, b] = [a, *(node for node, _ in crossed), b]
        for node, at in crossed:
            rows[at].append(node)
    drawing = Drawing(rooms, rows, tracks)
    top, at = TOP, 0
    for house in HOUSES:
        y = top + PADDING
        for row in rows[at : at + len(by_house[house])]:
            drawing.y |= dict.fromkeys(row, y + BOX / 2)
            y += BOX + ROW_GAP
        at += len(by_house[house])
        drawing.houses[house] = (top, y - ROW_GAP + PADDING)
        top = y - ROW_GAP + PADDING + HOUSE_GAP
    drawing.settle()
    return drawing


def draw(rooms: Rooms) -> str:
    """Return the picture as SVG."""
    drawing = arrange(rooms)
    height = max(end for _, end in drawing.houses.values()) + TOP
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" font-family="system-ui, sans-serif"',
        f'viewBox="0 0 {WIDTH:g} {height:g}">',
        "<title>The rooms of foreact, each above what it imports</title>",
        f"<defs>{_tip(PLAIN)}{_tip(MAIN)}{_tip(FOUND)}</defs>",
        f'<rect width="{WIDTH:g}" height="{height:g}" fill="#fff"/>',
        *(_house(house, *span) for house, span in drawing.houses.items()),
        *(_arrow(drawing, edge, PLAIN, 1.2) for edge in rooms.arrows if edge not in rooms.main),
        *(_arrow(drawing, edge, FOUND, 1.4, ' stroke-dasharray="5 4"') for edge in sorted(rooms.findings)),
        *(_arrow(drawing, edge, MAIN, 2.2) for edge in rooms.main),
        *(_box(drawing, room) for room in sorted(rooms.modules)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def title(rooms: Rooms, room: str) -> str:
    """Return the name of a room; for modules that lie in the house itself, the names of the first few."""
    names = [each.rpartition(".")[2] for each in rooms.modules[room]]
    return room.partition("/")[2] or ", ".join(names[:4]) + (" …" if len(names) > 4 else "")


def _tip(colour: str) -> str:
    shape = f'<path d="M0 0 10 5 0 10z" fill="{colour}"/>'
    size = 'viewBox="0 0 10 10" refX="9" refY="5" markerWidth="9" markerHeight="9" markerUnits="userSpaceOnUse"'
    return f'<marker id="tip-{colour[1:]}" {size} orient="auto">{shape}</marker>'


def _house(house: str, start: float, end: float) -> str:
    fill, line = COLOURS[house]
    place = f'x="{RIGHT:g}" y="{start:g}" width="{WIDTH - 2 * RIGHT:g}" height="{end - start:g}"'
    name = f'<text x="34" y="{(start + end) / 2 + 6:g}" font-size="17" font-weight="700" fill="{line}">{house}</text>'
    return f'<rect {place} rx="12" fill="{fill}"/>{name}'


def _arrow(drawing: Drawing, edge: Edge, colour: str, width: float, dash: str = "") -> str:
    """Draw a smooth line through all places of an arrow, from box to box."""
    track = drawing.tracks[edge]
    down = 1 if drawing.y[track[-1]] > drawing.y[track[0]] else -1
    aside = 0 if down == 1 else 12
    commands = [f"M{drawing.x[track[0]] + aside:.0f} {drawing.y[track[0]] + down * BOX / 2:.0f}"]
    for a, b in pairwise(track):
        x1, x2 = drawing.x[a] + aside, drawing.x[b] + aside
        y1, y2 = drawing.y[a] + down * BOX / 2, drawing.y[b] - down * BOX / 2
        half = (y2 - y1) * 0.6
        commands.append(f"C{x1:.0f} {y1 + half:.0f} {x2:.0f} {y2 - half:.0f} {x2:.0f} {y2:.0f}")
        if b != track[-1]:
            commands.append(f"V{y2 + down * BOX:.0f}")
    shape = f'fill="none" stroke="{colour}" stroke-width="{width:g}"{dash} marker-end="url(#tip-{colour[1:]})"'
    return f'<path d="{"".join(commands)}" {shape}/>'


def _box(drawing: Drawing, room: str) -> str:
    x, y, width = drawing.x[room], drawing.y[room], drawing.width(room)
    names = [each.rpartition(".")[2] for each in drawing.rooms.modules[room]]
    numbers = sorted(drawing.rooms.steps[room])
    count = f"{len(names)} module" + ("s" if len(names) != 1 else "")
    line = COLOURS[house_of(room)][1]
    paper, ink, grey = (line, "#fff", "#fff") if numbers else ("#fff", MAIN, TEXT)
    frame = f'fill="{paper}" stroke="{line}" stroke-width="1.2"'
    place = f'x="{x - width / 2:.0f}" y="{y - BOX / 2:.0f}" width="{width:.0f}" height="{BOX:g}"'
    name = escape(title(drawing.rooms, room))
    middle = f'x="{x:.0f}" text-anchor="middle"'
    badges = (_badge(x - width / 2 + 2 + 19 * at, y - BOX / 2 + 1, number) for at, number in enumerate(numbers))
    return (
        f'<g><title>{escape(", ".join(names))}</title><rect {place} rx="8" {frame}/>'
        f'<text {middle} y="{y - 1:.0f}" font-size="13" font-weight="600" fill="{ink}">{name}</text>'
        f'<text {middle} y="{y + 14:.0f}" font-size="11" fill="{grey}">{count}</text>{"".join(badges)}</g>'
    )


def _badge(x: float, y: float, number: int) -> str:
    place = f'x="{x:.0f}" y="{y + 4:.0f}" text-anchor="middle"'
    text = f'<text {place} font-size="11" font-weight="700" fill="#fff">{number}</text>'
    return f'<circle cx="{x:.0f}" cy="{y:.0f}" r="9" fill="{MAIN}" stroke="#fff"/>{text}'


if __name__ == "__main__":
    PICTURE.write_text(draw(look()))
