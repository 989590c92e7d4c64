"""What declared facts say of sequences: every shortest one is found, and none that could not be done."""

from __future__ import annotations

from itertools import combinations, permutations

from hypothesis import given
from hypothesis import strategies as st

from tasks.interventions.declared_facts import DeclaredFacts, held_after, unmet
from tasks.plan.optimise.sequence_search import MOST_STEPS, can_follow, sequences

FACTS = ("x", "y", "z", "not x", "not y")
facts = st.frozensets(st.sampled_from(FACTS), max_size=2)
declarations = st.dictionaries(st.sampled_from("abcde"), st.builds(DeclaredFacts, facts, facts), max_size=5)
held = st.frozensets(st.sampled_from(("x", "y", "z")))


def facts_of(requires: str = "", provides: str = "") -> DeclaredFacts:
    return DeclaredFacts(frozenset(filter(None, [requires])), frozenset(filter(None, [provides])))


@given(declarations, held)
def test_whatever_is_found_can_be_done_and_needs_each_of_its_steps(
    declared: dict[str, DeclaredFacts], held: frozenset[str]
) -> None:
    for steps in sequences(declared, held):
        assert 2 <= len(steps) <= MOST_STEPS
        assert len(set(steps)) == len(steps)
        assert can_follow(steps, declared, held)
        shorter = [part for size in range(len(steps) - 1) for part in combinations(steps[:-1], size)]
        assert not any(can_follow((*part, steps[-1]), declared, held) for part in shorter)


@given(declarations, held)
def test_what_can_begin_by_some_sequence_is_found_to(declared: dict[str, DeclaredFacts], held: frozenset[str]) -> None:
    found = {steps[-1] for steps in sequences(declared, held)}
    every = (steps for size in range(2, MOST_STEPS + 1) for steps in permutations(declared, size))
    possible = {
        steps[-1] for steps in every if unmet(held, declared[steps[-1]].requires) and can_follow(steps, declared, held)
    }
    assert found == possible


@given(held, facts)
def test_what_was_provided_holds_and_what_was_ended_does_not(held: frozenset[str], provided: frozenset[str]) -> None:
    after = held_after(held, provided)
    certain = {fact for fact in provided if f"not {fact}" not in provided and fact.removeprefix("not ") not in provided}
    assert not unmet(after, certain | {fact for fact in provided if not fact.startswith("not ")})


def test_three_steps_are_found_in_the_order_in_which_they_make_each_other_possible() -> None:
    declared = {
        "switch over": facts_of("replica ready"),
        "start replica": facts_of("host up", "replica ready"),
        "boot host": facts_of("", "host up"),
    }
    assert sequences(declared, frozenset()) == [
        ("boot host", "start replica"),
        ("boot host", "start replica", "switch over"),
    ]
    assert sequences(declared, frozenset({"host up"})) == [("start replica", "switch over")]


def test_what_needs_four_steps_or_its_own_fact_is_not_found() -> None:
    chain = {f"{n}": facts_of(f"f{n}" if n else "", f"f{n + 1}") for n in range(4)}
    assert {steps[-1] for steps in sequences(chain, frozenset())} == {"1", "2"}
    assert sequences({"a": facts_of("x", "x")}, frozenset()) == []
    assert sequences({"a": facts_of("x", "y"), "b": facts_of("y", "x")}, frozenset()) == []


def test_a_fact_that_must_not_hold_is_ended_first() -> None:
    declared = {"replace": facts_of("not serving"), "drain": facts_of("", "not serving")}
    assert sequences(declared, frozenset({"serving"})) == [("drain", "replace")]
    assert sequences(declared, frozenset()) == []
