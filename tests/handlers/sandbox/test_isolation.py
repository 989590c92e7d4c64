"""Nothing a handler does can hurt the caller."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from handlers import ActionContext, ActionResult, discover_actions, from_callable
from handlers.sandbox.parent import CallResult, call
from storage.records import ReceiptStatus
from tests.handlers.conftest import context_for, wait_until


def run(fn: Any, timeout_s: float = 10.0, **params: Any) -> CallResult:
    return call(from_callable("tried", fn), "run", params, None, context_for(), timeout_s)


def test_a_legacy_handler_gets_its_parameters_and_goal_in_another_process() -> None:
    def handler(params: dict[str, Any], goal_id: str) -> dict[str, Any]:
        print("spoke of", goal_id)
        return {"success": True, "impact": {"query_time": -0.2}, "evidence": {"pid": os.getpid(), **params}}

    result = run(handler, table="orders")
    assert result.status is ReceiptStatus.SUCCEEDED
    assert result.impact == {"query_time": -0.2}
    assert result.evidence["table"] == "orders"
    assert result.evidence["pid"] != os.getpid()
    assert result.evidence["output"] == "spoke of goal-1"


def test_an_async_handler_that_asks_for_the_context_is_awaited() -> None:
    async def handler(params: dict[str, Any], context: ActionContext) -> ActionResult:
        await asyncio.sleep(0.01)
        return ActionResult(success=True, detail=context.action_id)

    assert run(handler).detail == "action-1"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("raise KeyError('missing table')", "KeyError: 'missing table'"),
        ("raise MemoryError", "MemoryError"),
        ("raise SystemExit(4)", "SystemExit: 4"),
        ("return None", "NoneType"),
        ("return 'done'", "str instead of a dict"),
        ("return {'impact': {}}", "without 'success'"),
        ("return {'success': 'yes'}", "neither True nor False"),
        ("return {'success': True, 'impact': {'cpu': float('nan')}}", "not a finite number"),
        ("return {'success': True, 'impact': {'cpu': 'less'}}", "not a finite number"),
        ("return {'success': True, 'impact': 3}", "impact that is int"),
        ("return {'success': True, 'evidence': {'all': 'x' * 2_000_000}}", "larger than"),
        ("return {'success': True, 'evidence': {(1, 2): 3}}", "JSON"),
    ],
)
def test_a_handler_that_misbehaves_is_a_failed_result_that_says_how(body: str, words: str) -> None:
    names: dict[str, Any] = {"os": os}
    exec(f"def handler(params, goal_id):\n    {body}", names)
    result = run(names["handler"])
    assert result.status is ReceiptStatus.FAILED
    assert words in result.detail


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("os._exit(3)", "exited with code 3"),
        ("os.abort()", "SIGABRT"),
        ("os.kill(os.getpid(), 9)", "SIGKILL"),
        ("__import__('ctypes').string_at(0)", "SIGSEGV"),
    ],
)
def test_of_a_handler_that_ends_without_an_answer_nobody_knows_what_it_did(body: str, words: str) -> None:
    names: dict[str, Any] = {"os": os}
    exec(f"def handler(params, goal_id):\n    {body}", names)
    result = run(names["handler"])
    assert result.status is ReceiptStatus.UNKNOWN
    assert words in result.detail


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process say that it may go first")
def test_when_memory_runs_out_the_handler_goes_first() -> None:
    names: dict[str, Any] = {}
    read = "open('/proc/self/oom_score_adj').read()"
    exec(f"def handler(params, goal_id):\n    return {{'success': True, 'detail': {read}}}", names)
    assert run(names["handler"]).detail.strip() == "1000"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts what a process writes to")
@pytest.mark.parametrize("eaten", ["b'x' * 10**7", "object()"])
def test_a_handler_that_eats_memory_has_failed_for_want_of_it(eaten: str) -> None:
    names: dict[str, Any] = {}
    exec(f"def handler(params, goal_id):\n    return [{eaten} for _ in iter(int, 1)]", names)
    result = call(from_callable("eats", names["handler"], memory_mb=50), "run", {}, None, context_for(), 20)
    assert result.status is ReceiptStatus.FAILED
    assert result.detail == "The handler needed more memory than it may take (MemoryError)."


def test_a_handler_of_the_wrong_arity_is_a_failed_result() -> None:
    assert "cannot be called with (params, goal_id)" in run(lambda params: {"success": True}).detail


def test_a_timeout_ends_the_handler_and_everything_it_started(tmp_path: Path) -> None:
    def handler(params: dict[str, Any], goal_id: str) -> None:
        sleep = "import time; time.sleep(300)"
        own_session = subprocess.Popen([sys.executable, "-c", sleep], start_new_session=True)
        start = f"subprocess.Popen([sys.executable, '-c', {sleep!r}], stdout=-3, stderr=-3, start_new_session=True)"
        forker = f"import subprocess, sys; p = {start}"
        orphan = subprocess.run([sys.executable, "-c", f"{forker}; print(p.pid)"], capture_output=True, check=True)
        Path(params["pids"]).write_text(f"{os.getpid()} {own_session.pid} {orphan.stdout.decode()}")
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            time.sleep(1)

    started = time.monotonic()
    result = run(handler, timeout_s=2.5, pids=str(tmp_path / "pids"))
    assert result.status is ReceiptStatus.TIMED_OUT
    assert time.monotonic() - started < 5
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 3
    assert wait_until(lambda: not any(is_running(pid) for pid in pids))


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_handler_that_floods_its_output_keeps_only_the_end() -> None:
    def handler(params: dict[str, Any], goal_id: str) -> dict[str, Any]:
        for line in range(200_000):
            print("line", line)
        return {"success": True}

    result = run(handler)
    assert result.succeeded
    assert result.evidence["output"].endswith("line 199999")
    assert len(result.evidence["output"]) <= 2_000


def test_a_handler_with_large_parameters_gets_them_whole() -> None:
    def handler(params: dict[str, Any], goal_id: str) -> dict[str, Any]:
        return {"success": True, "detail": str(len(params["blob"]))}

    assert run(handler, blob="x" * 3_000_000).detail == "3000000"


def test_a_handler_that_reads_stdin_finds_it_empty() -> None:
    def handler(params: dict[str, Any], goal_id: str) -> dict[str, Any]:
        return {"success": True, "detail": repr(sys.stdin.read())}

    assert run(handler).detail == "''"


def test_what_a_successful_handler_started_on_purpose_goes_on() -> None:
    def handler(params: dict[str, Any], goal_id: str) -> dict[str, Any]:
        service = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(20)"], start_new_session=True)
        return {"success": True, "evidence": {"pid": service.pid}}

    pid = run(handler).evidence["pid"]
    time.sleep(0.1)
    assert is_running(pid)
    os.kill(pid, signal.SIGKILL)


def test_the_child_ends_when_the_caller_is_killed(tmp_path: Path) -> None:
    caller = f"""
