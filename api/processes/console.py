"""One terminal and one folder of log files for the lines of every process."""

from __future__ import annotations

import contextlib
import logging
import re
import sys
from collections.abc import Callable
from datetime import datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path

from settings import utc_now
from storage.private import masked

MAX_BYTES = 10_000_000
LONGEST = 300
COLOURS = {"foreact": 35, "server": 34, "facade": 32, "worker": 36, "flows": 33, "engine": 33, "setup": 90, "guard": 90}
RECORD = re.compile(r"^(?:\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d[.,]\d+ (?:\| )?(\w+)\s+(?:\| )?(.*)$")
_ONLY_RECORDS = {"server", "worker", "flows", "facade"}
_LEAST = {"server": logging.ERROR, "worker": logging.WARNING}
# SQLite refuses a write when another came between its read and it; the server tries these again by itself.
_HARMLESS = ("Failed in consume_loop", "Worker channel heartbeat persistence failed")


class Console:
    """Write a process's lines to its own file and, with its name in front, to the terminal and `foreact.log`.

    The terminal gets log records only, of Prefect's own processes those that matter; the rest is in the file of each.
    """

    def __init__(self, logs: Path, now: Callable[[], datetime] = utc_now) -> None:
        self._logs, self._now = logs, now
        self._has_colours = sys.stdout.isatty()
        self._files: dict[str, logging.Logger] = {}

    def line(self, name: str, text: str, *, keep: bool = True) -> None:
        """Write one line; `keep=False` where the process has a file of its own already."""
        text = masked(text.rstrip())
        if keep and name != "foreact":
            self._file(name).info(text)
        shown = shorten(name, text)
        if shown is None:
            return
        self._file("foreact").info(f"{name:<7} {shown}")
        prefix = f"{self._now().astimezone():%H:%M:%S} {name:<7}"
        if self._has_colours:
            prefix = f"\033[{COLOURS.get(name, 37)}m{prefix}\033[0m"
        # A terminal that was closed must not keep the stack from stopping.
        with contextlib.suppress(OSError):
            sys.stdout.write(f"{prefix} {shown}\n")
            sys.stdout.flush()

    def close(self) -> None:
        """Close the files."""
        for logger in self._files.values():
            for handler in list(logger.handlers):
                logger.removeHandler(handler)
                handler.close()

    def _file(self, name: str) -> logging.Logger:
        if name not in self._files:
            handler = RotatingFileHandler(self._logs / f"{name}.log", maxBytes=MAX_BYTES, backupCount=2)
            handler.setFormatter(logging.Formatter("%(asctime)s %(message)s" if name == "foreact" else "%(message)s"))
            logger = logging.Logger(f"foreact.console.{name}")
            logger.addHandler(handler)
            self._files[name] = logger
        return self._files[name]


def shorten(name: str, text: str) -> str | None:
    """Return what the terminal shows of a line; None where it shows nothing."""
    record = RECORD.match(text)
    if record is None:
        return None if name in _ONLY_RECORDS or not text.strip() else text[:LONGEST]
    level, message = record.groups()
    number = logging.getLevelNamesMapping().get(level, logging.INFO)
    if number < _LEAST.get(name, logging.INFO) or any(text in message for text in _HARMLESS):
        return None
    return (message if number == logging.INFO else f"{level} {message}")[:LONGEST]
