"""Flow runs are forked from a process that has imported everything, and to who asked are processes as any other."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from api.processes import flow_run
from api.processes.flow_run import REQUEST_BYTES, STATUS, in_folder
from api.processes.layout import LEAN
from tests import PROJECT

FORKS = """
import os, signal, sys, time
from pathlib import Path
from flows.engine import ForkingEngine, ready_to_fork

ready_to_fork()
threads = len(os.listdir("/proc/self/task"))
ForkingEngine(Path(sys.argv[1])).serve()
print("in", os.getcwd(), "for", os.environ["ASKED"], "beside", threads - 1, flush=True)
ending = os.environ["ENDS"]
if ending == "later":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
    print("waiting", flush=True)
    time.sleep(60)
sys.exit(int(ending))
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    # Longer than the address of a socket may be.
    folder = tmp_path_factory.mktemp("f" * 120)
    address = folder / "engine.socket"
    environment = {**os.environ, **LEAN, "PYTHONPATH": str(PROJECT)}
    engine = subprocess.Popen([sys.executable, "-P", "-c", FORKS, str(address)], env=environment)
    deadline_s = time.monotonic() + 240
    while not listens(address) and time.monotonic() < deadline_s:
        time.sleep(0.1)
    yield address
    engine.kill()
    engine.wait()


