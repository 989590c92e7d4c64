"""The predicted overall state is read off joint paths: the worst broken objective counts, on every future by itself."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from numpy.typing import NDArray

from storage.records import Frame, Objective, StatePrediction
from tasks.forecast import ForecastBatch
from tasks.forecast.fleet_snapshot import NO_BLOCKS, Blocks
from tasks.forecast.risk.crossings import crossings
from tasks.forecast.risk.outlook import FramePaths, predicted_state
from tests.tasks.forecast.loop import START

HOURS = 6
Floats = NDArray[np.float64]


def objective(series: str, bound: float, severity: float, side: str = "below") -> Objective:
    return Objective(
        name=f"{series}_{side}_{bound:g}",
        metric=series,
        bound=bound,
        side=side,  # type: ignore[arg-type]
        severity=severity,
        horizon_s=HOURS * 3_600,
    )


def state_of_paths(
    paths: Floats, objectives: list[Objective], blocks: Blocks = NO_BLOCKS, needed: int = 1
) -> StatePrediction:
    """The state that joint paths (n, s, hours) of the series a, b, … amount to."""
    names = tuple("abcd"[: len(paths)])
    refusals = tuple("too short" if np.isnan(each).all() else None for each in paths)
    batch = ForecastBatch.from_paths(paths, refusals=refusals)
    frame = Frame(series=names, values=np.zeros((len(paths), 10)), end=START, step_s=3_600.0)
    part = FramePaths(frame, batch, tuple(crossings(frame, batch, objectives)), blocks)
    return predicted_state([part], START, seed=1, needed=needed)[0]


def blocks_with_one_cause(seed: int) -> Floats:
    """Error blocks (origins, 4, hours) of four series that fail together."""
    rng = np.random.default_rng(seed)
    return rng.normal(0, 1, (400, 1, HOURS)) + rng.normal(0, 0.3, (400, 4, HOURS))


def test_series_that_fail_together_are_foretold_to_fail_together() -> None:
    objectives = [objective(series, 2.0, 0.5) for series in "abcd"]
    calm, errors = np.zeros((4, 10, HOURS)), blocks_with_one_cause(0).astype(np.float32)
    joint = state_of_paths(calm, objectives, Blocks(tuple("abcd"), errors))
    truth = (blocks_with_one_cause(5) > 2.0).any(axis=(1, 2)).mean()
    assert 1 - joint.probabilities["healthy"] == pytest.approx(truth, abs=0.05)
    rng = np.random.default_rng(2)
    apart = np.stack([rng.permutation(errors[:, series]) for series in range(4)], axis=1)
    alone = state_of_paths(calm, objectives, Blocks(tuple("abcd"), apart))
    assert 1 - alone.probabilities["healthy"] > 1.5 * truth


def test_the_worst_objective_broken_counts_on_each_path_and_bounds_on_either_side() -> None:
    paths = np.zeros((3, 4, HOURS))
    paths[0, :2, 3], paths[1, 0, 1], paths[2, 3, 5] = 9.0, 9.0, -9.0
    objectives = [objective("a", 5, 0.3), objective("b", 5, 0.9), objective("c", -5, 0.3, "above")]
    predicted = state_of_paths(paths, objectives)
    assert predicted.probabilities == pytest.approx({"healthy": 0.25, "degraded": 0.5, "critical": 0.25})
    assert predicted.state == "degraded"
    assert predicted.at == START + timedelta(hours=HOURS)


def test_a_series_without_a_forecast_is_not_counted_as_trouble() -> None:
    paths = np.zeros((2, 4, HOURS))
    paths[1] = np.nan
    objectives = [objective("a", 5, 0.3), objective("b", 5, 0.9)]
    predicted = state_of_paths(paths, objectives)
    assert predicted.probabilities["healthy"] == 1.0
    assert predicted.reason == "in 100 % of 4 simulated futures of 1 objective"
    assert state_of_paths(paths[1:], objectives[:1]).state == "unknown"


def test_by_two_of_n_a_path_counts_only_where_it_breaks_two_objectives_at_once() -> None:
    paths = np.zeros((3, 4, HOURS))
    paths[0, :2, 3], paths[1, 0, 1], paths[2, 3, 5] = 9.0, 9.0, 9.0
    objectives = [objective("a", 5, 0.9), objective("b", 5, 0.3), objective("c", 5, 0.9)]
    predicted = state_of_paths(paths, objectives, needed=2)
    assert predicted.probabilities == pytest.approx({"healthy": 0.75, "degraded": 0.25, "critical": 0.0})
    assert "2 of 3 must be broken to count" in predicted.reason