import os, signal, time
from pathlib import Path
from handlers import ActionContext, from_callable
from handlers.sandbox.parent import call
from tests.handlers.conftest import TICK
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it for what it runs in the background
def handler(params, goal_id):
    Path({str(tmp_path / "pid")!r}).write_text(str(os.getpid()))
    time.sleep(300)
call(from_callable("long", handler), "run", {{}}, None, ActionContext(tick=TICK), 300)
"""
    child = subprocess.Popen([sys.executable, "-c", caller])
    try:
        assert wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text() != "", 20)
        handler_pid = int((tmp_path / "pid").read_text())
        assert is_running(handler_pid)
    finally:
        child.kill()
        child.wait()
    assert wait_until(lambda: not is_running(handler_pid))


def test_a_handler_that_cannot_be_pickled_runs_in_a_thread_and_says_that_it_could_not_be_ended() -> None:
    lock = threading.Lock()

    def handler(params: dict[str, Any], goal_id: str) -> dict[str, Any]:
        with lock:
            time.sleep(params["wait_s"])
            return {"success": True}

    quick = run(handler, wait_s=0)
    assert quick.succeeded
    assert "cannot be sent to another" in quick.detail
    slow = run(handler, timeout_s=0.2, wait_s=1)
    assert slow.status is ReceiptStatus.TIMED_OUT
    assert "still running" in slow.detail


def test_a_dry_run_never_calls_a_handler_that_knows_nothing_of_dry_runs(tmp_path: Path) -> None:
    def handler(params: dict[str, Any], goal_id: str) -> dict[str, Any]:
        (tmp_path / "touched").touch()
        return {"success": True}

    result = call(from_callable("tried", handler), "run", {"a": 1}, None, context_for(dry_run=True))
    assert result.status is ReceiptStatus.DRY_RUN
    assert "would call tried with {'a': 1}" in result.detail
    assert not (tmp_path / "touched").exists()


def test_a_function_that_a_handler_does_not_have_needs_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    handler = from_callable("tried", lambda params, goal_id: {"success": True})
    results = {phase: call(handler, phase, {}, {}, context_for()) for phase in ("capture", "check", "undo", "drill")}
    assert results["capture"].value == {}
    assert results["check"].status is ReceiptStatus.UNKNOWN
    assert results["undo"].status is ReceiptStatus.FAILED
    assert results["drill"].value is None
    ran = call(handler, "run", {}, {}, context_for())
    assert ran.status is ReceiptStatus.FAILED
    assert "No process could be started" in ran.detail


def test_a_check_that_fails_or_answers_nonsense_is_unknown() -> None:
    def handler(params: dict[str, Any], goal_id: str) -> dict[str, Any]:
        return {"success": True}

    def fails(params: Any, before: Any, context: ActionContext) -> str:
        raise OSError("no answer")

    for hook in (None, fails, lambda params, before, context: "perhaps", lambda params, before, context: "timed_out"):
        checked = from_callable("tried", handler, hooks={"check": hook} if hook else None)
        assert call(checked, "check", {}, {}, context_for()).status is ReceiptStatus.UNKNOWN


def test_many_calls_at_once_do_not_mix_and_leave_nothing_open() -> None:
    def handler(params: dict[str, Any], goal_id: str) -> dict[str, Any]:
        return {"success": True, "detail": str(params["number"])}

    def files_open() -> int:
        return psutil.Process().num_fds()

    run(handler, number=0)
    before = files_open()
    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(lambda number: run(handler, 30, number=number).detail, range(24)))
    assert results == [str(number) for number in range(24)]
    assert files_open() <= before


def test_an_interrupted_call_leaves_no_handler_behind(tmp_path: Path) -> None:
    caller = f"""
