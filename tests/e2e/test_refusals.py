"""What keeps `foreact up` from starting: one clear line each, and nothing left running."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from storage import open_store
from tests.conftest import free_port
from tests.e2e.conftest import command, environment, launch, wait_for


def refused(folder: Path, **env: str) -> str:
    """Run `foreact up`, which must refuse, and return the one line that it says."""
    done = subprocess.run(
        command("-C", str(folder), "up"), env=environment(**env), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    return done.stderr


def test_a_port_in_use_is_named_with_its_holder(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        (tmp_path / "foreact.toml").write_text(f"[server]\nport = {port}\nprefect_port = {free_port()}\n")
        line = refused(tmp_path)
    assert f"Port {port}" in line
    assert f"process {os.getpid()}" in line
    assert "server.port" in line


def test_prefects_port_in_use_is_told_apart(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        (tmp_path / "foreact.toml").write_text(f"[server]\nport = {free_port()}\nprefect_port = {port}\n")
        assert "server.prefect_port" in refused(tmp_path)


def test_a_database_that_a_notebook_holds_is_named_with_its_holder(tmp_path: Path) -> None:
    (tmp_path / "foreact.toml").write_text(f"[server]\nport = {free_port()}\nprefect_port = {free_port()}\n")
    with open_store(tmp_path / ".foreact" / "foreact.duckdb"):
        line = refused(tmp_path)
    assert "foreact.duckdb is in use by" in line
    assert f"process {os.getpid()}" in line


def test_a_home_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """A file in the place of the folder: root is not stopped by permissions."""
    (tmp_path / "home").write_text("")
    line = refused(tmp_path, FOREACT_HOME=str(tmp_path / "home"))
    assert "is not writable" in line
    assert "FOREACT_HOME" in line


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_home_without_permission_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        assert "is not writable" in refused(tmp_path)
    finally:
        tmp_path.chmod(0o700)


def test_a_wrong_configuration_is_named_with_file_and_key(tmp_path: Path) -> None:
    (tmp_path / "foreact.toml").write_text("[server]\nprot = 5003\n")
    line = refused(tmp_path)
    assert "foreact.toml" in line
    assert "server.prot" in line


def test_ctrl_c_while_it_starts_ends_everything(tmp_path: Path) -> None:
    stack = launch(tmp_path / "home")
    wait_for("processes to start", lambda: len(stack.members()) >= 3, 30)
    time.sleep(1)
    assert stack.stop(signal.SIGTERM) == 0
    assert stack.members() == []


def test_a_process_that_keeps_dying_ends_the_stack_with_one_line(tmp_path: Path) -> None:
    """An interpreter start-up hook makes the facade, and only the facade, fail."""
    hook = tmp_path / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(
        "import sys\nif 'api.app' in ' '.join(sys.orig_argv):\n    raise SystemExit('the facade is broken')\n"
    )
    path = f"{hook}:{environment()['PYTHONPATH']}"
    stack = launch(tmp_path / "home", PYTHONPATH=path)
    assert stack.process.wait(120) == 1
    last = stack.output.strip().splitlines()[-1]
    assert "facade ended 7 times in a row" in last
    assert "the facade is broken" in last
    assert stack.members() == []
