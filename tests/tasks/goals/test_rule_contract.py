"""What every rule keeps to, also one that was just added: each file in `tasks/goals/rules` is found and tested here."""

from __future__ import annotations

from dataclasses import replace

import pytest

from storage.records import Goal, GoalType
from tasks.goals.discovery import discover_rules
from tasks.goals.evidence import Evidence, Rule
from tasks.goals.setting import set_goals
from tests.tasks.goals.worlds import TICK, a_bad_day

BARE = Goal(
    goal_id="g",
    goal_type=GoalType.SLA_MAINTENANCE,
    description="",
    cause="",
    series="m",
    bound=1.0,
    baseline=2.0,
    severity=0.5,
    probability=0.5,
    urgency=0.5,
    priority=0.1,
    created_at=TICK,
    deadline=TICK,
    because={"inputs": {}},
)


@pytest.fixture(params=discover_rules(), ids=lambda rule: str(rule.name))
def rule(request: pytest.FixtureRequest) -> Rule:
    found: Rule = request.param
    return found


def test_every_goal_type_that_is_named_has_the_rule_of_its_name() -> None:
    by_name = {each.name: each.goal_type for each in discover_rules()}
    assert {kind: by_name[kind.lower()] for kind in GoalType} == {kind: kind for kind in GoalType}


def test_without_evidence_it_proposes_nothing_and_no_goal_of_its_own_is_met(rule: Rule) -> None:
    assert list(rule.propose(Evidence(tick=TICK))) == []
    standing = rule.standing(BARE.model_copy(update={"goal_type": rule.goal_type}), Evidence(tick=TICK))
    assert not standing.is_met
    assert standing.statement


def test_it_proposes_the_same_on_the_same_evidence(rule: Rule) -> None:
    assert list(rule.propose(a_bad_day())) == list(rule.propose(a_bad_day()))


def test_its_goals_say_why_name_it_and_are_judged_by_it_alone(rule: Rule) -> None:
    known = a_bad_day()
    views = set_goals(known, [], [], max_active_goals=50, cycle_id="first", rules=[rule]).views([])
    for view in views:
        assert (view.goal.rule, view.goal.goal_type) == (rule.name, rule.goal_type)
        assert set(view.goal.because) >= {"rule", "sentence", "inputs", "forecast", "is_broken_now"}
        assert view.goal.because["sentence"].endswith(".")
    asked: list[str] = []
    watched = replace(rule, standing=lambda goal, evidence: asked.append(goal.goal_id) or rule.standing(goal, evidence))
    others = [each for each in discover_rules() if each.name != rule.name]
    set_goals(known, views, [], max_active_goals=50, cycle_id="second", rules=[*others, watched])
    assert asked == [view.goal.goal_id for view in views]


def test_only_what_says_that_it_informs_leads_to_no_act_of_its_own() -> None:
    assert {each.name for each in discover_rules() if each.informs} == {"pattern_adaptation"}
    views = set_goals(a_bad_day(), [], [], max_active_goals=50, cycle_id="c").new
    assert views
    assert not any(goal.informs for goal in views)
