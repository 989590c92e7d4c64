"""A recording as a world: the past comes by tick by tick, and nothing that is done changes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

import numpy as np

from handlers.contract.action import ActionHandler
from storage.records import Action, Candidate, Event, Goal, Intent, Receipt, ReceiptStatus, Sample
from storage.sample_window import micros
from storage.samples import SampleColumns


@dataclass(frozen=True)
class Recording:
    """Samples as columns in time order, and events in time order."""

    samples: SampleColumns = field(default_factory=lambda: SampleColumns.of(()))
    events: tuple[Event, ...] = ()


@dataclass
class ReplayWorld:
    """A recording, shown up to each tick once; every action gets a dry-run receipt, and counts against limits."""

    rehearses: ClassVar[bool] = True
    recording: Recording
    actions: dict[str, ActionHandler] = field(default_factory=dict)
    _sample: int = 0
    _event: int = 0

    def __post_init__(self) -> None:
        self._event_times_s = np.array([event.ts.timestamp() for event in self.recording.events])

    def observe(self, tick: datetime) -> Iterable[Sample | SampleColumns | Event]:
        """Return what was recorded since the tick before, up to `tick`."""
        known = self.recording.samples
        first, self._sample = self._sample, int(np.searchsorted(known.moments_us, micros(tick), side="right"))
        begin, self._event = self._event, int(np.searchsorted(self._event_times_s, tick.timestamp(), side="right"))
        if first < self._sample:
            yield known.between(first, self._sample)
        yield from self.recording.events[begin : self._event]

    def propose(self, goal: Goal, tick: datetime) -> list[Candidate]:
        """Return the actions that serve a goal, without parameters: what they would touch is gone."""
        return [
            Candidate(action=name, target=goal.series or "")
            for name, handler in self.actions.items()
            if handler.serves(goal) and not handler.informs_only
        ]

    def capture(self, action: Action, tick: datetime) -> dict[str, Any]:
        """Return nothing: a recording has no state to go back to."""
        return {}

    def check(self, action: Action, intent: Intent, tick: datetime) -> ReceiptStatus:
        """Say that nothing took effect."""
        return ReceiptStatus.SKIPPED

    def act(self, action: Action, tick: datetime, before: Mapping[str, Any] | None = None) -> Receipt:
        """Say what would have been done."""
        return Receipt(
            action_id=action.action_id,
            status=ReceiptStatus.DRY_RUN,
            started_at=tick,
            finished_at=tick,
            detail="Replay: nothing was done.",
        )
