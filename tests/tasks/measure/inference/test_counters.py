"""A counter has no level: an action on it is judged by how fast it counts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.records import FloatArray, Verdict
from tasks.growth import growth, resets
from tasks.measure import ErrorLedger, build_ledger
from tasks.measure.inference.counters import is_counter
from tasks.measure.inference.many_metrics import MetricWindow, measure_many

HORIZON = 20
STEPS = 1_500


def _counted(seed: int, factor: float = 1.0, *, restarts: bool = True) -> tuple[FloatArray, ErrorLedger, FloatArray]:
    """Return what a counter counts after the last step of its past, its ledger, and the forecast of a straight line."""
    rng = np.random.default_rng(seed)
    rate = rng.poisson(100, STEPS + HORIZON).astype(float)
    rate[STEPS:] *= factor
    values = np.cumsum(rate)
    for restart in (400, 900) if restarts else ():
        values[restart:] -= values[restart - 1]
    origins, ahead = np.arange(100, STEPS - 1, 5), 100.0 * np.arange(1, HORIZON + 1)
    ledger = build_ledger(values, values[origins][:, None] + ahead, origins, steps_per_day=288, now=STEPS - 1)
    return values[STEPS:], ledger, values[STEPS - 1] + ahead


def _measured(name: str, seed: int, factor: float = 1.0):  # type: ignore[no-untyped-def]
    observed, ledger, forecast = _counted(seed, factor)
    window = MetricWindow(name, observed, forecast, ledger, metric_sd=float(np.std(observed)))
    return measure_many([window])[name]


def test_a_counter_that_counts_slower_improved_by_its_growth_a_step() -> None:
    effect = _measured('errors_total{job="a"}', 0, 0.8)
    assert effect.verdict is Verdict.IMPROVED
    assert effect.low <= -20 <= effect.high
    assert effect.relative_ratio == pytest.approx(-0.2, abs=0.06)
    assert effect.reason.endswith("judged by its growth a step, since it counts up")


def test_placebos_on_counters_are_seldom_believed_though_they_restart() -> None:
    effects = [_measured("requests_count", seed) for seed in range(60)]
    assert np.mean([effect.p_value < 0.05 for effect in effects]) <= 0.10
    assert np.mean([effect.low <= 0 <= effect.high for effect in effects]) >= 0.85


def test_only_what_is_called_a_counter_and_seldom_falls_is_one() -> None:
    _, ledger, _ = _counted(0)
    assert is_counter("jobs_total", ledger)
    assert not is_counter("disk_used_bytes", ledger)
    swinging = build_ledger(np.sin(np.arange(400.0)), np.zeros((300, 5)), np.arange(300), steps_per_day=288)
    assert not is_counter("connections_count", swinging)
    constant = build_ledger(np.ones(400), np.zeros((300, 5)), np.arange(300), steps_per_day=288)
    assert not is_counter("replicas_total", constant)


@settings(max_examples=40, deadline=None)
@given(steps=st.lists(st.floats(0, 1e6), min_size=2, max_size=30), restart=st.integers(1, 29))
def test_growth_is_what_was_counted_and_a_restart_is_not_known(steps: list[float], restart: int) -> None:
    values = np.cumsum(steps)
    values[restart:] -= values[-1] + 1
    grown = growth(values, resets(values))
    assert np.isnan(grown[0])
    assert not np.any(grown < 0)
