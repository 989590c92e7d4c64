"""Units of a real systemd: a manager of its own is started for these tests, in a place where it can do no harm."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from handlers import discover_actions
from handlers.sandbox.parent import CallResult, call
from storage.records import ReceiptStatus
from tests.handlers.conftest import context_for, make_goal, wait_until

UNIT = discover_actions()["systemd_unit"]
MANAGER = next((path for path in ("/lib/systemd/systemd", "/usr/lib/systemd/systemd") if Path(path).exists()), "")
UNITS = {
    "web.service": "[Service]\nExecStart=/bin/sleep 1000\n",
    "broken.service": "[Service]\nExecStart=/bin/false\n",
    "reloads.service": "[Service]\nExecStart=/bin/sleep 1000\nExecReload=/bin/true\n",
}


@pytest.fixture(scope="module")
def runtime_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Run a user's manager in a mount namespace of its own and return where it listens."""
    if not MANAGER or shutil.which("systemctl") is None:
        pytest.skip("systemd is not installed here")
    if os.getuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("a manager of its own can only be started by root, with unshare")
    folder = tmp_path_factory.mktemp("xdg")
    folder.chmod(0o700)
    for name, text in UNITS.items():
        (folder / "systemd" / "user").mkdir(parents=True, exist_ok=True)
        (folder / "systemd" / "user" / name).write_text(text)
    # It refuses to run where no systemd booted the machine; only its own view of /run says that one did.
    script = f"mount -t tmpfs tmpfs /run/systemd && mkdir /run/systemd/system && exec {MANAGER} --user"
    environment = {"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": str(folder), "HOME": str(folder)}
    with (folder / "log").open("wb") as log:
        manager = subprocess.Popen(
            ["unshare", "--mount", "/bin/sh", "-c", script], env=environment, stdout=log, stderr=log
        )
    try:
        if not wait_until(lambda: (folder / "systemd" / "private").exists() or manager.poll() is not None, 15):
            pytest.skip("the manager did not start within 15 s")
        if manager.poll() is not None:
            pytest.skip(f"the manager does not run here: {(folder / 'log').read_text()[-300:]}")
        yield folder
    finally:
        manager.terminate()
        manager.wait(20)


def options_for(folder: Path, verb: str, unit: str = "web.service") -> dict[str, Any]:
    return {"unit": unit, "verb": verb, "scope": "user", "runtime_folder": str(folder), "settle_s": 0.2}


def do(options: dict[str, Any], phase: Any = "run", before: Any = None, **params: Any) -> CallResult:
    return call(UNIT, phase, params, before, context_for(options=options), 60)


def test_a_unit_is_stopped_seen_and_started_again(runtime_folder: Path) -> None:
    do(options_for(runtime_folder, "start"))
    options = options_for(runtime_folder, "stop")
    before = do(options, "capture").value
    assert do(options, "check", before).status is ReceiptStatus.SKIPPED
    assert do(options).succeeded
    assert do(options, "check", before).status is ReceiptStatus.SUCCEEDED
    assert do(options).status is ReceiptStatus.SKIPPED
    assert do(options, "undo", before).succeeded
    assert do(options, "undo", before).status is ReceiptStatus.SKIPPED
    assert do(options, "check", before).status is ReceiptStatus.SKIPPED


def test_a_restart_is_known_by_its_new_run_and_is_not_undone(runtime_folder: Path) -> None:
    do(options_for(runtime_folder, "start"))
    options = options_for(runtime_folder, "restart")
    before = do(options, "capture").value
    assert do(options, "check", before).status is ReceiptStatus.SKIPPED
    result = do(options)
    assert result.succeeded, result.detail
    assert "it is active (running)" in result.detail
    assert do(options, "check", before).status is ReceiptStatus.SUCCEEDED
    assert do(options, "undo", before).status is ReceiptStatus.FAILED


def test_a_unit_whose_program_fails_at_once_is_a_failure(runtime_folder: Path) -> None:
    result = do(options_for(runtime_folder, "start", "broken.service"))
    assert result.status is ReceiptStatus.FAILED
    assert "it is failed" in result.detail
    assert "journalctl" in result.detail


def test_a_unit_that_can_reload_does(runtime_folder: Path) -> None:
    do(options_for(runtime_folder, "start", "reloads.service"))
    assert do(options_for(runtime_folder, "reload", "reloads.service")).succeeded
    refused = do(options_for(runtime_folder, "reload", "web.service"))
    assert refused.status is ReceiptStatus.FAILED
    assert "not applicable" in refused.detail


def test_a_unit_that_systemd_does_not_know_is_refused(runtime_folder: Path) -> None:
    for phase in ("run", "capture"):
        result = do(options_for(runtime_folder, "restart", "wbe.service"), phase)
        assert result.status is ReceiptStatus.FAILED
        assert "wbe.service is not-found" in result.detail


def test_a_rehearsal_changes_nothing(runtime_folder: Path) -> None:
    do(options_for(runtime_folder, "start"))
    options = options_for(runtime_folder, "stop")
    rehearsed = UNIT.run({}, context_for(options=options, dry_run=True))
    assert rehearsed.detail == "Dry run: would stop web.service, which is active."
    state = do(options, "capture").value
    assert state is not None
    assert state["state"]["ActiveState"] == "active"


@pytest.mark.parametrize("unit", ["ssh.service", "--force", "web.service; reboot", "../x.service", "-.mount", "a b"])
def test_a_unit_that_is_not_allowed_is_refused_before_systemd_is_asked(unit: str) -> None:
    result = UNIT.run({"unit": unit}, context_for(options={"unit": "web", "units": ["web@*.service"]}))
    assert not result.success
    assert result.detail.startswith("Refused")


def test_the_unit_that_runs_this_process_is_never_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    where = "0::/system.slice/foreact.service/worker\n"
    monkeypatch.setattr(Path, "read_text", lambda path, *rest: where if str(path) == "/proc/self/cgroup" else "")
    result = UNIT.run({}, context_for(options={"unit": "foreact"}))
    assert "runs foreact itself" in result.detail


def test_a_manager_that_does_not_answer_is_said(tmp_path: Path) -> None:
    if shutil.which("systemctl") is None:
        pytest.skip("systemd is not installed here")
    result = do(options_for(tmp_path, "restart"))
    assert result.status is ReceiptStatus.FAILED
    assert "systemd does not answer" in result.detail


def test_only_start_and_stop_can_be_undone() -> None:
    can = {
        verb
        for verb in ("restart", "start", "stop", "reload")
        if replace(UNIT, option_values={"verb": verb}).reversible
    }
    assert can == {"start", "stop"}
    assert not UNIT.reversible


def test_it_proposes_the_configured_unit() -> None:
    (proposed,) = UNIT.propose(make_goal(), context_for(options={"unit": "web"}))
    assert (proposed.params, proposed.target) == ({"unit": "web.service"}, "unit:web.service")
