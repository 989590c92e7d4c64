"""Who may open a database file: while a stack runs in its folder, the facade of that stack and nobody else."""

from __future__ import annotations

import contextlib
import fcntl
from pathlib import Path

import psutil


def lock_file(path: Path) -> Path:
    """Return the file that a running stack holds locked, which tells whom the database beside it is reserved for."""
    return path.with_name("up.lock")


def is_reserved(path: Path) -> bool:
    """Tell whether a stack runs that has a database: others attach to its owner, or wait for it."""
    file = lock_file(path)
    if not file.exists():
        return False
    with file.open() as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def holder_of(path: Path) -> str | None:
    """Return which other process has a database open as its own, as a sentence names it, or None.

    Not to be asked by a process that itself owns it: looking would let go of its lock.
    """
    try:
        with path.open("r+b") as handle:
            # DuckDB locks the file that it owns in this way, and the lock goes with the process.
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except OSError:
        return _process_with(path) or "another process"
    return None


def _process_with(path: Path) -> str | None:
    wanted = str(path.resolve())
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if any(opened.path == wanted for opened in process.open_files()):
                return f"{process.name()} (process {process.pid})"
    return None