import os, signal, time
from pathlib import Path
from handlers import ActionContext, from_callable
from handlers.sandbox.parent import call
from tests.handlers.conftest import TICK
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it for what it runs in the background
def handler(params, goal_id):
    Path({str(tmp_path / "pid")!r}).write_text(str(os.getpid()))
    time.sleep(300)
call(from_callable("long", handler), "run", {{}}, None, ActionContext(tick=TICK), 300)
"""
    child = subprocess.Popen([sys.executable, "-c", caller], stderr=subprocess.PIPE)
    assert wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text() != "", 20)
    handler_pid = int((tmp_path / "pid").read_text())
    child.send_signal(signal.SIGINT)
    assert b"KeyboardInterrupt" in child.communicate(timeout=10)[1]
    assert wait_until(lambda: not is_running(handler_pid))


def test_a_handler_that_is_to_share_the_memory_does() -> None:
    calls: list[str] = []

    def handler(params: dict[str, Any], goal_id: str) -> dict[str, Any]:
        calls.append(goal_id)
        return {"success": True}

    result = call(from_callable("tried", handler, runs_in_process=True), "run", {}, None, context_for())
    assert (result.succeeded, result.detail, calls) == (True, "", ["goal-1"])


def test_the_child_does_not_import_the_records_or_numpy() -> None:
    def handler(params: dict[str, Any], goal_id: str) -> dict[str, Any]:
        heavy = {"numpy", "pydantic", "storage.records", "prefect", "duckdb", "httpx"}
        return {"success": True, "detail": ",".join(sorted(heavy & set(sys.modules)))}

    assert run(handler).detail == ""


def test_every_action_of_the_house_runs_by_reference() -> None:
    assert all(handler.source for handler in discover_actions().values())


def test_a_module_of_the_users_folder_is_not_taken_for_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("handlers", "settings", "storage"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('a module of the user was taken for ours')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    handler = discover_actions()["analyze_processes"]
    assert call(handler, "run", {}, None, context_for(), 30.0).status is ReceiptStatus.SUCCEEDED
