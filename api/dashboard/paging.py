"""Long lists, a page at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import quote, urlencode

T = TypeVar("T")
ROWS_A_PAGE = 50


@dataclass(frozen=True)
class PageOfRows(Generic[T]):
    """Some rows of a list, the number of all of them, and the address of the list with what was asked of it."""

    rows: Sequence[T]
    total: int
    number: int
    address: str
    asked: tuple[tuple[str, str], ...] = ()

    @property
    def last(self) -> int:
        """Return the number of the last page; 1 of an empty list."""
        return max(1, -(-self.total // ROWS_A_PAGE))

    def href(self, number: int) -> str:
        """Return the address of another page of the list."""
        return f"{self.address}?{urlencode([each for each in self.asked if each[1]] + [('page', str(number))])}"


def offset_of(number: int) -> int:
    """Return how many rows come before a page; pages are counted from 1."""
    return (max(1, number) - 1) * ROWS_A_PAGE


def cut(rows: Sequence[T], number: int, address: str, asked: tuple[tuple[str, str], ...] = ()) -> PageOfRows[T]:
    """Return one page of rows that are all there."""
    first = offset_of(number)
    return PageOfRows(rows[first : first + ROWS_A_PAGE], len(rows), max(1, number), address, asked)


def found(
    read: Callable[[str, int, int], tuple[Sequence[T], int]],
    text: str,
    number: int,
    address: str,
    most: int = ROWS_A_PAGE,
) -> PageOfRows[T]:
    """Return a page of what a table reads for a text: `most` rows from an offset on, and how many there are in all."""
    rows, total = read(text.strip(), most, offset_of(number))
    return PageOfRows(rows, total, number, address, (("q", text),))


def series_href(series: str) -> str:
    """Return the address of the page of a series; whatever its labels hold, it is one part of a path."""
    return f"/series/{quote(series, safe='')}"
