"""A rule is one file, of an old goal type or of a new one: nothing else knows of it, and it works everywhere."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from settings import load_settings
from storage import ForeactError, Store, records
from storage.records import GoalState, GoalType, GoalView, Objective
from tasks.goals import rules
from tasks.goals.discovery import discover_rules
from tasks.goals.evidence import Evidence
from tasks.goals.setting import set_goals
from tests.api.conftest import API
from tests.tasks.goals.worlds import evidence_of, open_after

ROOT = Path(records.__file__).parents[1]
DOCUMENTED = (ROOT / "docs/goals.md").read_text().split("## Adding a rule")[1].split("```python\n")[1].split("```")[0]
NEW_TYPE = 'GOAL_TYPE = GoalType("FROZEN_METRIC")'
FILES = {
    "frozen_metric": DOCUMENTED,
    "stuck_sensor": DOCUMENTED.replace(NEW_TYPE, "GOAL_TYPE = GoalType.BOTTLENECK_PREVENTION"),
}
CPU = Objective(name="cpu", metric="cpu_usage", bound=90)
STILL, MOVING = np.full(120, 60.0), np.linspace(50, 60, 120)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Put a second folder onto the path on which rules are found."""
    made = tmp_path / "rules"
    made.mkdir()
    monkeypatch.setattr(rules, "__path__", [*rules.__path__, str(made)])
    discover_rules.cache_clear()
    yield made
    discover_rules.cache_clear()
    for name in FILES:
        sys.modules.pop(f"{rules.__name__}.{name}", None)


@pytest.fixture
def both(folder: Path) -> Path:
    """Add the rule of the documentation as it is, and as one of an old type."""
    for name, text in FILES.items():
        (folder / f"{name}.py").write_text(text)
    return folder


def seen(values: np.ndarray, at: datetime) -> Evidence:
    return evidence_of(CPU, {"cpu_usage": values}, tick=at)


def raised(at: datetime) -> dict[str, GoalView]:
    views = open_after(set_goals(seen(STILL, at), [], [], max_active_goals=9, cycle_id="first"))
    return {view.goal.rule: view for view in views}


def reviewed(views: list[GoalView], evidence: Evidence) -> dict[str, GoalView]:
    changes = set_goals(evidence, views, [], max_active_goals=9, cycle_id="second")
    return {view.goal.rule: view for view in changes.views(views)}


@pytest.mark.usefixtures("both")
def test_each_sets_a_goal_of_its_type_that_names_it(tick: datetime) -> None:
    goals = {name: view.goal for name, view in raised(tick).items()}
    assert {name: str(goal.goal_type) for name, goal in goals.items()} == {
        "frozen_metric": "FROZEN_METRIC",
        "stuck_sensor": "BOTTLENECK_PREVENTION",
    }
    assert goals["stuck_sensor"].cause == "BOTTLENECK_PREVENTION:cpu:cpu_usage"


@pytest.mark.usefixtures("both")
def test_each_goal_is_judged_by_the_rule_that_it_names(tick: datetime) -> None:
    views = list(raised(tick).values())
    moved = reviewed(views, seen(MOVING, tick + timedelta(hours=2)))
    assert {view.state for view in moved.values()} == {GoalState.ACHIEVED}
    assert all(view.reason.startswith("cpu_usage moves") for view in moved.values())


@pytest.mark.usefixtures("both")
def test_a_goal_stored_before_rules_were_named_is_judged_by_the_built_in_rule_of_its_type(tick: datetime) -> None:
    view = raised(tick)["stuck_sensor"]
    before = view.model_copy(update={"goal": view.goal.model_copy(update={"rule": ""})})
    after = reviewed([before], seen(STILL, tick + timedelta(hours=2)))
    assert after[""].reason.startswith("cpu_usage is 60 and should be at most 90")