def listens(address: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(OSError), in_folder(address.parent):
        probe.connect(address.name)
        return True
    return False


@contextlib.contextmanager
def asked(address: Path, folder: Path, ends: str = "0") -> Iterator[subprocess.Popen[str]]:
    """Start the process of a run as the worker does."""
    command = [sys.executable, "-P", "-S", "-m", "api.processes.flow_run", str(address), "/bin/echo", "by itself"]
    environment = {"PYTHONPATH": str(PROJECT), "ASKED": "me", "ENDS": ends}
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as run:
        yield run


def waiting(run: subprocess.Popen[str]) -> None:
    assert run.stdout is not None
    while "waiting" not in (line := run.stdout.readline()):
        assert line, "the run ended"


@pytest.mark.parametrize("code", [0, 3])
def test_a_run_has_folder_environment_and_output_of_who_asked_who_ends_as_it_does(
    address: Path, tmp_path: Path, code: int
) -> None:
    with asked(address, tmp_path, str(code)) as run:
        assert run.communicate(timeout=60)[0] == f"in {tmp_path} for me beside 0\n"
    assert run.returncode == code


def test_signals_reach_the_run(address: Path, tmp_path: Path) -> None:
    with asked(address, tmp_path, "later") as run:
        waiting(run)
        run.terminate()
        assert run.wait(60) == 7


def test_a_signal_that_comes_before_the_number_of_the_run_reaches_it(tmp_path: Path) -> None:
    address = tmp_path / "engine.socket"
    with socket.socket(socket.AF_UNIX) as listener, subprocess.Popen(["sleep", "60"]) as run:
        listener.bind(str(address))
        listener.listen()
        with asked(address, tmp_path) as asker, listener.accept()[0] as engine:
            head = engine.recv(REQUEST_BYTES.size)
            engine.recv(REQUEST_BYTES.unpack(head)[0], socket.MSG_WAITALL)
            asker.terminate()
            time.sleep(0.2)
            engine.sendall(STATUS.pack(run.pid))
            assert run.wait(60) == -signal.SIGTERM
            engine.sendall(STATUS.pack(5))
            assert asker.wait(60) == 5


def forked(asker: subprocess.Popen[str], folder: Path) -> psutil.Process:
    """Return the process of the run that was asked for."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.cwd() == str(folder) and process.pid != asker.pid:
                found.append(process)
    (run,) = found
    return run


def test_who_ends_what_asked_ends_the_run(address: Path, tmp_path: Path) -> None:
    with asked(address, tmp_path, "later") as asker:
        waiting(asker)
        run = forked(asker, tmp_path)
        asker.kill()
    psutil.wait_procs([run], timeout=60)
    assert not run.is_running()


def test_who_ends_the_run_ends_what_asked(address: Path, tmp_path: Path) -> None:
    with asked(address, tmp_path, "later") as asker:
        waiting(asker)
        forked(asker, tmp_path).kill()
        assert asker.wait(60) == -signal.SIGKILL


@pytest.mark.parametrize("is_there", [False, True])
def test_where_no_engine_answers_a_run_is_started_by_itself(tmp_path: Path, is_there: bool) -> None:
    address = tmp_path / "engine.socket"
    if is_there:
        with socket.socket(socket.AF_UNIX) as gone:
            gone.bind(str(address))
    with asked(address, tmp_path) as run:
        assert run.communicate(timeout=60)[0] == "by itself\n"


def test_only_the_owner_reaches_the_engine(address: Path) -> None:
    assert address.stat().st_mode & 0o077 == 0


def body(**changes: object) -> bytes:
    """Return what an asker sends, with some of it changed."""
    return json.dumps({"environment": {"ASKED": "me", "ENDS": "later"}, "folder": "/", **changes}).encode()


@contextlib.contextmanager
def connected(address: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as asker:
        with in_folder(address.parent):
            asker.connect(address.name)
        asker.settimeout(30)
        yield asker


@contextlib.contextmanager
def another_engine(address: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start an engine that imports nothing for its runs."""
    here = FORKS.replace("\nready_to_fork()", "")
    with subprocess.Popen(
        [sys.executable, "-P", "-c", here, str(address)], env={**os.environ, **LEAN, "PYTHONPATH": str(PROJECT)}
    ) as engine:
        deadline_s = time.monotonic() + 60
        while not listens(address) and time.monotonic() < deadline_s:
            time.sleep(0.05)
        yield engine
        engine.kill()


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    address = tmp_path_factory.mktemp("engine") / "engine.socket"
    with another_engine(address) as engine:
        yield engine, address


def test_an_engine_told_to_end_waits_for_its_runs_and_begins_no_more(tmp_path: Path) -> None:
    address = tmp_path / "engine.socket"
    with another_engine(address) as engine, asked(address, tmp_path, "later") as run:
        waiting(run)
        engine.terminate()
        deadline_s = time.monotonic() + 10
        while listens(address) and time.monotonic() < deadline_s:
            time.sleep(0.02)
        with asked(address, tmp_path) as another:
            assert another.communicate(timeout=60)[0] == "by itself\n"
        assert engine.poll() is None
        run.terminate()
        assert run.wait(60) == 7
        assert engine.wait(10) == -signal.SIGTERM


def test_a_run_that_nobody_told_to_end_is_told_by_the_engine_that_ends(tmp_path: Path) -> None:
    address = tmp_path / "engine.socket"
    with another_engine(address) as engine, asked(address, tmp_path, "later") as run:
        waiting(run)
        engine.terminate()
        assert run.wait(60) == 7


@pytest.mark.parametrize("sent", [b"no json", b"[]", b"{}", body()[:-5]])
def test_a_request_that_cannot_be_met_leaves_no_file_open(
    quick: tuple[subprocess.Popen[bytes], Path], sent: bytes
) -> None:
    engine, address = quick
    before = psutil.Process(engine.pid).num_fds()
    with connected(address) as asker:
        socket.send_fds(asker, [REQUEST_BYTES.pack(len(body()) if sent in body() else len(sent))], [1, 2])
        asker.sendall(sent)
        asker.shutdown(socket.SHUT_WR)
        assert asker.recv(4) == b""
    assert listens(address)
    deadline_s = time.monotonic() + 10
    while (after := psutil.Process(engine.pid).num_fds()) > before and time.monotonic() < deadline_s:
        time.sleep(0.02)
    assert after <= before


def test_a_long_request_that_comes_in_pieces_is_met(quick: tuple[subprocess.Popen[bytes], Path]) -> None:
    whole = body(environment={"ASKED": "me" * 400_000, "ENDS": "later"})
    with connected(quick[1]) as asker, Path(os.devnull).open("w") as nowhere:
        socket.send_fds(asker, [REQUEST_BYTES.pack(len(whole))], [nowhere.fileno()] * 2)
        asker.sendall(whole[:300_000])
        time.sleep(0.2)
        asker.sendall(whole[300_000:])
        assert len(asker.recv(4)) == 4


def test_an_engine_that_may_open_no_more_files_stays(quick: tuple[subprocess.Popen[bytes], Path]) -> None:
    engine, address = quick
    allowed = resource.prlimit(engine.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(engine.pid, resource.RLIMIT_NOFILE, (3, allowed[1]))
    with connected(address) as asker:
        asker.sendall(REQUEST_BYTES.pack(0))
        time.sleep(0.5)
        assert engine.poll() is None
        resource.prlimit(engine.pid, resource.RLIMIT_NOFILE, allowed)
        assert asker.recv(4) == b""


def test_a_run_whose_asker_went_before_it_was_begun_is_not_begun(
    quick: tuple[subprocess.Popen[bytes], Path], tmp_path: Path
) -> None:
    engine, address = quick
    os.kill(engine.pid, signal.SIGSTOP)
    said = tmp_path / "said"
    with connected(address) as asker, said.open("w") as output:
        sent = body(folder=str(tmp_path))
        socket.send_fds(asker, [REQUEST_BYTES.pack(len(sent))], [output.fileno()] * 2)
        asker.sendall(sent)
    with connected(address) as slow:
        # Were the run begun, the engine would not come to end it before this asker has had its time.
        slow.sendall(REQUEST_BYTES.pack(1))
        os.kill(engine.pid, signal.SIGCONT)
        assert slow.recv(4) == b""
    assert said.read_text() == ""


def test_who_waits_no_longer_takes_an_answer_of_the_last_moment_and_none_after(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_run, "ANSWER_S", 0.05)
    asker, engine = socket.socketpair()
    with asker, engine:
        assert flow_run._begun(asker) is None
        with pytest.raises(BrokenPipeError):
            engine.sendall(flow_run.STATUS.pack(1))


def test_what_every_run_needs_is_there_before_it_is_forked() -> None:
    program = """
import sys
from flows.engine import ready_to_fork

ready_to_fork()
from prefect.client.schemas.objects import FlowRun

print({"pandas", "handlers.actions.notify", "tasks.goals.rules.deadline"} - sys.modules.keys())
print(FlowRun.__pydantic_complete__)
"""
    environment = {**os.environ, **LEAN, "PYTHONPATH": str(PROJECT)}
    said = subprocess.run([sys.executable, "-P", "-c", program], env=environment, check=True, capture_output=True)
    assert said.stdout == b"set()\nTrue\n"
