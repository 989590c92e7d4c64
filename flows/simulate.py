"""The same loop against any world, bare and as fast as the machine allows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from api.alerts import Alerts
from flows.cycle import bare_turn
from flows.wiring import live_context
from handlers import ActionHandler
from handlers.worlds import Acting, World
from handlers.worlds.declared import DeclaredWorld, declared_actions
from settings import Settings
from storage import Store, open_store
from storage.actions import ActionView
from storage.records import GoalView, Objective, Outcome

Progress = Callable[[int, int], None]


@dataclass
class TickClock:
    """A clock that shows the tick, so that a replay records nothing with a time of its future."""

    now: datetime

    def __call__(self) -> datetime:
        return self.now


@dataclass(frozen=True)
class SimulationReport:
    """What the loop set out to do, did and learned; `store` holds all of it for closer looks."""

    first_tick: datetime
    last_tick: datetime
    ticks: int
    goals: tuple[GoalView, ...]
    actions: tuple[ActionView, ...]
    outcomes: tuple[Outcome, ...]
    store: Store

    def summary(self) -> dict[str, Any]:
        """Return the figures, ready for JSON."""
        done = [view for view in self.actions if view.receipt is not None]
        return {
            "from": self.first_tick.isoformat(),
            "until": self.last_tick.isoformat(),
            "ticks": self.ticks,
            "goals": len(self.goals),
            "goals_by_type": _count(str(view.goal.goal_type) for view in self.goals),
            "goals_by_state": _count(str(view.state) for view in self.goals),
            "actions": _count(view.action.name for view in done),
            "receipts": _count(str(view.receipt.status) for view in done if view.receipt),
            "verdicts": _count(str(outcome.verdict) for outcome in self.outcomes),
        }

    def to_json(self) -> str:
        """Return the figures and every goal, action and outcome as JSON."""
        told = {
            "summary": self.summary(),
            "goals": [told_goal(view) for view in self.goals],
            "actions": [told_action(view) for view in self.actions],
            "outcomes": [json.loads(outcome.model_dump_json(exclude={"evidence"})) for outcome in self.outcomes],
        }
        return json.dumps(told, indent=2)

    def write_page(self, file: Path, objectives: Sequence[Objective] = ()) -> Path:
        """Write one HTML file that shows all of it and loads nothing; charts are drawn of what has an objective."""
        from flows.pages import simulation_page

        return write_text(file, simulation_page(self, objectives))


def told_goal(view: GoalView) -> dict[str, Any]:
    """Return what a reader wants to know of a goal, ready for JSON."""
    goal = view.goal
    return {
        "goal_id": goal.goal_id,
        "goal_type": str(goal.goal_type),
        "description": goal.description,
        "objective": goal.objective,
        "series": goal.series,
        "created_at": goal.created_at.isoformat(),
        "deadline": goal.deadline.isoformat(),
        "probability": round(goal.probability, 4),
        "state": str(view.state),
        "closed_at": None if view.is_open else view.since.isoformat(),
        "reason": view.reason,
    }


def write_text(file: Path, text: str) -> Path:
    """Write a file, and the folder around it; return where."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def told_action(view: ActionView) -> dict[str, Any]:
    """Return what a reader wants to know of an action, ready for JSON."""
    action, receipt = view.action, view.receipt
    return {
        "action_id": action.action_id,
        "action": action.name,
        "target": action.target,
        "params": action.params,
        "goal_id": action.goal_id,
        "strategy": str(action.strategy),
        "due_at": action.due_at.isoformat(),
        "status": str(receipt.status) if receipt else None,
        "finished_at": receipt.finished_at.isoformat() if receipt else None,
        "detail": receipt.detail if receipt else "",
        "undo_of": action.undo_of,
    }


def simulate(
    world: World,
    settings: Settings,
    ticks: Iterable[datetime],
    store: Store | Path | str = ":memory:",
    *,
    actions: Mapping[str, ActionHandler] | None = None,
    progress: Progress | None = None,
    alerts: bool = False,
) -> SimulationReport:
    """Run the loop over `ticks` (ascending) against a world.

    `world` is any object with `observe` and `act`; what can be done in it is what it proposes itself, or else what the
    configuration declares. Nothing is read from the clock: rows count as recorded at their tick. With `alerts`, for a
    world that is real, people are told what is grave as `[alerts]` of the configuration says.
    """
    moments = list(ticks)
    if not moments:
        raise ValueError("a simulation needs at least one tick")
    clock = TickClock(moments[0])
    kept = store if isinstance(store, Store) else open_store(store, clock)
    known, proposing = _with_actions(world, settings, actions)
    telling = Alerts(lambda: settings, kept, clock, "simulation") if alerts and settings.alerts.urls else None
    if telling is not None:
        telling.step()
    for number, tick in enumerate(moments, start=1):
        clock.now = tick
        context = live_context(settings, kept, tick, "simulation", actions=known, world=proposing)
        kept.cycles.begin(context.cycle)
        bare_turn(context)
        if telling is not None:
            telling.step()
        if progress is not None:
            progress(number, len(moments))
    return _report(kept, moments)


def _with_actions(
    world: World, settings: Settings, actions: Mapping[str, ActionHandler] | None
) -> tuple[Mapping[str, ActionHandler], World]:
    if actions is not None or isinstance(world, Acting):
        return actions or getattr(world, "actions", {}), world
    options = {name: each.declaration for name, each in settings.actions.items()}
    declared = declared_actions(options)
    return declared, DeclaredWorld(world, declared, options)


def _report(store: Store, moments: list[datetime]) -> SimulationReport:
    return SimulationReport(
        first_tick=moments[0],
        last_tick=moments[-1],
        ticks=len(moments),
        goals=tuple(store.goals.all(100_000)),
        actions=tuple(store.actions.latest(100_000)),
        outcomes=tuple(store.outcomes.latest(100_000)),
        store=store,
    )


def _count(words: Iterable[str]) -> dict[str, int]:
    counted: dict[str, int] = {}
    for word in words:
        counted[word] = counted.get(word, 0) + 1
    return dict(sorted(counted.items()))
