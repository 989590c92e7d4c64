"""Sequences among the candidates of a goal: what declarations make possible, and pairs where no single act helps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from handlers import ActionHandler
from storage.records import Autonomy, Candidate, GoalType
from tasks.learn.pair_beliefs import PairBeliefs, SequenceOutcome
from tasks.plan import PlanProblem, make_plans
from tasks.plan.composition import with_sequences
from tests.tasks.plan.worlds import KnownEffects, goal_of, problem_of, safe

KIND = GoalType.BOTTLENECK_PREVENTION
FRONT, BACK, WHOLE = "front", "back", "front, then back"


def declared(**changes: Any) -> dict[str, ActionHandler]:
    return {
        FRONT: safe(FRONT, provides=("relieved",), latency_s=60.0, duration_s=3_600.0),
        BACK: safe(BACK, requires=("relieved",), latency_s=120.0, duration_s=3_600.0),
    } | changes


def asked(traits: dict[str, ActionHandler], effects: dict[str, float] | None = None, **more: Any) -> PlanProblem:
    offers = [Candidate(action=name, target=name, latency_s=each.latency_s, cost=0.01) for name, each in traits.items()]
    beliefs = KnownEffects(effects or {})
    return problem_of([goal_of()], {"g": offers}, beliefs, traits=traits, **more)


def measured(effect: float, *actions: str, count: int = 6) -> PairBeliefs:
    one = SequenceOutcome(KIND, actions, effect, 0.2, tuple((0.0, 0.05) for _ in actions))
    return PairBeliefs((one,) * count)


def offered(problem: PlanProblem) -> list[str]:
    return [each.action for each in with_sequences(problem).candidates["g"] if each.steps]


def test_where_nothing_is_declared_the_problem_is_the_same_object() -> None:
    problem = asked({FRONT: safe(FRONT), BACK: safe(BACK)})
    assert with_sequences(problem) is problem


def test_a_sequence_begins_each_step_when_what_it_requires_holds() -> None:
    (whole,) = (each for each in with_sequences(asked(declared())).candidates["g"] if each.steps)
    assert (whole.action, whole.starts_s, whole.latency_s) == (WHOLE, (0.0, 60.0), 180.0)
    assert whole.cost == pytest.approx(0.02)


def test_it_is_what_the_most_cautious_of_its_steps_is() -> None:
    traits = declared()
    traits[BACK] = replace(traits[BACK], risk="medium", level="approve", hooks=replace(traits[BACK].hooks, undo=None))
    problem = with_sequences(asked(traits, levels={(KIND, FRONT): Autonomy.AUTO, (KIND, BACK): Autonomy.APPROVE}))
    whole = problem.traits_of(WHOLE)
    assert (whole.risk, whole.reversible, whole.may_be_explored) == ("medium", False, False)
    assert problem.level(KIND, WHOLE) is Autonomy.APPROVE
    assert whole.duration_s == pytest.approx(3_660.0 - 180.0)


def test_an_action_that_lacks_a_fact_is_not_done_alone_and_the_decision_says_why() -> None:
    result = make_plans(with_sequences(asked(declared(), {BACK: 2.0}, pair_beliefs=measured(-1.0, FRONT, BACK))))
    (decision,) = result.decisions
    assert "back: it requires relieved, which is not so now" in decision.blocked_by
    assert all(action.name != BACK for action in result.actions)


def test_with_the_fact_it_is_an_action_like_any_other() -> None:
    problem = asked(declared(), {BACK: 2.0}, facts_held=frozenset({"relieved"}))
    assert offered(problem) == []
    assert [action.name for action in make_plans(with_sequences(problem)).actions] == [BACK]


def test_what_two_do_together_is_planned_as_rows_that_follow_each_other() -> None:
    result = make_plans(with_sequences(asked(declared(), pair_beliefs=measured(1.8, FRONT, BACK))))
    first, second = result.actions
    assert [(each.name, each.position, each.steps) for each in result.actions] == [
        (FRONT, 0, (FRONT, BACK)),
        (BACK, 1, (FRONT, BACK)),
    ]
    assert first.sequence_id == second.sequence_id
    assert (second.due_at - first.due_at).total_seconds() == 60.0
    assert (first.is_middle_step, second.measured_as) == (True, WHOLE)
    (decision,) = result.decisions
    assert decision.chosen.steps == ("front", "back")
    assert "It is a sequence of 2 steps" in decision.explanation
    assert result.plans[0].action_ids == (first.action_id, second.action_id)


def test_what_is_over_before_the_last_step_works_is_not_offered() -> None:
    assert offered(asked(declared(front=safe(FRONT, provides=("relieved",), latency_s=60.0, duration_s=90.0)))) == []


def pairs(effects: dict[str, float], tried: tuple[str, ...], **more: Any) -> list[str]:
    traits = {name: safe(name) for name in effects}
    seen = frozenset((KIND.value, name) for name in tried)
    return offered(asked(traits, effects, tries_pairs=True, tried=seen, **more))


def test_a_pair_is_tried_once_a_single_act_was_and_none_helps() -> None:
    assert pairs({FRONT: 0.0, BACK: 0.0}, ()) == []
    assert pairs({FRONT: 0.0, BACK: 0.0}, (FRONT,)) == ["back, then front"]


def test_no_pair_is_tried_while_a_single_act_helps_nor_with_one_that_harms() -> None:
    assert pairs({FRONT: 0.0, BACK: 0.0, "other": 1.0}, (FRONT, BACK)) == []
    assert pairs({FRONT: 0.0, BACK: -1.0}, (FRONT, BACK)) == []


def test_a_pair_that_was_measured_stays_on_offer() -> None:
    known = measured(1.5, FRONT, BACK)
    assert pairs({FRONT: 0.0, BACK: 0.0, "other": 1.0}, (), pair_beliefs=known) == ["back, then front"]


def test_actions_that_set_an_amount_or_only_inform_are_no_steps() -> None:
    traits = {FRONT: safe(FRONT, sets="servers"), BACK: safe(BACK, informs_only=True), "other": safe("other")}
    seen = frozenset((KIND.value, name) for name in traits)
    assert offered(asked(traits, tries_pairs=True, tried=seen)) == []


def test_of_many_actions_at_most_ten_pairs_are_weighed() -> None:
    names = {f"a{n}": 0.0 for n in range(8)}
    assert len(pairs(names, tuple(names))) == 10
