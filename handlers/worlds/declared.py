"""Actions that a configuration declares for a world which only knows how to act.

A world with nothing but `observe` and `act` says nothing of what could be done. The configuration does:
`[actions.add_server]` with `goal_types`, `metrics`, `candidates` (one table of parameters each),
`expected_effect`, `latency_seconds`, `risk` and `reversible`; or, for an action that sets an amount, `sets` (the
series), `amounts`, `unit_cost` and `most_up`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from handlers.contract.action import ActionContext, ActionHandler
from handlers.worlds.world import World, facts_in
from storage.records import Action, Candidate, Event, Goal, Intent, Receipt, ReceiptStatus, Sample
from storage.samples import SampleColumns


@dataclass(frozen=True)
class DeclaredWorld:
    """A world together with what the configuration says can be done in it."""

    world: World
    actions: Mapping[str, ActionHandler]

    def observe(self, tick: datetime) -> Iterable[Sample | SampleColumns | Event]:
        """Return what the world reports."""
        return self.world.observe(tick)

    def act(self, action: Action, tick: datetime, before: Mapping[str, Any] | None = None) -> Receipt:
        """Let the world act; it keeps its own state, so `before` is empty."""
        return self.world.act(action, tick)

    def propose(self, goal: Goal, tick: datetime) -> list[Candidate]:
        """Return every declared set of parameters of the actions that serve the goal."""
        context = ActionContext(tick=tick)
        declared = [action for action in self.actions.values() if action.candidates]
        return [candidate for action in declared for candidate in action.propose(goal, context)]

    def facts_now(self, tick: datetime) -> Mapping[str, bool]:
        """Return the facts that the world reports."""
        return facts_in(self.world, tick)

    def capture(self, action: Action, tick: datetime) -> dict[str, Any]:
        """Return nothing: the world keeps its own state."""
        return {}

    def check(self, action: Action, intent: Intent, tick: datetime) -> ReceiptStatus:
        """Say that nothing is known: a simulated act has no crash to recover from."""
        return ReceiptStatus.UNKNOWN
