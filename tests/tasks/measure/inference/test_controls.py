"""Untouched metrics are used where they help out of sample, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from storage.errors import ForeactError
from storage.records import Verdict
from tasks.measure import Control, ErrorLedger, measure_effect

STEPS = 6


def _pair(seed: int, shared: float) -> tuple[ErrorLedger, ErrorLedger, np.ndarray, np.ndarray]:
    """Return two ledgers whose errors share a part, and the errors of both after an action."""
    rng = np.random.default_rng(seed)
    common = np.repeat(rng.normal(0, 1, (301, 1)), STEPS, axis=1)
    target = shared * common + 0.3 * rng.normal(0, 1, (301, STEPS))
    control = common + 0.1 * rng.normal(0, 1, (301, STEPS))
    origins = np.arange(300) * STEPS
    ledgers = [
        ErrorLedger(errors[:300], np.ones(300), 1.0, 300 * STEPS, origins=origins) for errors in (target, control)
    ]
    return ledgers[0], ledgers[1], target[300], control[300]


def test_a_control_that_explains_the_target_narrows_the_interval() -> None:
    target, control, after, control_after = _pair(1, shared=2.0)
    flat = np.zeros(STEPS)
    plain = measure_effect(after, flat, target)
    helped = measure_effect(after, flat, target, controls=[Control("load", control_after, flat, control)])
    assert helped.controls_used == ("load",)
    assert helped.standard_error < 0.3 * plain.standard_error
    assert helped.verdict is Verdict.NO_EFFECT


def test_a_shift_hidden_by_what_moves_both_is_found_with_the_control() -> None:
    target, control, after, control_after = _pair(2, shared=2.0)
    flat = np.zeros(STEPS)
    effect = measure_effect(after - 1.5, flat, target, controls=[Control("load", control_after, flat, control)])
    assert effect.verdict is Verdict.IMPROVED
    assert effect.low < -1.5 < effect.high


def test_an_unrelated_metric_is_not_used() -> None:
    target, _, after, _ = _pair(3, shared=0.0)
    _, stranger, _, stranger_after = _pair(4, shared=0.0)
    effect = measure_effect(
        after, np.zeros(STEPS), target, controls=[Control("other", stranger_after, np.zeros(STEPS), stranger)]
    )
    assert effect.controls_used == ()


def test_a_control_without_data_after_the_action_is_left_out() -> None:
    target, control, after, _ = _pair(5, shared=2.0)
    silent = Control("load", np.full(STEPS, np.nan), np.zeros(STEPS), control)
    effect = measure_effect(after, np.zeros(STEPS), target, controls=[silent])
    assert effect.controls_used == ()
    assert effect.is_measured


def test_a_ledger_of_other_origins_is_refused() -> None:
    target, control, after, control_after = _pair(6, shared=2.0)
    short = ErrorLedger(control.errors[:100], control.scale[:100], 1.0, 600)
    with pytest.raises(ForeactError) as refused:
        measure_effect(
            after, np.zeros(STEPS), target, controls=[Control("load", control_after, np.zeros(STEPS), short)]
        )
    assert refused.value.code == "control_origins"
