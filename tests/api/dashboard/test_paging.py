"""Long lists are cut, and an address leads back to what it names."""

from __future__ import annotations

from urllib.parse import parse_qs, unquote, urlsplit

from hypothesis import given
from hypothesis import strategies as st

from api.dashboard.paging import ROWS_A_PAGE, cut, series_href


@given(st.integers(0, 500), st.text(max_size=20))
def test_the_pages_of_a_list_hold_each_row_once(count: int, text: str) -> None:
    rows, seen = list(range(count)), list[int]()
    for number in range(1, cut(rows, 1, "/goals").last + 1):
        page = cut(rows, number, "/goals", (("q", text),))
        assert len(page.rows) <= ROWS_A_PAGE
        seen += page.rows
        asked = parse_qs(urlsplit(page.href(number)).query, keep_blank_values=True)
        assert asked == {"page": [str(number)], **({"q": [text]} if text else {})}
    assert seen == rows


@given(st.text(min_size=1, max_size=40))
def test_the_address_of_a_series_is_one_part_of_a_path_and_names_it(series: str) -> None:
    _, _, part = series_href(series).partition("/series/")
    assert not set(part) & set("/?#\"'<> ")
    assert unquote(part) == series
