"""Ending a process with everything it started, also what moved to a session of its own."""

from __future__ import annotations

import os
import signal
import time

ROUNDS = 10
PAUSE_S = 0.02


def end_descendants(pid: int) -> None:
    """Kill everything that descends from `pid`, in rounds, since it may go on forking while it is looked at."""
    import psutil

    for _ in range(ROUNDS):
        try:
            children = psutil.Process(pid).children(recursive=True)
            living = [child for child in children if child.status() != psutil.STATUS_ZOMBIE]
        except psutil.NoSuchProcess:
            continue
        if not living:
            return
        for child in living:
            _send(child.pid, signal.SIGKILL)
        time.sleep(PAUSE_S)


def end_tree(pid: int) -> None:
    """Kill the session leader `pid` and all that it started.

    It is stopped first, so that it starts nothing more, and killed last, since it adopts its orphans.
    """
    _send(pid, signal.SIGSTOP)
    end_descendants(pid)
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        _send(pid, signal.SIGKILL)


def _send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        pass
