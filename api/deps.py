"""What every endpoint is given."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock
from typing import Annotated, cast

from fastapi import Depends, Request

from api.tally import RunningTally
from api.triggers import Trigger
from settings import Settings
from storage import Store


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
    """The store, the settings, the way to Prefect, and the clock of one running facade."""

    settings: Settings
    store: Store
    trigger: Trigger
    clock: Callable[[], datetime]
    started_at: datetime
    counters: Counters = field(default_factory=Counters)
    checks: dict[str, Callable[[], bool]] = field(default_factory=dict)
    running_tally: RunningTally = field(default_factory=RunningTally)
    visits: Visits = field(default_factory=Visits)

    @property
    def prefect_ui_url(self) -> str:
        """Return where people see the flow runs."""
        return self.settings.prefect_url.rstrip("/").removesuffix("/api")


def facade(request: Request) -> Facade:
    """Return the facade that serves a request."""
    found = cast(Facade, request.app.state.facade)
    found.visits.newest_s = time.monotonic()
    return found


FacadeDep = Annotated[Facade, Depends(facade)]
