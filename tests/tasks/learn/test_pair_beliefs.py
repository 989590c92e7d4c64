"""What is learned of actions together comes from sequences alone, and says how sure it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.learn.pair_beliefs import SYNERGY_SD, PairBeliefs, SequenceOutcome, pairs_of

KIND = "BOTTLENECK_PREVENTION"
NO_EFFECT = (0.0, 0.2)


def outcome(effect: float, *actions: str, error: float = 0.3, kind: str = KIND) -> SequenceOutcome:
    return SequenceOutcome(kind, actions, effect, error, tuple(NO_EFFECT for _ in actions))


def test_without_an_outcome_two_actions_do_what_each_does_give_or_take() -> None:
    mean, sd = PairBeliefs().together(KIND, ["a", "b"], [(0.3, 0.1), (0.1, 0.2)])
    assert mean == pytest.approx(0.4)
    assert sd == pytest.approx((0.1**2 + 0.2**2 + SYNERGY_SD**2) ** 0.5)


def test_what_a_pair_adds_is_learned_and_becomes_surer() -> None:
    few, many = (PairBeliefs((outcome(1.2, "a", "b"),) * count) for count in (1, 8))
    sds = []
    for beliefs in (few, many):
        mean, sd = beliefs.together(KIND, ["b", "a"], [NO_EFFECT, NO_EFFECT])
        assert 0.5 < mean < 1.3
        sds.append(sd)
    assert sds[0] > sds[1]
    (synergy,) = many.synergies()
    assert (synergy.pair, synergy.count) == (("a", "b"), 8)
    assert synergy.mean - 2 * synergy.sd > 0


def test_of_another_kind_of_goal_nothing_is_learned() -> None:
    beliefs = PairBeliefs((outcome(1.2, "a", "b"),) * 5)
    assert beliefs.together("COST_REDUCTION", ["a", "b"], [NO_EFFECT, NO_EFFECT])[0] == 0.0


def test_a_pair_is_learned_from_a_longer_sequence_as_well() -> None:
    beliefs = PairBeliefs((outcome(1.0, "a", "b", "c"),) * 4)
    assert 0 < beliefs.together(KIND, ["a", "b"], [NO_EFFECT, NO_EFFECT])[0] < 1.0
    assert beliefs.count(KIND, ["a", "b"]) == 0
    assert beliefs.count(KIND, ["c", "b", "a"]) == 4


@given(st.lists(st.floats(-1.9, 1.9), min_size=1, max_size=6), st.floats(0.05, 1.0))
def test_an_outcome_makes_nothing_less_sure_and_draws_toward_itself(effects: list[float], error: float) -> None:
    alone = [NO_EFFECT, NO_EFFECT]
    before, sd_before = PairBeliefs().together(KIND, ["a", "b"], alone)
    beliefs = PairBeliefs(tuple(outcome(each, "a", "b", error=error) for each in effects))
    mean, sd = beliefs.together(KIND, ["a", "b"], alone)
    assert sd < sd_before
    assert min(0.0, *effects) - 1e-9 <= mean - before <= max(0.0, *effects) + 1e-9


def test_who_comes_first_does_not_tell_pairs_apart() -> None:
    assert pairs_of(["c", "a", "b"]) == [("a", "b"), ("a", "c"), ("b", "c")]
