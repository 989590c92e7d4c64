"""The actions on processes, tried on real processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from handlers import ActionHandler, discover_actions
from handlers.sandbox.parent import call
from handlers.support.processes import identity, usage
from storage.records import ReceiptStatus
from tests.handlers.conftest import SPIN_ON_TWO_THREADS, context_for, make_goal, wait_until

ACTIONS = discover_actions()
ON_PROCESSES = ["renice_process", "limit_process_affinity", "pause_process"]
SPINNERS = {"allow_commands": ["*hashlib*"], "over_s": 0.6}
"""Only what spins, watched for long enough to be seen at work on a machine that has much else to do."""

EXTRA = {"renice_process": {"nice": 7}, "limit_process_affinity": {"cpus": 1}, "pause_process": {}}

Start = Callable[..., psutil.Process]


def state(process: psutil.Process) -> list[Any]:
    threads = [thread.id for thread in process.threads()]
    return [
        [os.getpriority(os.PRIO_PROCESS, thread) for thread in threads],
        [sorted(os.sched_getaffinity(thread)) for thread in threads],
        process.status() == psutil.STATUS_STOPPED,
    ]


def cores_used(process: psutil.Process, over_s: float = 0.5) -> float:
    def used_s() -> float:
        return sum(sum(p.cpu_times()[:2]) for p in [process, *process.children(recursive=True)])

    before, started = used_s(), time.monotonic()
    time.sleep(over_s)
    return (used_s() - before) / (time.monotonic() - started)


def test_a_process_that_ended_after_it_was_watched_is_still_named() -> None:
    with subprocess.Popen(["/bin/sleep", "30"]) as sleeper:
        named = identity(psutil.Process(sleeper.pid))
        (seen,) = usage([psutil.Process(sleeper.pid)], 0.01)
        sleeper.kill()
    assert seen.evidence().items() >= named.items()


@pytest.fixture(params=ON_PROCESSES)
def handler(request: pytest.FixtureRequest) -> ActionHandler:
    return ACTIONS[request.param]


def test_undo_restores_what_was_there_before_and_twice_changes_nothing_more(
    handler: ActionHandler, spinner: psutil.Process
) -> None:
    params, context, original = {**identity(spinner), **EXTRA[handler.name]}, context_for(spinner), state(spinner)
    before = call(handler, "capture", params, None, context).value
    assert before is not None
    assert call(handler, "check", params, before, context).status is ReceiptStatus.SKIPPED
    done = call(handler, "run", params, before, context)
    assert done.status is ReceiptStatus.SUCCEEDED, done.detail
    assert state(spinner) != original
    assert call(handler, "check", params, before, context).status is ReceiptStatus.SUCCEEDED
    for _ in range(2):
        undone = call(handler, "undo", params, before, context)
        assert undone.status is ReceiptStatus.SUCCEEDED, undone.detail
        assert state(spinner) == original


def test_a_dry_run_says_what_it_would_do_and_touches_nothing(handler: ActionHandler, spinner: psutil.Process) -> None:
    params, original = {**identity(spinner), **EXTRA[handler.name]}, state(spinner)
    result = call(handler, "run", params, None, context_for(spinner, dry_run=True))
    assert result.status is ReceiptStatus.DRY_RUN
    assert "would" in result.detail
    assert str(spinner.pid) in result.detail
    assert state(spinner) == original


@pytest.mark.parametrize("changes", [{"create_time": 1.0}, {"pid": 2**22 - 3}])
def test_a_reused_or_absent_pid_is_never_touched(handler: ActionHandler, start: Start, changes: dict[str, Any]) -> None:
    process = start()
    original = state(process)
    result = handler.run({**identity(process), **EXTRA[handler.name], **changes}, context_for(process))
    assert not result.success
    assert "has ended" in result.detail
    assert state(process) == original


@pytest.mark.parametrize("options", [{"allow_names": []}, {"allow_names": ["nginx*"]}, {"allow_owners": ["nobody"]}])
def test_a_process_that_the_configuration_does_not_allow_is_refused_and_not_proposed(
    handler: ActionHandler, spinner: psutil.Process, options: dict[str, Any]
) -> None:
    original, context = state(spinner), context_for(spinner, options=options)
    result = handler.run({**identity(spinner), **EXTRA[handler.name]}, context)
    assert not result.success
    assert result.detail.startswith("Refused")
    assert state(spinner) == original
    assert [c for c in handler.propose(make_goal(), context) if c.params["pid"] == spinner.pid] == []


def test_the_system_and_foreact_itself_are_refused_whatever_is_allowed(handler: ActionHandler) -> None:
    everything = context_for(options={"allow_names": ["*"], "allow_owners": ["root", psutil.Process().username()]})
    for process in [psutil.Process(1), *psutil.Process().parents(), psutil.Process()]:
        result = handler.run({**identity(process), **EXTRA[handler.name]}, everything)
        assert not result.success
        assert "belongs to" in result.detail


def test_everything_below_a_foreact_process_is_refused(handler: ActionHandler, tmp_path: Path) -> None:
    """The child of a process called foreact asks to act on its sibling."""
    ask = f"""
