"""The state of a facade: its store, settings, clock and way to Prefect. No web framework is needed for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from api.commit_queue import CommitQueue
from api.receipt_counts import RunningCounts
from api.series_numbers import SeriesNumbers
from settings import CONFIG_NAME, Settings, settings_in_force
from storage import ForeactError, Store
from storage.private import without_login

if TYPE_CHECKING:
    from api.prefect_client import Trigger

READ_ANEW = ("agent", "forecasting", "executor", "actions", "alerts", "objectives", "use_default_objectives", "shared")
"""The parts of the configuration that a running facade takes over from a changed file."""


@dataclass
class Counters:
    """What this process counted since it started."""

    _values: dict[str, int] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def add(self, name: str, amount: int = 1) -> None:
        """Count on."""
        with self._lock:
            self._values[name] = self._values.get(name, 0) + amount

    def get(self, name: str) -> int:
        """Return a count; 0 where nothing was counted."""
        return self._values.get(name, 0)


@dataclass
class Visits:
    """When somebody last asked something, by the monotonic clock."""

    newest_s: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class Facade:
    """The store, the settings, the way to Prefect, and the clock of one running facade.

    `settings` are those of its start; one that `follows_file` goes by what foreact.toml has become since, `in_force`.
    """

    settings: Settings
    store: Store
    trigger: Trigger
    clock: Callable[[], datetime]
    started_at: datetime
    counters: Counters = field(default_factory=Counters)
    checks: dict[str, Callable[[], bool]] = field(default_factory=dict)
    follows_file: bool = False
    series_numbers: SeriesNumbers = field(default_factory=SeriesNumbers)
    running_tally: RunningCounts = field(default_factory=RunningCounts)
    visits: Visits = field(default_factory=Visits)
    commits: CommitQueue = field(default_factory=CommitQueue)

    @property
    def in_force(self) -> Settings:
        """Return the settings as foreact.toml has them now, as the next cycle will read them.

        Where the file cannot be used, the last that could. Where this process listens and what it samples stay as they
        were at its start.
        """
        return self._as_written()[0]

    @property
    def trouble(self) -> str | None:
        """Return why foreact.toml as it stands cannot be used, or None."""
        return self._as_written()[1] or None

    def _as_written(self) -> tuple[Settings, str]:
        folder = self.settings.folder
        if not self.follows_file or folder is None or not (folder / CONFIG_NAME).exists():
            return self.settings, self.settings.trouble
        state = (folder / CONFIG_NAME).stat()
        try:
            now = _settings_of(folder, (state.st_ino, state.st_size, state.st_mtime_ns))
        except ForeactError as trouble:
            return self.settings, str(trouble)
        return self.settings.model_copy(update={name: getattr(now, name) for name in READ_ANEW}), now.trouble

    @property
    def prefect_ui_url(self) -> str:
        """Return where people see the flow runs."""
        return without_login(self.settings.prefect_url).rstrip("/").removesuffix("/api")


@lru_cache(maxsize=4)
def _settings_of(folder: Path, version: tuple[int, int, int]) -> Settings:
    """Read a folder's configuration once for each version of its file: it is asked for with every status."""
    return settings_in_force(folder)
