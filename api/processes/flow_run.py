"""The process of one flow run: it asks one that has imported everything to execute the run, and ends as that ends.

Run by the worker as `python -S -m api.processes.flow_run SOCKET COMMAND…`. Behind the socket `flows.engine` forks: so
a run spares its imports, most of what an empty one costs. To the worker it is the process it started: signals are
passed on, and who ends one ends the other. Where nobody answers at the socket, COMMAND takes its place.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

STATUS = struct.Struct("!i")
"""What the engine answers: the process id of the run, later what it ended with, negative for a signal."""
REQUEST_BYTES = struct.Struct("!I")
PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
ANSWER_S = 30.0


def main(address: str, *command: str) -> None:
    """Have the run executed; never returns."""
    # The run may have begun before its number is known here: a signal that comes then is for the run.
    signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)
    with contextlib.suppress(OSError), _reached(Path(address)) as engine:
        pid = _begun(engine)
        if pid is not None:
            _end_as(_followed(engine, pid))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
    os.execv(command[0], command)


@contextlib.contextmanager
def in_folder(folder: Path) -> Iterator[None]:
    """Go there and come back: the address of a socket holds a hundred characters, fewer than many a path has."""
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@contextlib.contextmanager
def _reached(address: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as engine:
        with in_folder(address.parent):
            engine.connect(address.name)
        yield engine


def _begun(engine: socket.socket) -> int | None:
    """Hand over environment, folder and output; return the process id of the run, None where none was started."""
    request = json.dumps({"environment": dict(os.environ), "folder": os.getcwd()}).encode()
    socket.send_fds(engine, [REQUEST_BYTES.pack(len(request))], [1, 2])
    engine.sendall(request)
    engine.settimeout(ANSWER_S)
    try:
        return _number(engine)
    except TimeoutError:
        # From here on the engine cannot answer, and ends the run if it has begun it; what it answered just now counts.
        engine.shutdown(socket.SHUT_RD)
        return _number(engine)


def _followed(engine: socket.socket, pid: int) -> int:
    """Pass signals on until the run ends; return what it ended with. An engine that dies takes its runs along."""

    def pass_on(number: int, _: FrameType | None) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)

    for number in PASSED_ON:
        signal.signal(number, pass_on)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
    engine.settimeout(None)
    with contextlib.suppress(OSError):
        if (status := _number(engine)) is not None:
            return status
    pass_on(signal.SIGKILL, None)
    return -signal.SIGKILL


def _number(engine: socket.socket) -> int | None:
    answer = engine.recv(STATUS.size, socket.MSG_WAITALL)
    return int(STATUS.unpack(answer)[0]) if len(answer) == STATUS.size else None


def _end_as(status: int) -> None:
    if status < 0:
        with contextlib.suppress(OSError):
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)


if __name__ == "__main__":
    main(*sys.argv[1:])
