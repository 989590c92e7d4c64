"""What is fixed beforehand, what overlaps, and what handlers claim."""

from __future__ import annotations

import numpy as np
import pytest

from storage.errors import ForeactError
from storage.records import Verdict
from tasks.measure import (
    ActionWindow,
    Estimand,
    acted_steps,
    check_claims,
    fix_estimand,
    measure_effect,
    overlapping_actions,
)
from tests.measure.worlds import HORIZON, rhythm

WORLD = rhythm(5)


def test_actions_overlap_only_on_a_shared_metric_at_a_shared_time() -> None:
    windows = [
        ActionWindow("a", 0, 10, frozenset({"cpu"})),
        ActionWindow("b", 5, 15, frozenset({"cpu", "memory"})),
        ActionWindow("c", 5, 15, frozenset({"disk"})),
        ActionWindow("d", 15, 20, frozenset({"memory"})),
    ]
    assert overlapping_actions(windows) == {"a": ("b",), "b": ("a",), "c": (), "d": ()}


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


def test_the_estimand_survives_storage_and_fixes_the_window() -> None:
    estimand = fix_estimand("cpu", "forecast-1", WORLD.ledger, HORIZON)
    assert Estimand.from_record(estimand.to_record()) == estimand
    assert estimand.window_steps == WORLD.ledger.window_steps(HORIZON)


@pytest.mark.parametrize(
    "broken",
    [{}, {"better": "up"}, {"window_steps": 0}, {"window_steps": 999}, {"surprise": 1}],
)
def test_a_corrupt_estimand_is_refused(broken: dict[str, object]) -> None:
    record = fix_estimand("cpu", "forecast-1", WORLD.ledger, HORIZON).to_record()
    with pytest.raises(ForeactError) as refused:
        Estimand.from_record({**record, **broken} if broken else {})
    assert refused.value.code == "estimand_invalid"
