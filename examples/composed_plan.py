"""Two actions of which neither helps alone: `switch_over` requires what `start_replica` provides.

Run it with `python examples/composed_plan.py`.

A service is slow every day from ten to four. Starting a replica alone changes nothing, switching over is not possible
without one; both together take a fifth off. The loop finds the sequence, carries it out step by step, and learns what
the two add to each other. The last lines are what it planned and what came of it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from flows.simulate import simulate
from settings import load_settings
from storage.facts import SEQUENCE_ENDS
from storage.records import Action, Receipt, ReceiptStatus, Sample

START = datetime(2026, 3, 2, tzinfo=UTC)
STEP = timedelta(minutes=5)
DAYS_BEFORE, DAYS = 3, 1
LASTS = timedelta(hours=1)


class SlowService:
    """A latency that rises by day, and falls by a fifth while a replica runs and is switched over to."""

    def __init__(self, seed: int = 1) -> None:
        rng = np.random.default_rng(seed)
        hours = np.arange((DAYS_BEFORE + DAYS + 1) * 288) / 12
        self.calm = 190 + 75 * np.exp(-0.5 * ((hours % 24 - 13) / 2.5) ** 2) + rng.normal(0, 4, len(hours))
        self.done: dict[str, datetime] = {}
        self.place = 0

    def observe(self, tick: datetime) -> Iterator[Sample]:
        """Return what was measured up to a moment."""
        while (at := START + self.place * STEP) <= tick:
            helps = all(at - self.done.get(name, START - LASTS) < LASTS for name in ("start_replica", "switch_over"))
            yield Sample(metric="latency", value=float(self.calm[self.place]) * (0.8 if helps else 1.0), ts=at)
            self.place += 1

    def act(self, action: Action, tick: datetime) -> Receipt:
        """Start a replica, or switch over; or take that back."""
        self.done.pop(action.name, None)
        if action.undo_of is None:
            self.done[action.name] = tick
        return Receipt(
            action_id=action.action_id, status=ReceiptStatus.SUCCEEDED, started_at=tick, finished_at=tick, detail="done"
        )


def main() -> None:
    """Let the loop run for a day after three that it only saw, and print what it did."""
    common = {"goal_types": ["BOTTLENECK_PREVENTION"], "candidates": [{}], "duration_seconds": LASTS.total_seconds()}
    settings = load_settings(
        use_default_objectives=False,
        objectives=[{"name": "fast", "metric": "latency", "bound": 250.0, "severity": 0.6, "horizon_s": 7_200}],
        actions={
            "start_replica": common | {"provides": ["replica up"]},
            "switch_over": common | {"requires": ["replica up"]},
        },
        agent={"analysis_interval_minutes": 20},
    )
    first = START + timedelta(days=DAYS_BEFORE)
    ticks = [first + n * timedelta(minutes=20) for n in range(DAYS * 72)]
    store = simulate(SlowService(), settings, ticks).store
    for sequence_id, end in store.facts.matching(SEQUENCE_ENDS).items():
        print(f"{end.at:%H:%M} {end.name}: {end.how}")
        for outcome in store.outcomes.of_action(store.actions.of_sequence(sequence_id)[-1].action.action_id):
            if outcome.role == "target" and outcome.estimate is not None:
                print(f"      latency {outcome.estimate:+.0f} ms ({outcome.low:.0f} to {outcome.high:.0f})")


if __name__ == "__main__":
    main()
