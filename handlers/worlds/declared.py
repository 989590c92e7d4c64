"""Actions that a configuration declares for a world which only knows how to act.

A world with nothing but `observe` and `act` says nothing of what could be done. The configuration does:
`[actions.add_server]` with `goal_types`, `metrics`, `candidates` (one table of parameters each),
`expected_effect`, `latency_seconds`, `risk` and `reversible`; or, for an action that sets an amount, `sets` (the
series), `amounts`, `unit_cost` and `most_up`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from handlers.contract.action import ActionHandler
from handlers.contract.registration import from_callable
from handlers.worlds.world import World
from storage.errors import ForeactError
from storage.records import Action, Candidate, Event, Goal, Intent, Receipt, ReceiptStatus, Sample


def declared_actions(options: Mapping[str, Mapping[str, Any]]) -> dict[str, ActionHandler]:
    """Return a handler, without hooks of its own, for each action that a configuration declares."""
    return {name: _handler(name, each) for name, each in options.items() if "candidates" in each}


def _handler(name: str, options: Mapping[str, Any]) -> ActionHandler:
    return from_callable(
        name,
        _cannot_run,
        goal_types=tuple(options.get("goal_types", ())),
        default_level=options.get("level", "auto"),
        summary=str(options.get("summary", name)),
        hooks={"undo": _cannot_run} if options.get("reversible", True) else None,
        metrics=tuple(options.get("metrics", ())),
        risk=options.get("risk", "low"),
        cooldown_s=float(options.get("cooldown_seconds", 0.0)),
        rate_limits=(),
        latency_s=float(options.get("latency_seconds", 0.0)),
        cost=float(options.get("cost", 0.0)),
        expected_effect=dict(options.get("expected_effect", {})),
        expected_change=dict(options.get("expected_change", {})),
        sets=options.get("sets"),
        unit_cost=float(options.get("unit_cost", 0.0)),
        most_up=float(options.get("most_up", math.inf)),
        duration_s=options.get("duration_seconds"),
    )


def _cannot_run(*arguments: Any) -> Any:
    raise ForeactError("acts_in_its_world", "A declared action runs in its world.", "Call World.act.")


@dataclass(frozen=True)
class DeclaredWorld:
    """A world together with what the configuration says can be done in it."""

    world: World
    actions: Mapping[str, ActionHandler]
    options: Mapping[str, Mapping[str, Any]]

    def observe(self, tick: datetime) -> Iterable[Sample | Event]:
        """Return what the world reports."""
        return self.world.observe(tick)

    def act(self, action: Action, tick: datetime, before: Mapping[str, Any] | None = None) -> Receipt:
        """Let the world act; it keeps its own state, so `before` is empty."""
        return self.world.act(action, tick)

    def propose(self, goal: Goal, tick: datetime) -> list[Candidate]:
        """Return every declared set of parameters of the actions that serve the goal."""
        return [
            Candidate(
                action=name,
                params=dict(params),
                target=str(self.options[name].get("target", name)),
                **handler.effects,
                cost=handler.cost,
                latency_s=handler.latency_s,
            )
            for name, handler in self.actions.items()
            if handler.serves(goal)
            for params in self.options[name]["candidates"]
        ]

    def capture(self, action: Action, tick: datetime) -> dict[str, Any]:
        """Return nothing: the world keeps its own state."""
        return {}

    def check(self, action: Action, intent: Intent, tick: datetime) -> ReceiptStatus:
        """Say that nothing is known: a simulated act has no crash to recover from."""
        return ReceiptStatus.UNKNOWN
