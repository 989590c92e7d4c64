"""A queue whose consumer stalls now and then: it grows until a restart, and takes an hour or two to drain.

Truth: a stalled consumer does a tenth of its work until an act, or for half a day. The first one comes after the loop
did: nothing like it was ever seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from benchmarks.worlds.faults import Faults, FaultState
from benchmarks.worlds.simulated_world import WorldStep, hump

STALLED_RATIO = 0.1


@dataclass
class QueueState(FaultState):
    """`waiting` is how much waits."""

    waiting: float = 0.0


class Stalled(Faults):
    """Arrivals with a daily peak, a consumer with room to spare; `restart` gets it going, `clear` does nothing."""

    name: ClassVar[str] = "a consumer that stalls"
    goals: ClassVar = (("consumer_lag", 5_000.0, 0.6),)
    look_s: ClassVar[float] = 14_400.0

    def draw(self, rng: np.random.Generator) -> None:
        """Draw what arrives, what is done, and when it stalls."""
        super().draw(rng)
        self.arrives = (300 + 200 * hump(self.hours, 14, 4)) * rng.lognormal(0, 0.1, self.count)
        self.does = 900 * rng.lognormal(0, 0.05, self.count)
        self.base = {"consumer_lag": self.arrives}

    def begin(self) -> QueueState:
        """Return an empty queue."""
        return QueueState()

    def step(self, state: Any, i: int) -> WorldStep:
        """Let it grow or drain."""
        self.go_wrong(state, i)
        done = self.does[i] * (STALLED_RATIO if state.left else 1.0)
        state.left = max(0, state.left - 1)
        state.waiting = max(0.0, state.waiting + float(self.arrives[i] - done))
        shown = {"consumer_lag": state.waiting + 0.2 * float(self.arrives[i])}
        return WorldStep(shown, float(self.broken(shown)))