import sys, psutil
from handlers import ActionContext, discover_actions
from handlers.support.processes import identity, usage
from tests.handlers.conftest import TICK
other = psutil.Process(int(sys.argv[1]))
params = {{**identity(other), **{EXTRA[handler.name]!r}}}
context = ActionContext(tick=TICK, options={{"allow_names": ["*"]}})
print(discover_actions()[{handler.name!r}].run(params, context).detail)
"""
    supervise = f"""
import subprocess, sys
sibling = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"])
asked = subprocess.run([sys.executable, "-c", {ask!r}, str(sibling.pid)], capture_output=True, text=True)
sibling.kill()
print(asked.stdout + asked.stderr)
"""
    (tmp_path / "foreact").write_text(supervise)
    answer = subprocess.run([sys.executable, tmp_path / "foreact"], capture_output=True, text=True, check=True)
    assert "belongs to foreact itself" in answer.stdout


@pytest.mark.parametrize("params", [{}, {"pid": "1"}, {"pid": 5}, {"pid": True, "create_time": 3.0}])
def test_parameters_that_name_no_process_are_refused(handler: ActionHandler, params: dict[str, Any]) -> None:
    result = handler.run(params, context_for(options={"allow_names": ["*"]}))
    assert not result.success
    assert "'create_time'" in result.detail


def test_the_busiest_allowed_process_is_proposed_with_evidence(
    handler: ActionHandler, spinner: psutil.Process, start: Start
) -> None:
    start()
    context = context_for(spinner, options=SPINNERS)
    proposed = handler.propose(make_goal(), context)
    assert [candidate.params["pid"] for candidate in proposed] == [spinner.pid]
    candidate = proposed[0]
    assert candidate.evidence["cpu_cores"] > 0.2
    (meant,) = handler.variants(candidate)
    assert meant.expected_effect["cpu_used_ratio"] < 0
    assert str(spinner.pid) in candidate.target
    assert handler.run(candidate.params, context_for(spinner, dry_run=True)).success


def test_nothing_is_proposed_for_a_metric_that_it_cannot_move(handler: ActionHandler, spinner: psutil.Process) -> None:
    assert handler.propose(make_goal('disk_used_ratio{mount="/"}'), context_for(spinner)) == []


def test_nothing_is_proposed_twice(spinner: psutil.Process, handler: ActionHandler) -> None:
    context = context_for(spinner, options=SPINNERS)
    candidate = handler.propose(make_goal(), context)[0]
    before = handler.capture(candidate.params, context)
    assert handler.run(candidate.params, context).success
    again = handler.propose(make_goal(), context)
    handler.undo(candidate.params, before, context)
    assert candidate.params["pid"] not in {each.params["pid"] for each in again}


def test_a_drill_acts_and_undoes_on_a_target_of_its_own(handler: ActionHandler) -> None:
    context = context_for()
    params = call(handler, "drill", {}, None, context).value
    assert params is not None
    target = psutil.Process(params["pid"])
    try:
        original = state(target)
        before = call(handler, "capture", params, None, context).value
        assert call(handler, "run", params, before, context).succeeded
        assert state(target) != original
        assert call(handler, "undo", params, before, context).succeeded
        assert state(target) == original
    finally:
        target.kill()


def test_an_ended_process_leaves_nothing_to_undo(handler: ActionHandler, start: Start) -> None:
    process = start()
    params, context = {**identity(process), **EXTRA[handler.name]}, context_for(process)
    before = handler.capture(params, context)
    process.kill()
    assert wait_until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)
    assert handler.undo(params, before, context).skipped
    assert handler.check(params, before, context) is ReceiptStatus.UNKNOWN


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one CPU: there is nothing to confine a process to")
def test_confining_to_one_cpu_bounds_the_load_of_threads_and_children(start: Start) -> None:
    parent = start(
        f"import subprocess, sys, time\nsubprocess.Popen([sys.executable, '-S', '-c', {SPIN_ON_TWO_THREADS!r}], "
        "stdout=subprocess.DEVNULL)\nprint('ready', flush=True)\ntime.sleep(60)"
    )
    assert wait_until(lambda: len(parent.children()) == 1 and cores_used(parent, 0.2) > 0.1)
    handler, context = ACTIONS["limit_process_affinity"], context_for(parent)
    params = {**identity(parent), "cpus": 1, "include_children": True}
    before = handler.capture(params, context)
    assert handler.run(params, context).success
    time.sleep(0.1)
    assert cores_used(parent) <= 1.1
    child = parent.children()[0]
    assert all(len(os.sched_getaffinity(thread.id)) == 1 for thread in child.threads())
    assert handler.undo(params, before, context).success
    assert all(len(os.sched_getaffinity(thread.id)) > 1 for thread in child.threads())


def test_a_thread_started_after_the_act_is_restored_too(start: Start) -> None:
    process = start(
        "import sys, threading, time\nprint('ready', flush=True)\n"
        "while len(__import__('os').sched_getaffinity(0)) > 1: time.sleep(.01)\n"
        "threading.Thread(target=time.sleep, args=(60,)).start()\ntime.sleep(60)"
    )
    handler, context, params = ACTIONS["limit_process_affinity"], context_for(process), {**identity(process), "cpus": 1}
    before = handler.capture(params, context)
    assert handler.run(params, context).success
    assert wait_until(lambda: process.num_threads() == 2)
    assert handler.undo(params, before, context).success
    assert all(len(os.sched_getaffinity(thread.id)) > 1 for thread in process.threads())


def test_a_nice_value_is_only_ever_raised(start: Start) -> None:
    process = start()
    process.nice(15)
    result = ACTIONS["renice_process"].run({**identity(process), "nice": 5}, context_for(process))
    assert result.skipped
    assert process.nice() == 15


AS_NOBODY = """
import os, resource, subprocess
from pathlib import Path
import psutil
import handlers.actions.renice_process as module
from handlers import ActionContext
from handlers.support.processes import identity, usage
from tests.handlers.conftest import TICK
resource.setrlimit(resource.RLIMIT_NICE, (0, 0))
os.setgid(65534)
os.setuid(65534)
pid = int(subprocess.run(["/bin/sh", "-c", "sleep 60 >&- 2>&- & echo $!"], capture_output=True).stdout)
process, renice = psutil.Process(pid), module.renice_process.handler
context, params = ActionContext(tick=TICK, options={"allow_names": ["sleep"]}), {**identity(process), "nice": 5}
before = renice.capture(params, context)
print(renice.reversible, renice.run(params, context).detail)
print(renice.undo(params, before, context), process.nice())
process.kill()
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become an ordinary user to try this")
def test_an_undo_that_the_system_does_not_permit_fails_plainly_and_the_action_is_not_called_reversible() -> None:
    """An ordinary user may raise a nice value and not lower it again."""
    said = subprocess.run([sys.executable, "-c", AS_NOBODY], capture_output=True, text=True, check=True).stdout
    assert said.startswith("False Set nice 5 on 1 thread(s)")
    assert "success=False" in said
    assert "needs root, CAP_SYS_NICE" in said
    assert said.rstrip().endswith("5")


