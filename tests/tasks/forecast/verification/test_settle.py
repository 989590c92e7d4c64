"""What was foretold of the overall state is compared with what came, and makes the next predictions honest."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from storage.records import Objective
from tasks.forecast.risk.outlook import StateRecalibration
from tasks.forecast.risk.recalibration import Recalibration
from tasks.forecast.risk.state import Hit, Shares, state_of
from tasks.forecast.verification.settle import settle
from tests.tasks.execute.acts import action_of, receipt_of
from tests.tasks.forecast.loop import HOUR, START, Loop, wave

TICK = START + timedelta(days=7)
HISTORY = 24 * 7


def objective(name: str, bound: float, severity: float, hours: float = 4) -> Objective:
    return Objective(name=name, metric=name, bound=bound, severity=severity, horizon_s=3_600 * hours)


def loop_of(folder: Path, later: dict[str, Sequence[float]], severities: dict[str, float]) -> Loop:
    """A week of waves around 50, then `later` hour by hour; 80 is the bound of all."""
    loop = Loop(folder, [objective(name, 80, severity) for name, severity in severities.items()])
    for name, values in later.items():
        loop.record(name, wave(HISTORY + 1), START)
        loop.record(name, values, TICK + HOUR)
    return loop


def came(loop: Loop, after: timedelta = timedelta(hours=5)) -> list[str]:
    loop.cycle(TICK)
    settle(loop.context(TICK + after))
    return [state for (state,) in loop.rows("SELECT came FROM state_results")]


CALM, BROKEN, SILENT = [50.0] * 6, [50.0, 90.0, 50.0, 50.0, 50.0, 50.0], [float("nan")] * 6


@pytest.mark.parametrize(
    ("cpu", "disk", "state"),
    [
        (CALM, CALM, "healthy"),
        (CALM, BROKEN, "degraded"),
        (BROKEN, BROKEN, "critical"),
        (BROKEN, SILENT, "unknown"),
    ],
)
def test_the_state_that_came_is_as_bad_as_the_worst_objective(
    tmp_path: Path, cpu: list[float], disk: list[float], state: str
) -> None:
    loop = loop_of(tmp_path, {"cpu": cpu, "disk": disk}, {"cpu": 0.9, "disk": 0.3})
    assert came(loop) == [state]


def test_a_breach_beyond_the_horizon_of_its_objective_does_not_count(tmp_path: Path) -> None:
    loop = loop_of(tmp_path, {"cpu": [50.0, 50.0, 50.0, 50.0, 90.0, 50.0]}, {"cpu": 0.9})
    assert came(loop, timedelta(hours=6)) == ["healthy"]


def test_a_state_is_settled_once_and_not_before_its_time(tmp_path: Path) -> None:
    loop = loop_of(tmp_path, {"cpu": CALM}, {"cpu": 0.9})
    assert came(loop, timedelta(hours=3)) == []
    for hours in (4, 5, 6):
        settle(loop.context(TICK + hours * HOUR))
    assert loop.rows("SELECT count(*) FROM state_results") == [(1,)]


def test_a_state_that_an_act_may_have_prevented_says_nothing(tmp_path: Path) -> None:
    loop = loop_of(tmp_path, {"cpu": CALM}, {"cpu": 0.9})
    loop.store.actions.append([action_of().model_copy(update={"series": "cpu"})], "c")
    loop.store.actions.finish(receipt_of("a", TICK + HOUR))
    assert came(loop) == ["unknown"]


@pytest.mark.parametrize(("works_h", "state"), [(3, "unknown"), (0.5, "healthy")])
def test_a_state_foretold_while_an_act_works_says_nothing(tmp_path: Path, works_h: float, state: str) -> None:
    loop = loop_of(tmp_path, {"cpu": CALM}, {"cpu": 0.9})
    loop.store.actions.append([action_of(series="cpu", horizon_s=works_h * 3_600)], "c")
    loop.store.actions.finish(receipt_of("a", TICK - HOUR))
    assert came(loop) == [state]


def test_every_forecast_is_resolved_once_however_few_a_turn_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = Loop(tmp_path)
    for number in range(5):
        loop.record(f"load{number}", wave(HISTORY + 48, seed=number), START)
    for hours in range(6):
        loop.cycle(TICK + hours * HOUR)
    monkeypatch.setattr("tasks.forecast.verification.settle.LEAST_PER_TURN", 3)
    for _ in range(8):
        settle(loop.context(TICK + 40 * HOUR))
    assert loop.rows("SELECT count(*), count(DISTINCT (cycle_id, series)) FROM errors") == [(30, 30)]


def test_an_error_is_what_was_observed_minus_the_point(tmp_path: Path) -> None:
    loop = Loop(tmp_path)
    later = wave(30, level=53, seed=9)
    loop.record("cpu", wave(HISTORY + 1), START)
    loop.record("cpu", later, TICK + HOUR)
    outlook = loop.cycle(TICK)
    settle(loop.context(TICK + 24 * HOUR))
    (error,) = loop.store.forecasts.errors("cpu", None, 5)
    np.testing.assert_allclose(error.errors, later[:24] - outlook.forecasts[0].point, rtol=1e-5)


def test_recalibrated_shares_stay_nested() -> None:
    curve = StateRecalibration(Recalibration(-3.0, 1.0, 500), Recalibration(2.0, 1.0, 500))
    shares = curve.apply(Shares(0.6, 0.5))
    assert 0 < shares.critical <= shares.unhealthy < 0.2
    assert sum(shares.by_name().values()) == pytest.approx(1)
    assert StateRecalibration().apply(Shares(0.6, 0.5)) == Shares(0.6, 0.5)


def test_predictions_that_cried_wolf_are_believed_less(tmp_path: Path) -> None:
    """Two hundred times trouble was foretold at 70 %, and it came ten times: the next one is told so."""
    loop = Loop(tmp_path, [objective("cpu", 52, 0.9, hours=1)])
    loop.record("cpu", wave(HISTORY + 1), START)
    before = loop.cycle(TICK)
    loop.store.engine.rows(
        f"""INSERT INTO state_results SELECT 'c' || i, now(), TIMESTAMPTZ '{TICK.isoformat()}', .7, .7, .7, .7,
            CASE WHEN i < 10 THEN 'critical' ELSE 'healthy' END FROM range(200) t(i)"""
    )
    after = loop.cycle(TICK + timedelta(minutes=61))
    assert before.raw_state is not None
    assert after.raw_state is not None
    assert after.raw_state.unhealthy > 0.1
    assert after.state.probabilities["healthy"] > 1 - after.raw_state.unhealthy + 0.05
    assert "200 verified forecasts" in after.state.reason


def hits(**severities: tuple[float, bool]) -> list[Hit]:
    return [Hit(name, severity, np.array([is_broken])) for name, (severity, is_broken) in severities.items()]


def test_the_worst_counts() -> None:
    assert state_of(hits(a=(0.9, False), b=(0.3, False))) == "healthy"
    assert state_of(hits(a=(0.9, False), b=(0.3, True))) == "degraded"
    assert state_of(hits(a=(0.9, True), b=(0.3, True))) == "critical"


def test_by_k_of_n_the_state_is_as_bad_as_the_kth_worst_objective() -> None:
    assert state_of(hits(a=(0.9, True), b=(0.3, False), c=(0.3, False)), 2) == "healthy"
    assert state_of(hits(a=(0.9, True), b=(0.3, True), c=(0.3, False)), 2) == "degraded"
    assert state_of(hits(a=(0.9, True), b=(0.8, True), c=(0.3, False)), 2) == "critical"
    assert state_of(hits(a=(0.9, True)), 2) == "critical", "more than there are cannot be asked for"


def test_an_objective_that_is_broken_on_several_series_counts_once() -> None:
    twice = [*hits(a=(0.9, True)), *hits(a=(0.9, True)), *hits(b=(0.9, False))]
    assert state_of(twice, 2) == "healthy"


@pytest.mark.parametrize("level", [1.7e9, 2e10])
def test_a_series_far_from_zero_is_settled_like_one_around_it(tmp_path: Path, level: float) -> None:
    loop = Loop(tmp_path)
    for number in range(4):
        loop.record(f"plain{number}", wave(24 * 10, seed=number))
        loop.record(f"far{number}", level + wave(24 * 10, seed=number))
    for hour in range(0, 48, 4):
        loop.cycle(TICK + hour * HOUR)
    found = {
        kind: [each.covered_ratio for each in loop.store.forecasts.errors(None, None, 500) if each.series[:3] == kind]
        for kind in ("pla", "far")
    }
    assert len(found["far"]) == len(found["pla"]) >= 24
    assert np.mean(found["far"]) == pytest.approx(np.mean(found["pla"]), abs=0.01)
    assert np.mean(found["far"]) > 0.7


def test_a_series_beyond_single_precision_is_kept_as_it_was_foretold(tmp_path: Path) -> None:
    loop = Loop(tmp_path)
    loop.record("huge", 1e60 * wave(24 * 9, seed=1))
    foretold = loop.cycle(TICK).by_series()["huge"]
    stored = loop.store.forecasts.of_cycle(loop.store.forecasts.latest_cycle() or "")[0]
    assert foretold.warnings == ()
    np.testing.assert_allclose(stored.quantiles, foretold.quantiles, rtol=1e-7)
    loop.cycle(TICK + 25 * HOUR)
    (error,) = loop.store.forecasts.errors("huge", None, 5)
    assert 1e59 < np.abs(error.errors).max() < 1e61
    assert error.covered_ratio > 0.7
