"""An undo restores what was there before, once, and says so where it cannot."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from handlers import discover_actions
from storage.records import ReceiptStatus
from tests.tasks.execute.acts import action_of, answer_of
from tests.tasks.execute.conftest import Desk


def test_an_undo_restores_what_was_captured_and_what_the_act_kept(desk: Desk) -> None:
    restored: list[Any] = []
    hooks = {
        "capture": lambda params, context: {"size": 3},
        "undo": lambda params, before, context: restored.append(dict(before)) or {"success": True},
    }
    desk.register(desk.marking(undo={"ticket": 7}), hooks=hooks, runs_in_process=True)
    desk.plan(action_of())
    desk.execute()
    undo = desk.plan_undo("a")
    assert desk.plan_undo("a").action_id == undo.action_id
    assert desk.execute()[undo.action_id].status is ReceiptStatus.SUCCEEDED
    assert desk.execute() == {}
    assert restored == [{"size": 3, "ticket": 7}]


def test_what_was_switched_off_since_can_still_be_undone(desk: Desk) -> None:
    desk.register(desk.marking(), hooks={"undo": lambda params, before, context: {"success": True}})
    desk.plan(action_of())
    desk.execute()
    desk.overrides = {"actions": {"restart": {"enabled": False}}}
    undo = desk.plan_undo("a")
    assert desk.execute()[undo.action_id].status is ReceiptStatus.SUCCEEDED


def test_an_undo_that_fails_says_so_and_holds_the_action_until_a_person_approves_it(desk: Desk) -> None:
    hooks = {"undo": lambda params, before, context: {"success": False, "detail": "the volume is gone"}}
    desk.register(desk.marking(), hooks=hooks)
    desk.plan(action_of("a"))
    desk.execute()
    undo = desk.plan_undo("a")
    receipt = desk.execute(desk.later(60))[undo.action_id]
    assert receipt.status is ReceiptStatus.FAILED
    assert "the volume is gone" in receipt.detail
    (line,) = [line for line in desk.store.audit.latest() if line.verb == "undo failed"]
    assert line.subject == undo.action_id
    assert "by hand" in line.detail["remedy"]
    desk.plan(action_of("b", at=desk.clock.now))
    assert desk.execute(desk.later(60)) == {}
    assert desk.store.actions.approve(answer_of("b", at=desk.clock.now))
    assert desk.execute()["b"].status is ReceiptStatus.SUCCEEDED


def test_undoing_what_was_never_done_is_skipped(desk: Desk) -> None:
    desk.plan(action_of("u", undo_of="never"))
    receipt = desk.execute()["u"]
    assert receipt.status is ReceiptStatus.SKIPPED
    assert "nothing to undo" in receipt.detail


@pytest.fixture
def child() -> Iterator[psutil.Process]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield psutil.Process(process.pid)
    process.kill()
    process.wait()


@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs to take one away"
)
def test_a_real_process_is_confined_and_gets_its_cpus_back(desk: Desk, child: psutil.Process) -> None:
    desk.actions = discover_actions()
    # What foreact started belongs to foreact; this process stands for a load of somebody else.
    params = {"pid": child.pid, "create_time": child.create_time(), "name": child.name(), "cpus": 1}
    desk.overrides = {"actions": {"limit_process_affinity": {"allow_names": [child.name()], "level": "auto"}}}
    all_cpus = child.cpu_affinity()
    desk.plan(action_of(name="limit_process_affinity", params=params))
    receipt = desk.execute()["a"]
    if "foreact itself" in receipt.detail:
        pytest.skip("this runs inside foreact's own process tree")
    assert receipt.status is ReceiptStatus.SUCCEEDED, receipt.detail
    assert len(child.cpu_affinity()) == 1
    undo = desk.plan_undo("a")
    receipt = desk.execute()[undo.action_id]
    assert receipt.status is ReceiptStatus.SUCCEEDED, receipt.detail
    assert child.cpu_affinity() == all_cpus
