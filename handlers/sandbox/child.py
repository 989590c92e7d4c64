"""The child's side of running a handler: read the call from stdin, make it, write the answer to a pipe.

The parent (`handlers.sandbox.parent`) keeps stdin open for as long as it lives. When stdin ends, nobody is left who
could record what the handler does, so the child ends itself and all that it started.
"""

from __future__ import annotations

import importlib
import json
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from handlers.contract.action import ActionHandler
from handlers.contract.results import explain, resolve
from handlers.sandbox.terminate import end_descendants
from plugins import own_module

MAX_ANSWER_BYTES = 1_000_000
PR_SET_CHILD_SUBREAPER = 36


def main(answer_fd: int) -> None:
    """Make the one call that stdin describes and leave."""
    _adopt_orphans()
    _go_first_without_memory()
    # The handler gets an empty stdin of its own: the real one belongs to the parent and to the watch on it.
    calls = os.fdopen(os.dup(0), "rb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    path, payload = pickle.loads(calls.read(int.from_bytes(calls.read(8), "big")))
    sys.path[:] = path
    threading.Thread(target=_end_with_parent, args=(calls,), daemon=True).start()
    answer = _encode(_answer(payload))
    sys.stdout.flush()
    sys.stderr.flush()
    with os.fdopen(answer_fd, "wb") as pipe:
        pipe.write(len(answer).to_bytes(8, "big") + answer)
    # Threads that the handler left behind must not hold the process: the answer is out.
    os._exit(0)


def _answer(payload: bytes) -> dict[str, Any]:
    try:
        call = pickle.loads(payload)
        handler = _load(call)
        _limit_memory(call["memory_mb"])
        return {"value": make_call(handler, call)}
    except BaseException as error:
        return {"error": explain(error)}


def _load(call: dict[str, Any]) -> ActionHandler:
    if call.get("source"):
        where, _, attribute = call["source"].rpartition(":")
        module = own_module(Path(where)) if where.endswith(".py") else importlib.import_module(where)
        handler: ActionHandler = getattr(module, attribute).handler
        return handler
    loaded: ActionHandler = pickle.loads(call["pickled"])
    return loaded


def make_call(handler: ActionHandler, call: dict[str, Any]) -> Any:
    """Call the function of the handler that `call` names; the answer holds nothing but what JSON knows."""
    context, params, before = call["context"], call["params"], call["before"]
    check = handler.hooks.check or (lambda *_: "unknown")
    phases: dict[str, Callable[[], Any]] = {
        "run": lambda: asdict(handler.run(params, context)),
        "undo": lambda: asdict(handler.undo(params, before, context)),
        "capture": lambda: handler.capture(params, context),
        "check": lambda: str(resolve(check(params, before, context))),
        "drill": lambda: handler.drill(context),
        "clear": lambda: handler.clear(params, context),
    }
    return phases[call["phase"]]()


def _encode(answer: dict[str, Any]) -> bytes:
    try:
        text = json.dumps(answer, default=str).encode()
    except (TypeError, ValueError, RecursionError) as error:
        return json.dumps({"error": f"The handler's answer cannot be written as JSON: {error}"}).encode()
    if len(text) > MAX_ANSWER_BYTES:
        return json.dumps({"error": f"The handler's answer is larger than {MAX_ANSWER_BYTES:,} bytes."}).encode()
    return text


def _adopt_orphans() -> None:
    """Become the parent of grandchildren whose parent ends, so that ending this tree finds them (Linux)."""
    if sys.platform != "linux":
        return
    try:
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    except (ImportError, OSError, AttributeError):
        pass


def _go_first_without_memory() -> None:
    """Ask the kernel to end this process and what it starts, before any other, where memory runs out (Linux)."""
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")
    except OSError:
        pass


def _limit_memory(most_mb: float) -> None:
    """Let this process take no more than so much beside what it has with its modules loaded (Linux).

    What it starts inherits the limit for itself, and may raise it. Shared and mapped files do not count.
    """
    try:
        import resource

        with open("/proc/self/status") as file:
            now_kb = next(int(line.split()[1]) for line in file if line.startswith("VmData:"))
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        most = now_kb * 1_024 + int(most_mb * 1e6)
        resource.setrlimit(resource.RLIMIT_DATA, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    except (ImportError, OSError, StopIteration, ValueError, OverflowError):
        pass


def _end_with_parent(stdin: IO[bytes]) -> None:
    stdin.read()
    end_descendants(os.getpid())
    os.killpg(0, signal.SIGKILL)
