"""With the default objectives alone, every goal type can be reached."""

from __future__ import annotations

import numpy as np

from storage.records import GoalType, ObjectiveKind
from tasks.goals import Evidence, discover_rules, set_goals
from tasks.objectives.conflicts import contradictions
from tasks.objectives.defaults import default_objectives
from tasks.objectives.tree import refuse_unknown_parents
from tests.tasks.goals.worlds import TICK, frame_of

RULE_OF_KIND = {
    ObjectiveKind.BOUND: GoalType.BOTTLENECK_PREVENTION,
    ObjectiveKind.HEADROOM: GoalType.RESOURCE_OPTIMIZATION,
    ObjectiveKind.PERCENTILE: GoalType.PERFORMANCE_TARGET,
    ObjectiveKind.CAPACITY: GoalType.CAPACITY_PLANNING,
    ObjectiveKind.BUDGET: GoalType.COST_REDUCTION,
    ObjectiveKind.SLO: GoalType.SLA_MAINTENANCE,
}


def test_the_defaults_cover_every_kind_of_objective_and_do_not_contradict_each_other() -> None:
    objectives = default_objectives()
    assert {objective.kind for objective in objectives} == set(ObjectiveKind)
    assert set(RULE_OF_KIND.values()) | {GoalType.PATTERN_ADAPTATION} == set(GoalType)
    assert contradictions(objectives) == ()
    refuse_unknown_parents(objectives)
    names = [objective.name for objective in objectives]
    assert len(names) == len(set(names))


def test_a_bad_day_raises_a_goal_of_each_type_that_has_an_objective() -> None:
    minutes = np.arange(1_440)
    slow = np.where(minutes % 3 == 0, 900.0, 100.0)
    slow[-3:] = 900.0
    fine = {
        "cpu_used_ratio": np.full(1_440, 0.97),
        "memory_used_ratio": np.full(1_440, 0.95),
        'disk_used_ratio{mount="/"}': 0.5 + 0.35 * minutes / 1_440,
        "latency": slow,
    }
    hourly = {
        'disk_used_ratio{mount="/"}': 0.2 + 0.65 * np.arange(480) / 480,
        "cost_per_hour": np.full(480, 5.0),
    }
    frames = (frame_of(fine), frame_of({"cost_per_hour": np.full(24, 5.0)}, 3_600.0))
    evidence = Evidence(tick=TICK, objectives=default_objectives(), frames=frames, hourly=frame_of(hourly, 3_600.0))
    changes = set_goals(evidence, [], [], max_active_goals=50, cycle_id="c")
    found = {goal.goal_type for goal in changes.new}
    assert found == set(RULE_OF_KIND.values())
    assert all(goal.because["sentence"].endswith(".") for goal in changes.new)


def test_an_ordinary_day_raises_nothing() -> None:
    rng = np.random.default_rng(0)
    calm = {
        "cpu_used_ratio": rng.uniform(0.1, 0.4, 1_440),
        "load1_per_core": rng.uniform(0.1, 0.6, 1_440),
        "memory_used_ratio": rng.uniform(0.4, 0.45, 1_440),
        "swap_used_ratio": np.zeros(1_440),
        'disk_used_ratio{mount="/"}': np.full(1_440, 0.55) + rng.normal(0, 1e-4, 1_440),
        "latency": rng.uniform(50, 150, 1_440),
    }
    evidence = Evidence(tick=TICK, objectives=default_objectives(), frames=(frame_of(calm),))
    assert set_goals(evidence, [], [], max_active_goals=50, cycle_id="c").new == ()


def test_each_rule_is_found_by_its_file() -> None:
    assert {rule.name for rule in discover_rules()} == {kind.value.lower() for kind in GoalType}
