"""A process that lets others run the execute stage, kills them, and lets new ones clear up.

It imports everything once and forks for each life, so that a life costs a tenth of a second and not the seconds of
all imports. A fork of a process with threads may hang, so the one that importing DuckDB starts is ended first.
One JSON object a trial on stdin, one on stdout.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import select
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb

from tests.tasks.execute import crash_life

PR_SET_CHILD_SUBREAPER = 36
STUCK_S = 60.0


def fork(body: Callable[[], Any]) -> tuple[int, int]:
    """Run a function in a child; return its pid and the pipe on which its result comes as JSON."""
    read, write = os.pipe()
    pid = os.fork()
    if pid:
        os.close(write)
        return pid, read
    try:
        os.close(read)
        result = body()
        os.write(write, json.dumps(result).encode())
        os._exit(0)
    except BaseException as trouble:
        sys.stderr.write(f"{type(trouble).__name__}: {trouble}\n")
        sys.stderr.flush()
        os._exit(1)


def reap() -> None:
    """Wait for every descendant, also those whose parent was killed: they are adopted by this process."""
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def run(body: Callable[[], Any], kill_after_s: float | None = None) -> Any:
    """Run a function in a child, killed after a time where one is given; return what it returned, None if killed."""
    pid, read = fork(body)
    is_over, _, _ = select.select([read], [], [], STUCK_S if kill_after_s is None else kill_after_s)
    if not is_over:
        os.kill(pid, signal.SIGKILL)
    with os.fdopen(read) as pipe:
        told = pipe.read()
    reap()
    if not is_over and kill_after_s is None:
        raise TimeoutError(f"a process hung for {STUCK_S:g} s")
    return json.loads(told) if told else None


def trial(folder: Path, point: str, kill_after_s: float | None) -> dict[str, Any]:
    """Let one process carry out what is planned, die at `point` or after a time, and another clear up after it."""
    started_s = time.perf_counter()
    run(lambda: crash_life.carry_out(folder, point), kill_after_s)
    took_s = time.perf_counter() - started_s
    after = run(lambda: crash_life.clear_up(folder))
    return {**after, "took_s": took_s}


def prepare(folder: Path) -> dict[tuple[bool, int], Path]:
    """Return the folders, by whether it is undos and how many, in which everything is planned and nothing begun.

    It is done in this process, not in a fork, so that what is imported only when it is needed is here, too.
    """
    prepared = {}
    for count in (1, 2):
        acts, undos = folder / f"acts-{count}", folder / f"undos-{count}"
        acts.mkdir()
        crash_life.plan(acts, count)
        shutil.copytree(acts, undos)
        crash_life.plan_undos(undos)
        prepared |= {(False, count): acts, (True, count): undos}
    return prepared


def main(folder: Path) -> None:
    """Answer one order a line."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    prepared = prepare(folder)
    duckdb.default_connection().close()
    gc.freeze()
    threads = len(os.listdir("/proc/self/task"))
    if threads > 1:
        raise RuntimeError(f"{threads} threads are running: a fork would not be safe")
    for number, line in enumerate(sys.stdin):
        order = json.loads(line)
        place = folder / str(number)
        shutil.copytree(prepared[order.get("undoing", False), order.get("actions", 2)], place)
        told = trial(place, order.get("point", ""), order.get("kill_after_s"))
        shutil.rmtree(place)
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
