"""One terminal and one folder of log files for the lines of every process."""

from __future__ import annotations

import logging
import re
import sys
from logging.handlers import RotatingFileHandler
from pathlib import Path

MAX_BYTES = 10_000_000
COLOURS = {"foreact": 35, "server": 34, "facade": 32, "worker": 36, "flows": 33, "setup": 90, "guard": 90}
_WITHOUT_INTEREST = re.compile(r"^[\s_|/\\()<>`'.-]*$")


class Console:
    """Write a process's lines to its own file and, with its name in front, to the terminal and `foreact.log`."""

    def __init__(self, logs: Path, to_terminal: bool = True) -> None:
        self._logs = logs
        self._colour = sys.stdout.isatty()
        self._files: dict[str, logging.Logger] = {}
        self._all = self._file("foreact")
        self._to_terminal = to_terminal

    def line(self, name: str, text: str, *, keep: bool = True) -> None:
        """Write one line; `keep=False` where the process has a file of its own already."""
        text = text.rstrip()
        if keep and name != "foreact":
            self._file(name).info(text)
        if _WITHOUT_INTEREST.match(text):
            return
        self._all.info(f"{name:<7} {text}")
        if self._to_terminal:
            prefix = f"\033[{COLOURS.get(name, 37)}m{name:<7}\033[0m" if self._colour else f"{name:<7}"
            sys.stdout.write(f"{prefix} {text}\n")
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
            handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
            logger = logging.Logger(f"foreact.console.{name}")
            logger.addHandler(handler)
            self._files[name] = logger
        return self._files[name]
