"""The database file of a running process: whether it lies where it was opened, and the end after a fatal error."""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

from storage.copies import rescue
from storage.engine.damage import damage_mark, is_damage, log_of
from storage.engine.local import LocalEngine

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 2.0
ENDING_S = 0.5
"""So long answers that say what happened have to go out."""
EXIT_CODE = 70
LEAST_ROOM_BYTES = 8_000_000


class FileWatch:
    """Ends the process, which is then started again, where its database cannot be used any more.

    A file that was deleted or replaced is written anew before, from what the process still holds.
    """

    def __init__(self, engine: LocalEngine, database: Path, end: Callable[[], None] | None = None) -> None:
        self._engine, self._database = engine, database
        self._opened = _identity(database)
        self._end = end or _end_soon
        self._is_ending = False
        engine.on_fatal = self.fatal

    def step(self) -> None:
        """Look once whether the file is still the one that was opened."""
        if self._is_ending or _identity(self._database) == self._opened:
            return
        self._is_ending = True
        try:
            target = rescue(self._engine, self._database)
            logger.critical("%s was deleted or replaced; all that was recorded is in %s", self._database, target)
        finally:
            self._end()

    def fatal(self, text: str) -> None:
        """End after an error after which the database answers nothing; a damaged one is mended at the next start."""
        if self._is_ending:
            return
        self._is_ending = True
        logger.critical("the database has to be opened again: %s", text)
        if is_damage(RuntimeError(text)):
            damage_mark(self._database).touch()
        threading.Thread(target=self._end_with_room, daemon=True).start()

    def _end_with_room(self) -> None:
        """Refuse all until the disk has room, then end: started again before, it would end over and over."""
        try:
            while self._lacks_room():
                time.sleep(LOOK_EVERY_S)
        finally:
            self._end()

    def _lacks_room(self) -> bool:
        log = log_of(self._database)
        wanted = LEAST_ROOM_BYTES + (2 * log.stat().st_size if log.exists() else 0)
        return shutil.disk_usage(self._database.parent).free < wanted


def _identity(file: Path) -> tuple[int, int] | None:
    try:
        state = file.stat()
    except OSError:
        return None
    return state.st_dev, state.st_ino


def _end_soon() -> None:
    threading.Timer(ENDING_S, os._exit, (EXIT_CODE,)).start()
