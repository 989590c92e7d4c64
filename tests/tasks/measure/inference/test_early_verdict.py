"""A verdict before the end is clear, is rarely false however often is looked, and is none where it cannot be."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import stdtrit

from storage.records import FloatArray, Verdict
from tasks.measure import ErrorLedger
from tasks.measure.inference.early_verdict import EarlyVerdict, bounds_of, early_verdict, looks_of
from tests.tasks.measure.worlds import HORIZON, Rhythm, rhythm

FOUND = {Verdict.IMPROVED, Verdict.WORSE}


def early(world: Rhythm, observed: FloatArray, relevant: float = 0.0) -> EarlyVerdict | None:
    return early_verdict(observed, world.forecast, world.ledger, HORIZON, better="lower", relevant=relevant)


@pytest.mark.parametrize(("change", "verdict"), [(-12.0, Verdict.IMPROVED), (12.0, Verdict.WORSE)])
def test_a_large_effect_is_clear_at_the_first_look(change: float, verdict: Verdict) -> None:
    world = rhythm(1)
    found = early(world, world.after + change)
    assert found is not None
    assert (found.verdict, found.steps) == (verdict, looks_of(HORIZON)[0])
    assert found.low < change < found.high


def test_what_is_not_seen_yet_is_not_judged_and_does_not_change_what_is() -> None:
    world, first = rhythm(1), looks_of(HORIZON)[0]
    moved = world.after - 12
    seen = np.where(np.arange(HORIZON) < first, moved, np.nan)
    assert early(world, seen) == early(world, moved)
    assert early(world, np.where(np.arange(HORIZON) < first - 1, moved, np.nan)) is None
    assert early(world, np.full(HORIZON, np.nan)) is None


def test_nothing_is_clear_where_a_change_worth_knowing_is_ruled_out() -> None:
    world = rhythm(2)
    found = early(world, world.forecast, relevant=20.0)
    assert found is not None
    assert found.verdict is Verdict.NO_EFFECT
    assert early(world, world.forecast, relevant=0.01) is None


def test_false_verdicts_at_any_look_are_as_rare_as_said() -> None:
    false = [early(world, world.after) is not None for world in map(rhythm, range(150))]
    assert np.mean(false) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / len(false))


def test_a_metric_that_never_moved_or_has_no_past_gets_no_early_verdict() -> None:
    world = rhythm(3)
    still = ErrorLedger(np.zeros((400, HORIZON)), np.full(400, 0.0), 0.0, n_past=1_000)
    assert early_verdict(world.after, world.forecast, still, HORIZON, better="lower", relevant=1) is None
    none = ErrorLedger.empty(HORIZON)
    assert early_verdict(world.after, world.forecast, none, HORIZON, better="lower", relevant=1) is None


def test_bounds_are_wider_early_and_never_narrower_than_that_of_one_look() -> None:
    rng = np.random.default_rng(0)
    looks = looks_of(60)
    paths = np.cumsum(rng.normal(size=(300, 60)), axis=1) / np.arange(1, 61)
    bounds = bounds_of(paths[:, np.array(looks) - 1], 30.0, looks, 0.05)
    assert np.all(np.diff(bounds) < 0)
    assert bounds[-1] >= stdtrit(30.0, 0.975)
    alike = bounds_of(np.repeat(paths[:, :1], len(looks), axis=1) + 1e-9 * paths[:, : len(looks)], 30.0, looks, 0.05)
    assert alike[-1] <= bounds[-1], "looks that say the same cost less"


def test_a_window_of_the_shortest_length_has_no_look_before_its_end() -> None:
    assert looks_of(5) == [5]
    assert looks_of(60)[0] == 5
    assert looks_of(60)[-1] == 60
