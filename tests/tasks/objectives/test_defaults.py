"""With the objectives that come along, every goal type can be reached; a user's own metrics get none of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from settings import load_settings
from storage import Store
from storage.facts import OBJECTIVES
from storage.records import GoalType, Objective, ObjectiveKind
from tasks.goals.evidence import Evidence
from tasks.goals.setting import set_goals
from tasks.objectives.conflicts import contradictions
from tasks.objectives.defaults import default_objectives, example_objectives
from tasks.objectives.in_force import ORIGIN_IN_WORDS, objectives_in_force, objectives_with_origin
from tasks.objectives.tree import refuse_unknown_parents
from tests.tasks.goals.worlds import TICK, a_bad_day, frame_of

RULE_OF_KIND = {
    ObjectiveKind.BOUND: GoalType.BOTTLENECK_PREVENTION,
    ObjectiveKind.HEADROOM: GoalType.RESOURCE_OPTIMIZATION,
    ObjectiveKind.PERCENTILE: GoalType.PERFORMANCE_TARGET,
    ObjectiveKind.CAPACITY: GoalType.CAPACITY_PLANNING,
    ObjectiveKind.BUDGET: GoalType.COST_REDUCTION,
    ObjectiveKind.SLO: GoalType.SLA_MAINTENANCE,
}


def test_the_defaults_cover_every_kind_that_is_about_metrics_and_do_not_contradict_each_other() -> None:
    objectives = (*default_objectives(), *example_objectives())
    assert {objective.kind for objective in objectives} == {kind for kind in ObjectiveKind if not kind.judges_runs}
    assert set(RULE_OF_KIND.values()) | {GoalType.PATTERN_ADAPTATION} == set(GoalType)
    assert contradictions(objectives) == ()
    refuse_unknown_parents(objectives)
    names = [objective.name for objective in objectives]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("metric", ["cpu_usage", "memory_usage", "latency", "cost_per_hour", "queue"])
def test_a_metric_that_is_not_the_hosts_own_gets_no_bound_that_nobody_set(metric: str) -> None:
    assert [each.name for each in default_objectives() if each.matches(metric)] == []


def test_every_objective_says_where_it_comes_from(tmp_path: Path, store: Store) -> None:
    own = Objective(name="own", metric="m", bound=1)
    settings = load_settings(tmp_path, use_default_objectives="examples", objectives=(own,))
    store.facts.set(OBJECTIVES.of("said"), own.model_copy(update={"name": "said"}), "ada")
    store.facts.set(OBJECTIVES.of("swap-unused"), None, "ada")
    origins = {name: origin for name, (_, origin) in objectives_with_origin(settings, store).items()}
    assert {origins[each] for each in ("disk-not-full", "latency-below-500ms", "own", "said")} == {*ORIGIN_IN_WORDS} - {
        "shared"
    }
    assert "swap-unused" not in origins
    assert [each.name for each in objectives_in_force(settings, store)] == list(origins)


def test_a_bad_day_raises_a_goal_of_each_type_that_has_an_objective() -> None:
    changes = set_goals(a_bad_day(), [], [], max_active_goals=50, cycle_id="c")
    found = {goal.goal_type for goal in changes.new}
    assert found >= set(RULE_OF_KIND.values())


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
    objectives = (*default_objectives(), *example_objectives())
    evidence = Evidence(tick=TICK, objectives=objectives, frames=(frame_of(calm),))
    assert set_goals(evidence, [], [], max_active_goals=50, cycle_id="c").new == ()
