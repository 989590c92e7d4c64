"""`python -m flows.engine`: run a flow run as `prefect.engine` does, our packages first.

Prefect puts the working folder before all else when it imports a flow. It is the user's, who may have a `settings.py`
or a `tasks/` of their own: what is imported already stays what it is.

With the path of a socket it stays, everything imported, and forks a process for each run that `api.processes.flow_run`
asks for there. What a run imports is most of what an empty one costs. The process that forks runs no thread, opens no
store and reads no settings: a run finds all of it as it would have in a process of its own.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import runpy
import selectors
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from api.processes.flow_run import REQUEST_BYTES, STATUS, in_folder
from plugins import modules_of
from storage import end_threads

OURS = ("api", "handlers", "plugins", "settings", "storage", "tasks", "flows.cycle")
REQUEST_S = 2.0
"""How long an asker may keep all others waiting; where it takes longer, it runs for itself."""
GRACE_S = 3.0
LAST_GRACE_S = 1.5
"""What runs have when the engine is to end: first without, then with a SIGTERM from here. Less than its `stop_s`."""
BODY_BYTES = 65_536
NO_ROOM_S = 0.1
ALSO_NEEDED = (
    "prefect.flow_engine",
    "prefect.task_engine",
    "prefect.utilities.visualization",
    "anyio._backends._asyncio",
    "duckdb_extensions",
    # DuckDB imports it where it is handed a column of texts; that takes as long as all the rest of an empty run.
    "pandas",
    "pytz",
    "_strptime",
    "rich._emoji_codes",
)
"""What every run imports only as it goes on; what is not there any more is not needed either."""
BUILT_LATE = {
    "prefect.client.schemas.objects": (
        "FlowRun",
        "WorkPool",
        "WorkQueue",
        "CsrfToken",
        "Artifact",
        "ConcurrencyLeaseHolder",
    ),
    "prefect.client.schemas.actions": ("ArtifactCreate", "FlowRunUpdate", "LogCreate"),
    "prefect.client.schemas.responses": ("DeploymentResponse",),
    "prefect.artifacts": ("ImageArtifact", "MarkdownArtifact", "TableArtifact"),
    "prefect.events.filters": ("EventFilter",),
    "prefect.events.schemas.events": ("Event",),
}
"""Models of Prefect that every run uses, by module: each is put together when it is first used."""
OWN_PLUGINS = ("handlers.actions", "handlers.sources", "tasks.forecast.forecasters", "tasks.goals.rules")
"""Folders of which every run imports all modules."""
ALLOCATIONS_BETWEEN_LOOKS = 50_000
"""Hardly anything that a flow run makes is garbage before it ends: to look for it less often spares a tenth of it."""


class ForkingEngine:
    """Forks a run for each that is asked for, tells how it ended, and ends it where who asked is gone."""

    def __init__(self, address: Path) -> None:
        """Listen at a socket that its owner alone may reach."""
        self._listener = socket.socket(socket.AF_UNIX)
        address.unlink(missing_ok=True)
        with in_folder(address.parent), _owner_only():
            self._listener.bind(address.name)
        self._listener.listen(64)
        self._asked: dict[int, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._woken, self._waker = socket.socketpair()
        self._waker.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._is_to_end = False
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._told_to_end)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)

    def serve(self) -> None:
        """Serve until a SIGTERM; returns in the process of a run, which is to be executed then."""
        while not self._is_to_end:
            for key, _ in self._selector.select():
                if key.fileobj is not self._listener:
                    self._hear(key)
                elif not self._is_to_end and self._begin():
                    return
        self._end()

    def _hear(self, key: selectors.SelectorKey) -> None:
        if key.fileobj is self._woken:
            self._woken.recv(4_096)
            self._tell_ended()
        else:
            self._drop(int(key.data))

    def _told_to_end(self, *_: object) -> None:
        self._is_to_end = True

    def _end(self) -> None:
        """Take no more runs, wait a while for those there are, and end by the SIGTERM that asked for it."""
        self._selector.unregister(self._listener)
        self._listener.close()
        # Who stops the stack mostly tells the runs too, and a second SIGTERM would disturb how they end.
        self._wait(GRACE_S)
        for pid in self._asked:
            os.kill(pid, signal.SIGTERM)
        self._wait(LAST_GRACE_S)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)

    def _wait(self, longest_s: float) -> None:
        deadline_s = time.monotonic() + longest_s
        while self._asked and (left_s := deadline_s - time.monotonic()) > 0:
            for key, _ in self._selector.select(left_s):
                self._hear(key)

    def _begin(self) -> bool:
        """Fork the run that someone asks for; return True in its process."""
        try:
            asker = self._listener.accept()[0]
        except OSError:
            # Most likely too many files are open. Who asks waits until a run has ended, or runs for itself.
            time.sleep(NO_ROOM_S)
            return False
        output: list[int] = []
        try:
            environment, folder = _request(asker, output)
            pid = _forked()
        except (OSError, ValueError, KeyError, TypeError, struct.error):
            _close_all(output)
            asker.close()
            return False
        if pid == 0:
            self._close()
            asker.close()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
            _become(environment, folder, output)
            return True
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        _close_all(output)
        self._asked[pid] = asker
        self._selector.register(asker, selectors.EVENT_READ, pid)
        try:
            asker.sendall(STATUS.pack(pid))
        except OSError:
            self._drop(pid)
        return False

    def _tell_ended(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if (asker := self._asked.pop(ended[0], None)) is not None:
                    self._selector.unregister(asker)
                    with contextlib.suppress(OSError):
                        asker.sendall(STATUS.pack(os.waitstatus_to_exitcode(ended[1])))
                    asker.close()

    def _drop(self, pid: int) -> None:
        """End a run whose asker is gone: the worker has ended it, or was ended itself."""
        asker = self._asked.pop(pid, None)
        if asker is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        self._selector.unregister(asker)
        asker.close()

    def _close(self) -> None:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        self._selector.close()
        for each in (self._listener, self._woken, self._waker, *self._asked.values()):
            each.close()


@contextlib.contextmanager
def _owner_only() -> Iterator[None]:
    before = os.umask(0o177)
    try:
        yield
    finally:
        os.umask(before)


def _request(asker: socket.socket, output: list[int]) -> tuple[dict[str, str], str]:
    """Return environment and folder that were sent, and add to `output`, which the caller closes, what came along.

    Raises ConnectionError where the asker has gone: it may have started the run by itself, which none may do twice.
    """
    asker.settimeout(REQUEST_S)
    head, received, _, _ = socket.recv_fds(asker, REQUEST_BYTES.size, 2)
    output += received
    (size,), body = REQUEST_BYTES.unpack(head), bytearray()
    while len(body) < size and (part := asker.recv(min(size - len(body), BODY_BYTES))):
        body += part
    asked = json.loads(body)
    if len(output) < 2:
        raise ValueError("standard output and error are missing")
    asker.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        asker.recv(1)
        raise ConnectionError("the asker has gone")
    return asked["environment"], asked["folder"]


def _forked() -> int:
    """Fork with SIGTERM held back: one that comes at once must end the run, not be taken as meant for the engine."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    try:
        return os.fork()
    except OSError:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        raise


