"""A selector names series by their metric and labels, however these are written."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settings import load_settings
from storage.records import Objective, as_key, labels_of, metric_of, selects, series_key

SERIES = 'latency{pod="a",zone="x, y"}'

texts = st.text(st.characters(blacklist_characters="{}\"'", blacklist_categories=("C", "Z")), min_size=1, max_size=8)
names = st.text("abcdefg_.", min_size=1, max_size=5)
label_sets = st.dictionaries(names, texts | st.just("a, b=c"), max_size=4)


@pytest.mark.parametrize(
    ("selector", "is_meant"),
    [
        (SERIES, True),
        ("latency", True),
        ('latency{zone="x, y",pod="a"}', True),
        ("latency { zone = 'x, y' , pod = 'a' }", True),
        ('latency{pod="a"}', True),
        ('latency{pod="b"}', False),
        ('latency{pod="a",node="n"}', False),
        ('late{pod="a"}', False),
        ("latency{pod=a}", False),
        ("latency{", False),
        ("late", False),
    ],
)
def test_a_series_is_meant_by_those_selectors_whose_labels_it_has(selector: str, is_meant: bool) -> None:
    assert selects(selector, SERIES) is is_meant
    assert Objective(name="x", metric=selector, bound=1).matches(SERIES) is is_meant


@given(names, label_sets, st.randoms())
def test_the_order_of_labels_means_nothing(metric: str, labels: dict[str, str], order: random.Random) -> None:
    key, shuffled = series_key(metric, labels), list(labels.items())
    order.shuffle(shuffled)
    written = metric + " { " + " ,  ".join(f"{name} = '{text}'" for name, text in shuffled) + " }" if labels else metric
    assert as_key(written) == key
    assert selects(written, key)
    assert (metric_of(key), dict(labels_of(key))) == (metric, labels)


@given(names, label_sets, label_sets)
def test_more_labels_mean_fewer_series(metric: str, few: dict[str, str], more: dict[str, str]) -> None:
    series = series_key(metric, {**more, **few})
    assert selects(series_key(metric, few), series)


def test_whatever_names_series_in_a_configuration_is_written_alike(tmp_path: Any) -> None:
    (tmp_path / "foreact.toml").write_text(
        """
        [[objectives]]
        name = "x"
        metric = "load{b='2', a='1'}"
        bound = 1
        guards = ["guard{b='2', a='1'}"]
        driver = "driver{b='2', a='1'}"
        capacity = "capacity{b='2', a='1'}"
        [actions.scale]
        sets = "servers{b='2', a='1'}"
        amounts = { least = 1, most = 3 }
        controls = "weather{b='2', a='1'}"
        """
    )
    settings = load_settings(tmp_path)
    (objective,), traits = settings.objectives, settings.action("scale").traits
    told = [
        objective.metric,
        *objective.guards,
        objective.driver,
        objective.capacity,
        traits["sets"],
        *traits["controls"],
    ]
    assert {str(each).partition("{")[2] for each in told} == {'a="1",b="2"}'}