def test_pausing_leaves_a_process_that_was_paused_before_paused(start: Start) -> None:
    process = start()
    process.suspend()
    assert wait_until(lambda: process.status() == psutil.STATUS_STOPPED)
    handler, context, params = ACTIONS["pause_process"], context_for(process), identity(process)
    before = handler.capture(params, context)
    handler.run(params, context)
    handler.undo(params, before, context)
    assert process.status() == psutil.STATUS_STOPPED


def test_what_would_end_a_pause_ends_with_its_undo(start: Start) -> None:
    """It would wake the process in the middle of the next pause."""
    process = start()
    context, params = context_for(process), identity(process)
    paused = call(ACTIONS["pause_process"], "run", params, None, context)
    assert paused.undo is not None
    timer = psutil.Process(paused.undo["timer"]["pid"])
    family = [timer, *timer.children(recursive=True)]
    assert call(ACTIONS["pause_process"], "undo", params, paused.undo, context).succeeded
    assert wait_until(lambda: not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in family))


def test_a_pause_ends_by_itself_when_nobody_lives_to_end_it(start: Start) -> None:
    process = start()
    context = context_for(process, options={"resume_after_s": 0.5})
    assert call(ACTIONS["pause_process"], "run", identity(process), None, context).succeeded
    assert process.status() == psutil.STATUS_STOPPED
    assert wait_until(lambda: process.status() != psutil.STATUS_STOPPED)


def test_proposals_that_share_a_memo_look_at_the_processes_once(spinner: psutil.Process) -> None:
    memo: dict[str, Any] = {}
    context = context_for(spinner, memo=memo)
    first = [ACTIONS[name].propose(make_goal(), context) for name in ON_PROCESSES]
    assert len(memo) == 1
    started = time.monotonic()
    again = [ACTIONS[name].propose(make_goal(), context) for name in ON_PROCESSES]
    assert time.monotonic() - started < 0.2
    assert [c.evidence for p in again for c in p] == [c.evidence for p in first for c in p]