def _close_all(files: list[int]) -> None:
    for each in files:
        os.close(each)


def _become(environment: dict[str, str], folder: str, output: list[int]) -> None:
    """Take on environment, folder and output of the process that the worker started."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for target, source in zip((1, 2), output, strict=True):
        os.dup2(source, target)
        os.close(source)


def ready_to_fork() -> None:
    """Import what every run needs, and leave no thread: those of a process that forks are missing in its child."""
    for name in ALSO_NEEDED:
        with contextlib.suppress(ImportError):
            import_module(name)
    for package in OWN_PLUGINS:
        modules_of(package)
    for name, models in BUILT_LATE.items():
        for model in models:
            with contextlib.suppress(ImportError, AttributeError):
                getattr(import_module(name), model).model_rebuild()
    end_threads()
    # What is here stays in memory that all runs share; looking through it for garbage would copy it.
    gc.collect()
    gc.freeze()


def main(address: str | None = None) -> None:
    """Run the flow run of the environment; with the address of a socket, each that is asked for there."""
    gc.set_threshold(ALLOCATIONS_BETWEEN_LOOKS)
    for name in OURS:
        import_module(name)
    if address is not None:
        ready_to_fork()
        try:
            engine = ForkingEngine(Path(address))
        except OSError as trouble:
            print(f"flow runs import for themselves: {address} cannot be listened at: {trouble}", flush=True)  # noqa: T201
            return
        engine.serve()
    del sys.argv[1:]
    runpy.run_module("prefect.engine", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
