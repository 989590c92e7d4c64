"""All metrics around an action are judged together, each by its role."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from storage.errors import ForeactError
from storage.records import Verdict
from tasks.measure import measure_effect
from tasks.measure.inference.many_metrics import MetricWindow, false_discovery_limit, measure_many
from tests.tasks.measure.worlds import HORIZON, rhythm

WORLDS = [rhythm(seed) for seed in range(12)]


def _window(place: int, name: str, shift_sd: float = 0.0, **more: object) -> MetricWindow:
    world = WORLDS[place]
    window = MetricWindow(name, world.after + shift_sd * world.sd, world.forecast, world.ledger, metric_sd=world.sd)
    return replace(window, **more)  # type: ignore[arg-type]


def test_target_guard_and_side_effects_are_each_reported() -> None:
    windows = [
        _window(0, "cpu", -2.0),
        _window(1, "latency", 2.0, role="guard"),
        *(_window(2 + i, f"other-{i}", role="side_effect") for i in range(6)),
    ]
    effects = measure_many(windows)
    assert list(effects) == [window.name for window in windows]
    assert effects["cpu"].verdict is Verdict.IMPROVED
    assert effects["latency"].verdict is Verdict.WORSE


def test_a_faint_side_effect_among_many_metrics_is_not_believed() -> None:
    quiet = [_window(i, f"other-{i}", role="side_effect") for i in range(1, 12)]
    world = WORLDS[0]
    plain = measure_effect(world.after, world.forecast, world.ledger)
    faint = _window(0, "faint", (2.3 * plain.standard_error - plain.estimate) / world.sd, role="side_effect")
    assert measure_effect(faint.observed, faint.forecast, faint.ledger).verdict is Verdict.WORSE
    found = measure_many([faint, *quiet])["faint"]
    assert found.verdict is Verdict.NO_EFFECT
    assert "12 metrics" in found.reason


def test_a_metric_that_stopped_leaves_the_others_as_they_are() -> None:
    windows = [_window(0, "cpu", -2.0), _window(1, "gone", observed=np.full(HORIZON, np.nan))]
    effects = measure_many(windows)
    assert effects["gone"].verdict is Verdict.UNKNOWN
    assert effects["cpu"] == measure_many(windows[:1])["cpu"]


def test_a_metric_given_twice_is_refused() -> None:
    with pytest.raises(ForeactError) as refused:
        measure_many([_window(0, "cpu"), _window(1, "cpu")])
    assert refused.value.code == "measure_duplicate"


def test_the_false_discovery_limit_follows_the_ranks() -> None:
    assert false_discovery_limit([0.001, 0.02, 0.03, 0.5], 0.05) == 0.03
    assert false_discovery_limit([0.04, 0.5, 0.6, 0.7], 0.05) == 0.0
    assert false_discovery_limit([], 0.05) == 0.0
