"""What is fixed beforehand, what overlaps, and what handlers claim."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from storage.records import Estimand, Verdict
from tasks.interventions.overlaps import ActionWindow, acted_steps
from tasks.measure import measure_effect
from tasks.measure.inference.claims import check_claims
from tasks.measure.inference.estimand import fix_estimand, trigger_of, triggered
from tests.tasks.measure.worlds import HORIZON, rhythm

WORLD = rhythm(5)
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def test_the_steps_of_an_action_are_marked_for_its_metrics_alone() -> None:
    windows = [ActionWindow("a", 2.5, 4.2, frozenset({"cpu"})), ActionWindow("b", -3, 1, frozenset({"cpu"}))]
    assert np.flatnonzero(acted_steps(windows, "cpu", 8)).tolist() == [0, 2, 3, 4]
    assert not acted_steps(windows, "disk", 8).any()


def test_a_claim_outside_the_measured_interval_contradicts_and_changes_no_verdict() -> None:
    effect = measure_effect(WORLD.after, WORLD.forecast, WORLD.ledger)
    (claim,) = check_claims({"cpu": -0.5}, {"cpu": effect})
    assert claim.agreement == "contradicts"
    assert claim.claimed_ratio == -0.5
    assert claim.measured_ratio == pytest.approx(effect.relative_ratio)
    assert effect.verdict is Verdict.NO_EFFECT


def test_a_claim_inside_the_interval_agrees() -> None:
    effect = measure_effect(WORLD.after * 0.8, WORLD.forecast, WORLD.ledger)
    (claim,) = check_claims({"cpu": effect.relative_ratio}, {"cpu": effect})
    assert claim.agreement == "agrees"


@pytest.mark.parametrize("rubbish", ["much", None, float("nan"), float("inf"), True, {"a": 1}])
def test_a_claim_that_is_no_number_counts_for_nothing(rubbish: object) -> None:
    effect = measure_effect(WORLD.after, WORLD.forecast, WORLD.ledger)
    assert check_claims({"cpu": rubbish}, {"cpu": effect})[0].agreement == "not measured"


def test_a_claim_about_an_unmeasured_metric_is_not_measured() -> None:
    unknown = measure_effect(np.full(HORIZON, np.nan), WORLD.forecast, WORLD.ledger)
    assert [claim.agreement for claim in check_claims({"cpu": -0.2, "x": 0.1}, {"cpu": unknown})] == [
        "not measured",
        "not measured",
    ]


def fixed(**changes: Any) -> Estimand:
    given: dict[str, Any] = {
        "better": "lower",
        "fixed_at": NOW,
        "forecast_cycle_id": "cycle-1",
        "issued_at": NOW,
        "step_s": 60,
        "horizon_s": 60 * HORIZON,
        "n_past": WORLD.ledger.n_past,
    }
    return fix_estimand("a", "cpu", **(given | changes))


def test_the_estimand_survives_storage_and_fixes_the_window() -> None:
    estimand = fixed(guards=("throughput",))
    assert Estimand.model_validate_json(estimand.model_dump_json()) == estimand
    assert estimand.horizon_steps == HORIZON
    assert estimand.window_steps == WORLD.ledger.window_steps(HORIZON)


def test_a_short_past_supports_a_short_window() -> None:
    assert fixed(n_past=0).window_steps == 5
    assert fixed(n_past=0, horizon_s=120).window_steps == 2
    assert fixed(n_past=200).window_steps == 10


@pytest.mark.parametrize("broken", [{"better": "up"}, {"window_steps": 0}, {"window_steps": 999}, {"surprise": 1}])
def test_a_corrupt_estimand_is_refused(broken: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Estimand.model_validate({**fixed().model_dump(), **broken})


@pytest.mark.parametrize(("last", "trigger"), [(99.0, "high"), (-99.0, "low"), (50.0, "")])
def test_the_trigger_is_where_the_metric_stood_in_its_own_week(last: float, trigger: str) -> None:
    history = np.append(50 + np.sin(np.arange(200)), last)
    assert trigger_of(history, steps_per_week=100) == trigger


def test_a_trigger_is_read_off_what_lay_before_it_alone() -> None:
    history = np.random.default_rng(0).normal(size=300)
    origins = np.arange(50, 290)
    marked = triggered(history, origins, "high", steps_per_week=200)
    assert 0.1 < marked.mean() < 0.3
    future = np.where(np.arange(300) > 150, 1e6, history)
    seen = origins <= 150
    np.testing.assert_array_equal(triggered(future, origins[seen], "high", steps_per_week=200), marked[seen])


def test_without_a_past_or_a_value_there_is_no_trigger() -> None:
    assert trigger_of(np.full(50, np.nan), 100) == ""
    assert trigger_of(np.arange(10.0), 100) == ""
