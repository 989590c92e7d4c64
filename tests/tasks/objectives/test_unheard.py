"""A name that nothing is recorded under is said, with the nearest one that something is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from settings import load_settings
from storage import open_store
from storage.records import Objective, Sample
from tasks.objectives.in_force import said_of_names
from tasks.objectives.unheard import unheard
from tests.tasks.forecast.loop import START

RECORDED = ["latency", 'requests{pod="a"}', 'requests{pod="b"}', "servers", 'errors{pod="a"}', 'weather{city="x"}']


def objective(**changes: Any) -> Objective:
    return Objective(**{"name": "slow", "metric": "latency", "bound": 1.0} | changes)


@pytest.mark.parametrize(
    ("changes", "key", "nearest"),
    [
        ({"metric": "latancy"}, "metric", "latency"),
        ({"metric": 'requests{pod="c"}'}, "metric", 'requests{pod="b"}'),
        ({"metric": "errors", "denominator": "request"}, "denominator", "requests"),
        ({"guards": ("latency", "erorrs")}, "guard", "errors"),
        ({"driver": "reqests", "capacity": "servers"}, "driver", "requests"),
        ({"driver": "requests", "capacity": "server"}, "capacity", "servers"),
    ],
)
def test_each_name_of_an_objective_is_looked_for(changes: dict[str, Any], key: str, nearest: str) -> None:
    (said,) = unheard([objective(**changes)], {}, RECORDED)
    assert key in said
    assert said.endswith(f"did you mean {nearest}?")


@pytest.mark.parametrize(
    "traits",
    [{"sets": "server"}, {"controls": ("wether",)}, {"metrics": ("laten_*",)}, {"expected_effect": {"latenzy": -1.0}}],
)
def test_each_name_of_an_action_is_looked_for(traits: dict[str, Any]) -> None:
    (said,) = unheard([], {"scale": traits}, RECORDED)
    assert "action scale" in said


def test_all_that_name_the_same_are_said_in_one_sentence() -> None:
    traits = {"metrics": ("slowness",), "expected_change": {"slowness": -1.0}}
    (said,) = unheard([objective(metric="slowness")], {"scale": traits}, RECORDED)
    who = "The metric of objective slow, `metrics` of action scale and `expected_change` of action scale name slowness"
    assert said == f"{who}, and nothing is recorded under that name yet."


def test_what_is_recorded_is_not_said() -> None:
    known = objective(guards=("errors",), driver='requests{pod="b"}', capacity="servers")
    traits = {"sets": "servers", "controls": ("weath*", 'weather{city="x"}'), "expected_change": {"lat*": -1.0}}
    assert unheard([known, objective(metric="errors", denominator="requests")], {"scale": traits}, RECORDED) == []


def test_a_ratio_that_cannot_exist_is_said() -> None:
    (said,) = unheard([objective(metric="servers", denominator="weather")], {}, RECORDED)
    assert "there is no such ratio" in said


def test_before_anything_is_recorded_nothing_is_said() -> None:
    assert unheard([objective(metric="anything")], {}, []) == []


def test_defaults_that_this_host_has_nothing_for_are_not_said_and_what_the_file_names_is(tmp_path: Path) -> None:
    (tmp_path / "foreact.toml").write_text('[[objectives]]\nname = "slow"\nmetric = "latancy"\nbound = 1\n')
    settings = load_settings(tmp_path, home=tmp_path)
    with open_store(":memory:") as store:
        store.samples.append([Sample(metric="latency", value=1.0, ts=START)])
        (said,) = said_of_names(settings, store)
        assert said.endswith("did you mean latency?")
        store.samples.append([Sample(metric="latancy", value=1.0, ts=START)])
        assert said_of_names(settings, store) == []


@pytest.mark.parametrize(("days", "is_said"), [(89, False), (90, False), (91, True)])
def test_a_budget_over_a_longer_time_than_samples_are_kept_is_said(tmp_path: Path, days: int, is_said: bool) -> None:
    (tmp_path / "foreact.toml").write_text(
        '[[objectives]]\nname = "served"\nmetric = "latency"\nbound = 1\nkind = "slo"\n'
        f"window_s = {days * 86_400}\n[storage]\nsamples_days = 90\n"
    )
    settings = load_settings(tmp_path, home=tmp_path)
    with open_store(":memory:") as store:
        said = said_of_names(settings, store)
    assert any("samples are kept for 90" in each for each in said) is is_said
