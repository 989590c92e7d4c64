"""A timeline draws what there is, whatever there is."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from api.dashboard.timeline import Mark, Stretch, Timeline, timeline
from tests import sized

amounts = st.one_of(st.floats(-1e9, 1e9), st.just(float("nan")))


@settings(max_examples=sized(30, 60), deadline=None)
@given(st.lists(amounts, max_size=40), st.one_of(st.none(), st.floats(-1e9, 1e9)), st.text(max_size=8))
def test_any_values_and_words_give_one_well_formed_drawing(values: list[float], bound: float | None, text: str) -> None:
    printable = "".join(each for each in text if each.isprintable())
    lines = Timeline(
        unit="ms",
        moments_s=np.arange(len(values), dtype=float) * 300,
        values=np.array(values, dtype=float),
        bound=bound,
        stretches=(Stretch(300, 900, "bad", printable),),
        goals=(Mark(600, "good", printable),),
        acts=(Mark(-5, "calm", printable),),
    )
    drawn = str(timeline(lines, printable))
    root = ElementTree.fromstring(drawn)
    assert len(root.findall("polygon")) == 1
    assert "nan" not in drawn.replace(printable, "")
    assert "inf" not in drawn.replace(printable, "")


def test_no_spike_is_lost_in_a_long_history() -> None:
    values = np.zeros(100_000)
    values[51_234] = 50
    drawn = str(timeline(Timeline("", np.arange(100_000.0), values, bound=49.0), "spike"))
    path = next(each for each in drawn.split("<") if each.startswith('path class="history"'))
    heights = [
        float(pair.split(",")[1])
        for pair in path.split('d="')[1].rstrip('"/>').replace("M", "").replace("L", "").split()
    ]
    assert min(heights) < min(heights[0], heights[-1]) - 50
