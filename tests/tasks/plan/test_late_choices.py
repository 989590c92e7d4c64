"""What was learned of late effects stays a word until it is admitted, and only among what the planner would draw."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from storage.records import NOTHING, Candidate, Decision, GoalType
from tasks.learn import TRIED_SHARE, LateAdvice
from tasks.learn.late.choice_log import LateState
from tasks.learn.late.fitted_q import LatePolicy
from tasks.plan import PlanProblem, make_plans
from tasks.plan.record.choices import choices_of
from tests.tasks.plan.worlds import KnownEffects, goal_of, problem_of, safe

KIND = GoalType.BOTTLENECK_PREVENTION
ARMS = (NOTHING, "late", "now")
SURE = LatePolicy(ARMS, np.array([0.0] * 6 + [2.0, 0.0, 0.0] + [0.0] * 3), np.eye(12) * 1e-6)
"""It is sure that `late` saves two hours."""


def asked(late: LateAdvice | None, seed: int = 7, **more: Any) -> PlanProblem:
    offers = [Candidate(action=name, target=name, cost=0.001) for name in ("late", "now")]
    traits = {name: safe(name) for name in ("late", "now")}
    beliefs = KnownEffects({"now": 1.5, "late": 0.2}, sd=0.4)
    return problem_of(
        [goal_of()],
        {"g": offers},
        beliefs,
        traits=traits,
        late=late,
        explore=True,
        nothing_floor=0.05,
        seed=seed,
        **more,
    )


def advice(*, tries: bool, is_admitted: bool) -> LateAdvice:
    return LateAdvice({KIND: SURE}, frozenset({KIND} if is_admitted else ()), {"g": LateState(0.5, 12.0)}, tries)


def decided(problem: PlanProblem) -> Decision:
    (decision,) = make_plans(problem).decisions
    return decision


def shares(decision: Decision) -> dict[str, float]:
    return {each.action: each.propensity for each in (decision.chosen, *decision.alternatives)}


def test_as_a_shadow_it_changes_no_draw() -> None:
    for seed in range(10):
        plain, shadowed = decided(asked(None, seed)), decided(asked(advice(tries=False, is_admitted=True), seed))
        assert shares(plain) == shares(shadowed)
        assert plain.chosen == shadowed.chosen


def test_a_shadow_says_what_it_would_have_done() -> None:
    decision = decided(asked(advice(tries=True, is_admitted=False)))
    assert decision.late is not None
    assert (decision.late.instead, decision.late.is_admitted) == ("late", False)
    assert "late would be preferred" in decision.explanation
    assert "only said" in decision.explanation


def test_once_admitted_it_is_drawn_and_the_planners_choice_still_is_at_times() -> None:
    chosen = Counter(decided(asked(advice(tries=True, is_admitted=True), seed)).chosen.action for seed in range(60))
    assert chosen["late"] > 45
    assert chosen["now"] + chosen[NOTHING] > 0
    decision = decided(asked(advice(tries=True, is_admitted=True)))
    assert decision.late is not None
    assert decision.late.usual["now"] > shares(decision)["now"]


def test_it_is_not_done_where_a_person_is_asked_first() -> None:
    problem = asked(advice(tries=True, is_admitted=True), levels={})
    decision = decided(problem)
    assert decision.late is None
    assert max(shares(decision).values()) == 1.0


def test_what_may_be_tried_keeps_a_share_only_where_what_is_learned_may_be_done() -> None:
    tried = shares(decided(asked(advice(tries=True, is_admitted=False))))
    assert tried["late"] >= 0.9 * TRIED_SHARE
    assert shares(decided(asked(advice(tries=False, is_admitted=False))))["late"] < tried["late"]


def test_a_choice_is_logged_with_what_it_was_drawn_from() -> None:
    problem = asked(advice(tries=True, is_admitted=True))
    decision = decided(problem)
    (choice,) = choices_of(problem, [decision])
    assert sum(choice.drawn.values()) == pytest.approx(1.0)
    assert sum(choice.usual.values()) == pytest.approx(1.0)
    assert choice.drawn != choice.usual
    assert choice.chosen == decision.chosen.action
    assert (choice.series, choice.bound, choice.excess_sd) == ("cpu", 90.0, 0.5)


def test_the_choices_of_one_window_are_one() -> None:
    problem = asked(advice(tries=True, is_admitted=False))
    first, again = (choices_of(problem, [decided(problem)])[0] for _ in range(2))
    assert first.choice_id == again.choice_id


def test_nothing_is_logged_where_nobody_learns_or_chance_had_no_say() -> None:
    unasked = asked(None)
    assert choices_of(unasked, [decided(unasked)]) == []
    certain = asked(advice(tries=True, is_admitted=False), levels={})
    assert choices_of(certain, [decided(certain)]) == []
