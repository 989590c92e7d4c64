"""A chart of letters shows what it is given, whatever that is, and fits where it is to stand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.terminal_chart import PLAIN, UNICODE, BoundLine, Glyphs, Picture, draw, far_bounds, glyphs_for

VALUE = st.floats(-1e9, 1e9, allow_nan=False).map(lambda value: round(value, 3))


@st.composite
def pictures(draw_from: st.DrawFn) -> Picture:
    past = draw_from(st.lists(VALUE | st.just(float("nan")), max_size=30))
    ahead = draw_from(st.lists(st.tuples(VALUE, VALUE, VALUE), min_size=1, max_size=30))
    low, median, high = np.sort(np.array(ahead), axis=1).T
    bounds = draw_from(st.lists(VALUE, max_size=2))
    return Picture(
        history_s=np.arange(-len(past), 0) * 60.0,
        history=np.array(past, dtype=float),
        now_s=0.0,
        ahead_s=np.arange(1, len(ahead) + 1) * 60.0,
        median=median,
        low=low,
        high=high,
        bounds=[BoundLine(str(number), bound) for number, bound in enumerate(bounds)],
    )


@given(pictures(), st.integers(30, 200), st.integers(4, 40), st.sampled_from([UNICODE, PLAIN]))
def test_every_picture_fits_its_place_and_shows_now_and_the_median(
    picture: Picture, width: int, height: int, glyphs: Glyphs
) -> None:
    lines = draw(picture, width, height, glyphs)
    assert len(lines) == height
    assert max(map(len, lines)) <= width
    assert any(glyphs.median in line for line in lines)
    assert any(glyphs.now in line for line in lines)
    labels = {line.index(glyphs.axis) for line in lines}
    assert len(labels) == 1


def a_picture(**changes: object) -> Picture:
    ahead = np.linspace(0.5, 0.95, 20)
    fields = {
        "history_s": np.arange(-20, 0) * 60.0,
        "history": np.full(20, 0.5),
        "now_s": 0.0,
        "ahead_s": np.arange(1, 21) * 60.0,
        "median": ahead,
        "low": ahead - 0.1,
        "high": ahead + 0.1,
        "bounds": [BoundLine("cpu", 0.9)],
    }
    return Picture(**{**fields, **changes})  # type: ignore[arg-type]


def test_history_lies_before_now_and_the_interval_around_the_median_after_it() -> None:
    rows = [line.partition(UNICODE.axis)[2].ljust(72) for line in draw(a_picture(), 80, 14)]
    now = max(row.rfind(UNICODE.now) for row in rows)
    columns = ["".join(row[place] for row in rows) for place in range(70)]
    assert sum(UNICODE.history in column for column in columns[:now]) == 20
    assert not any(UNICODE.history in column for column in columns[now + 1 :])
    assert all(UNICODE.median in column and UNICODE.band in column for column in columns[now + 1 :])
    assert any(row.count(UNICODE.bound) > 20 for row in rows)


def test_a_bound_far_off_is_named_and_not_drawn() -> None:
    picture = a_picture(bounds=[BoundLine("near", 0.9), BoundLine("far", 400.0)])
    assert [line.name for line in far_bounds(picture)] == ["far"]
    assert not any(UNICODE.bound in line for line in draw(a_picture(bounds=[BoundLine("far", 400.0)]), 80, 14))


@pytest.mark.parametrize(
    ("encoding", "glyphs"), [("utf-8", UNICODE), ("ascii", PLAIN), ("latin-1", PLAIN), (None, PLAIN), ("nope", PLAIN)]
)
def test_letters_that_an_encoding_lacks_are_not_used(encoding: str | None, glyphs: Glyphs) -> None:
    assert glyphs_for(encoding) is glyphs