def test_a_goal_whose_rule_is_gone_ends_and_says_so(both: Path, tick: datetime) -> None:
    views = list(raised(tick).values())
    for file in both.glob("*.py"):
        file.unlink()
    discover_rules.cache_clear()
    after = reviewed(views, seen(STILL, tick + timedelta(minutes=5)))
    assert not any(view.is_open for view in after.values())
    assert after["frozen_metric"].reason == "its rule frozen_metric is no longer there"


@pytest.mark.usefixtures("both")
def test_both_are_shown_over_rest_and_on_the_dashboard(client: TestClient, store: Store, tick: datetime) -> None:
    changes = set_goals(seen(STILL, tick), [], [], max_active_goals=9, cycle_id="first")
    store.goals.append(changes.new, changes.transitions, "first")
    shown = {each["rule"]: each for each in client.get(f"{API}/goals").json()["goals"]}
    assert {name: each["goal_type"] for name, each in shown.items()} == {
        "frozen_metric": "FROZEN_METRIC",
        "stuck_sensor": "BOTTLENECK_PREVENTION",
    }
    one = client.get(f"{API}/goals/{shown['frozen_metric']['goal_id']}").json()
    assert one["because"]["sentence"] == "cpu_usage has been 60 for an hour."
    assert "Frozen metric" in client.get("/").text


@pytest.mark.usefixtures("both")
def test_an_action_may_name_the_new_type_and_no_other(tmp_path: Path) -> None:
    file = tmp_path / "foreact.toml"
    file.write_text('[actions.poke]\ngoal_types = ["FROZEN_METRIC", "SLA_MAINTENANCE"]\n')
    named = load_settings(tmp_path).action("poke").goal_types
    assert named == (GoalType("FROZEN_METRIC"), GoalType.SLA_MAINTENANCE)
    file.write_text('[actions.poke]\ngoal_types = ["FROZEN"]\n')
    with pytest.raises(ForeactError, match=r"no rule sets goals of this type; there are .*FROZEN_METRIC.*'FROZEN'"):
        load_settings(tmp_path)


def test_two_files_of_one_name_are_refused_and_both_named(folder: Path) -> None:
    second = folder / "sla_maintenance.py"
    second.write_text(DOCUMENTED)
    with pytest.raises(ForeactError) as caught:
        discover_rules()
    assert caught.value.code == "goals.duplicate_rule"
    assert str(second) in caught.value.message
    assert str(ROOT / "tasks/goals/rules/sla_maintenance.py") in caught.value.message
    assert "another name" in caught.value.remedy


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (DOCUMENTED.replace(NEW_TYPE, ""), "has no attribute 'GOAL_TYPE'"),
        (DOCUMENTED.replace(NEW_TYPE, 'GOAL_TYPE = "FROZEN_METRIC"'), "its GOAL_TYPE 'FROZEN_METRIC' is no GoalType"),
        (DOCUMENTED.replace("FROZEN_METRIC", "frozen"), "'frozen' is not a valid GoalType"),
        ("def propose(:", "SyntaxError"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_by_its_name(folder: Path, text: str, why: str) -> None:
    (folder / "frozen_metric.py").write_text(text)
    with pytest.raises(ForeactError, match=why) as caught:
        discover_rules()
    assert caught.value.code == "goals.bad_rule"
    assert str(folder / "frozen_metric.py") in caught.value.message


def test_the_contract_tests_find_them(tmp_path: Path) -> None:
    for part in ("storage", "handlers", "tasks", "tests/tasks/goals"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("settings.py", "pyproject.toml", "tests/__init__.py", "tests/conftest.py", "tests/tasks/__init__.py"):
        shutil.copy(ROOT / file, tmp_path / file)
    for name, text in FILES.items():
        (tmp_path / f"tasks/goals/rules/{name}.py").write_text(text)
    wanted = ["tests/tasks/goals/test_rule_contract.py", "-k", " or ".join(FILES), "-p", "no:cacheprovider"]
    answer = subprocess.run([sys.executable, "-m", "pytest", *wanted], cwd=tmp_path, capture_output=True, text=True)
    assert "6 passed" in answer.stdout, answer.stdout
