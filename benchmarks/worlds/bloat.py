"""A table that bloats: what mends it makes it worse for half an hour first, and what is done next seems to help.

Truth: queries take longer by a fortieth for each percent of bloat, which grows by .8 an hour; `vacuum` takes seven
tenths of it away, at three tenths more for half an hour; `reindex` does nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from benchmarks.worlds.acts import HOUR_S, OneCure
from benchmarks.worlds.simulated_world import State, WorldCommand, WorldStep, hump, wander


@dataclass
class BloatState(State):
    """`percent` of the table is bloat; a vacuum runs for `busy` more steps."""

    percent: float = 10.0
    busy: int = 0


class Bloat(OneCure):
    """Query times with a daily peak, and a bloat that people vacuumed twice."""

    name: ClassVar[str] = "a table that bloats"
    goals: ClassVar = (("query_ms", 200.0, 0.6),)
    names: ClassVar = ("vacuum", "reindex")
    reference: ClassVar[str] = "threshold"
    look_s: ClassVar[float] = 4 * HOUR_S

    def draw(self, rng: np.random.Generator) -> None:
        """Draw query times without bloat, and how fast it grows."""
        self.base = {"query_ms": 90 + 50 * hump(self.hours, 14, 3) + wander(rng, self.count, 6, 0.9)}
        self.grows = 0.8 / 12 * rng.lognormal(0, 0.3, self.count)

    def begin(self) -> BloatState:
        """Return a table with some bloat."""
        return BloatState()

    def by_hand(self, i: int) -> list[WorldCommand]:
        """Return what people did on two mornings."""
        return [WorldCommand("vacuum")] if i in (324, 900) else []

    def carry_out(self, state: Any, i: int, command: WorldCommand, key: str) -> None:
        """Begin a vacuum."""
        if command.name == "vacuum":
            state.percent, state.busy = state.percent * 0.3, 6

    def take_back(self, state: Any, i: int, done: Any) -> None:
        """Leave it: a vacuum cannot be undone."""

    def step(self, state: Any, i: int) -> WorldStep:
        """Let it grow, and show what that costs."""
        state.percent += float(self.grows[i])
        slow = (1 + state.percent / 40) * (1.3 if state.busy else 1.0)
        state.busy = max(0, state.busy - 1)
        values = {"query_ms": float(self.base["query_ms"][i]) * slow}
        return WorldStep(values | {"table_bloat_ratio": state.percent / 100}, float(self.broken(values)))
