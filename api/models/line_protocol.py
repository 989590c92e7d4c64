"""InfluxDB line protocol: https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from fractions import Fraction
from typing import Any

from api.models.points import Key, Points, Pushed, key_of
from storage.errors import ForeactError

TO_US = {
    "ns": Fraction(1, 1_000),
    "us": Fraction(1),
    "ms": Fraction(1_000),
    "s": Fraction(1_000_000),
    "m": Fraction(60_000_000),
    "h": Fraction(3_600_000_000),
}
"""Microseconds in a unit of a line's time."""
ALSO = {"n": "ns", "u": "us", "": "ns"}
VALUE = "value"
MOST_TOLD_CHARS = 60
MOST_BREAKS = 20


def read_line_protocol(body: bytes, precision: str = "ns") -> Pushed:
    """Return the points of all lines: a metric for each field that is a number, named `measurement_field`.

    A field named `value` gives its measurement's name to the metric. Text is left out; true is 1. Raises
    `precision_unknown`, and `text_invalid` for what is not UTF-8.
    """
    unit = ALSO.get(precision, precision)
    if unit not in TO_US:
        detail = f"There is no precision {precision:.20}. Nothing was recorded."
        raise ForeactError("precision_unknown", detail, f"Use {', '.join(TO_US)}.")
    try:
        text = body.decode()
    except UnicodeDecodeError as trouble:
        detail = f"The body is not UTF-8 text: {trouble.reason} at byte {trouble.start}. Nothing was recorded."
        raise ForeactError("text_invalid", detail, "Send line protocol as text.") from None
    return _points(text, TO_US[unit])


def _points(text: str, to_us: Fraction) -> Iterator[tuple[Key, Points | str]]:
    lines = text.split("\n")
    place = 0
    while place < len(lines):
        parsed, count = _parsed(lines, place)
        if isinstance(parsed, str):
            yield key_of(lines[place][:MOST_TOLD_CHARS], ()), f"the line cannot be read: {parsed}"
        elif parsed is not None:
            yield from _of_line(parsed, to_us)
        place += count


def _parsed(lines: Sequence[str], place: int) -> tuple[dict[str, Any] | str | None, int]:
    """Return what a line says (None: nothing, as a comment), or what is wrong with it, and how many lines it takes.

    A line break between quotes is part of a field's text.
    """
    from line_protocol_parser import LineFormatError, parse_line

    line = lines[place].rstrip("\r")
    if not line.strip():
        return None, 1
    try:
        return parse_line(line), 1
    except (LineFormatError, ValueError, OverflowError, UnicodeError) as trouble:
        why = str(trouble).rstrip(".")
    for count in range(2, MOST_BREAKS + 2) if _is_open(line) else ():
        line = "\n".join(lines[place : place + count])
        if not _is_open(line):
            with suppress(LineFormatError, ValueError, OverflowError, UnicodeError):
                return parse_line(line), count
            break
    return why, 1


def _of_line(parsed: Mapping[str, Any], to_us: Fraction) -> Iterator[tuple[Key, Points]]:
    moment_us = None if parsed["time"] is None else int(parsed["time"] * to_us)
    for field, value in parsed["fields"].items():
        if isinstance(value, int | float):
            name = parsed["measurement"] if field == VALUE else f"{parsed['measurement']}_{field}"
            yield key_of(name, parsed["tags"].items()), [(moment_us, float(value))]


def _is_open(line: str) -> bool:
    """Tell whether a line ends inside a text between quotes."""
    return (line.count('"') - line.count('\\"')) % 2 == 1
