"""Keeping an eye on what other processes write while somebody asks, so that answers come from memory."""

from __future__ import annotations

import time

from api.facade import Facade

LOOK_EVERY_S = 0.25
ASKED_FOR_S = 15.0


class CacheRefresher:
    """Looks several times a second; not at all when nobody has asked for a while: then it costs nothing."""

    def __init__(self, facade: Facade) -> None:
        self._facade = facade

    def step(self) -> None:
        """Look once."""
        if time.monotonic() - self._facade.visits.newest_s < ASKED_FOR_S:
            self._facade.store.look()
