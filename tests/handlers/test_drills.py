"""A drill does an action, undoes it, and believes neither without looking."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from handlers import ActionHandler, discover_actions, from_callable
from handlers.drills import DrillReport, practise, practise_all
from handlers.support.processes import DRILL_MARK
from tests.handlers.conftest import TICK, wait_until


def switch(folder: Path, **flaws: Any) -> ActionHandler:
    """Return an action that puts a file down and takes it away, with the flaws that are asked for."""
    file = str(folder / "on")

    def act(params: Mapping[str, Any], goal_id: str) -> dict[str, Any]:
        if not flaws.get("does_nothing"):
            Path(file).touch()
        return {"success": not flaws.get("fails", False), "detail": "switched on"}

    def undo(params: Mapping[str, Any], before: Mapping[str, Any], context: Any) -> dict[str, Any]:
        if not flaws.get("stays_on"):
            Path(file).unlink(missing_ok=True)
        return {"success": not flaws.get("cannot_undo", False), "detail": "switched off"}

    def check(params: Mapping[str, Any], before: Mapping[str, Any], context: Any) -> str:
        return "succeeded" if Path(file).exists() else "skipped"

    target = None if flaws.get("no_target") else {"n": 1}
    hooks = {"undo": undo, "check": check, "drill": lambda context: target}
    return from_callable("switch", act, hooks=hooks, timeout_s=20.0)


def test_what_can_be_done_and_undone_passes(tmp_path: Path) -> None:
    drill = practise(switch(tmp_path), TICK)
    assert (drill.finding, drill.detail) == ("passed", "switched on switched off")
    assert not (tmp_path / "on").exists()


@pytest.mark.parametrize(
    ("flaw", "words"),
    [
        ("fails", "The action failed"),
        ("does_nothing", "a check found: skipped"),
        ("cannot_undo", "The undo failed"),
        ("stays_on", "effect still in place"),
    ],
)
def test_a_drill_fails_where_act_or_undo_fails_or_only_says_that_it_worked(
    tmp_path: Path, flaw: str, words: str
) -> None:
    drill = practise(switch(tmp_path, **{flaw: True}), TICK)
    assert drill.finding == "failed"
    assert words in drill.detail


def test_the_success_ratio_is_of_those_that_had_a_target(tmp_path: Path) -> None:
    drills = [
        practise(switch(tmp_path), TICK),
        practise(switch(tmp_path, cannot_undo=True), TICK),
        practise(switch(tmp_path, no_target=True), TICK),
    ]
    assert [drill.finding for drill in drills] == ["passed", "failed", "no target"]
    facts = {str(n): drill for n, drill in enumerate(drills)}
    assert DrillReport.of_facts(facts).success_ratio == 0.5
    assert DrillReport.of_facts({}).success_ratio is None


def test_every_action_of_the_house_that_declares_a_target_passes_its_drill() -> None:
    drills = {drill.action: drill for drill in practise_all(discover_actions().values(), TICK)}
    assert {"limit_process_affinity", "pause_process", "prune_directory", "renice_process"} <= set(drills)
    assert {drill.action: drill.detail for drill in drills.values() if drill.finding == "failed"} == {}
    assert drills["prune_directory"].finding == "passed"


def test_a_drill_of_pruning_is_not_bound_by_what_is_configured() -> None:
    prune = discover_actions()["prune_directory"]
    drill = practise(replace(prune, option_values={"roots": [], "pattern": "*.log", "older_than_days": 1e6}), TICK)
    assert drill.finding == "passed", drill.detail


def test_nothing_that_was_practised_on_outlives_its_drill() -> None:
    told = " ".join(drill.detail for drill in practise_all(discover_actions().values(), TICK))
    sleepers, folders = re.findall(r"pid (\d+)", told), re.findall(r"from (\S+) to its quarantine", told)
    assert sleepers
    assert folders
    assert wait_until(lambda: not any(_still_sleeps(int(pid)) for pid in sleepers))
    assert not any(Path(folder).exists() for folder in folders)


def _still_sleeps(pid: int) -> bool:
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and process.cmdline()[-1:] == [DRILL_MARK]
    return False


def test_a_target_is_cleared_away_also_where_the_drill_failed(tmp_path: Path) -> None:
    handler = switch(tmp_path, fails=True)
    cleared = tmp_path / "cleared"
    hooks = replace(handler.hooks, clear=lambda params, context: cleared.write_text(str(params["n"])))
    assert practise(replace(handler, hooks=hooks), TICK).finding == "failed"
    assert cleared.read_text() == "1"
