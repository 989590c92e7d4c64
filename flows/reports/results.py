"""What simulations, backtests and comparisons come to."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np

from flows.reports.episodes import Episode
from storage import Store
from storage.actions import ActionView
from storage.records import GoalView, Objective, Outcome


@dataclass(frozen=True)
class SimulationReport:
    """What the loop set out to do, did and learned; `store` holds all of it for closer looks.

    `episodes` are the stretches in which an objective was really broken, `false_alarms` the goals for a breach that did
    not come.
    """

    first_tick: datetime
    last_tick: datetime
    ticks: int
    goals: tuple[GoalView, ...]
    actions: tuple[ActionView, ...]
    outcomes: tuple[Outcome, ...]
    store: Store
    objectives: tuple[Objective, ...]
    episodes: tuple[Episode, ...]
    false_alarms: tuple[GoalView, ...]

    @property
    def missed(self) -> tuple[Episode, ...]:
        """Return the breaches that no goal foretold or met."""
        return tuple(episode for episode in self.episodes if episode.warning == "missed")

    @property
    def lead_time_s(self) -> float | None:
        """Return the median time from a goal to the breach it was about; None where no breach had a goal."""
        leads_s = [each.lead_time_s for each in self.episodes if each.lead_time_s is not None]
        return float(np.median(leads_s)) if leads_s else None

    @property
    def breaches(self) -> Mapping[str, int]:
        """Return how often each bounded objective of a metric that was seen broke."""
        return {each.objective: each.breaches for each in self.by_objective}

    @cached_property
    def by_objective(self) -> tuple[ObjectiveFigures, ...]:
        """Return how each bounded objective of a metric that was seen fared."""
        series = [info.series for info in self.store.samples.known()]
        return tuple(
            _figures(objective.name, self.episodes, self.false_alarms)
            for objective in self.objectives
            if objective.kind.bounds_each_value and any(map(objective.matches, series))
        )

    def summary(self) -> dict[str, Any]:
        """Return the figures, ready for JSON."""
        done = [view for view in self.actions if view.receipt is not None]
        warnings = [episode.warning for episode in self.episodes]
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
            "breaches": len(warnings),
            "foretold_breaches": warnings.count("foretold"),
            "late_breaches": warnings.count("late"),
            "missed_breaches": warnings.count("missed"),
            "false_alarms": len(self.false_alarms),
            "median_lead_time_s": self.lead_time_s,
            "breach_minutes": round(sum(episode.duration_s for episode in self.episodes) / 60, 1),
        }

    def to_json(self) -> str:
        """Return the figures and every objective, breach, goal, action and outcome as JSON."""
        document = {
            "summary": self.summary(),
            **self.told_breaches(),
            "actions": [told_action(view) for view in self.actions],
            "outcomes": [json.loads(outcome.model_dump_json(exclude={"evidence"})) for outcome in self.outcomes],
        }
        return json.dumps(document, default=str, indent=2)

    def told_breaches(self) -> dict[str, Any]:
        """Return how each objective fared, every breach and every goal."""
        return {
            "objectives": [asdict(each) for each in self.by_objective],
            "episodes": [asdict(each) | {"warning": each.warning} for each in self.episodes],
            "goals": [told_goal(view) for view in self.goals],
            "false_alarms": [view.goal.goal_id for view in self.false_alarms],
        }


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


def _count(words: Iterable[str]) -> dict[str, int]:
    counted: dict[str, int] = {}
    for word in words:
        counted[word] = counted.get(word, 0) + 1
    return dict(sorted(counted.items()))


@dataclass(frozen=True)
class ObjectiveFigures:
    """How one objective fared: its breaches, and what became of the warnings."""

    objective: str
    breaches: int
    foretold: int
    late: int
    missed: int
    false_alarms: int
    median_lead_time_s: float | None
    breach_s: float


@dataclass(frozen=True)
class WouldDo:
    """An action that the loop would have carried out."""

    at: datetime
    action: str
    target: str
    goal_id: str
    cost: float


@dataclass(frozen=True)
class BacktestReport:
    """What the loop would have made of a stretch of history, with a turn every `every_s` seconds.

    `asked_every_s` is what was asked for: less where that would have been more turns than are taken.
    """

    start: datetime
    end: datetime
    every_s: float
    asked_every_s: float
    configuration: str
    simulation: SimulationReport
    actions: tuple[WouldDo, ...]

    @property
    def is_widened(self) -> bool:
        """Tell whether turns were taken less often than was asked for."""
        return self.every_s > self.asked_every_s

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """Return what was wanted."""
        return self.simulation.objectives

    @property
    def episodes(self) -> tuple[Episode, ...]:
        """Return every stretch in which an objective was really broken."""
        return self.simulation.episodes

    @property
    def false_alarms(self) -> tuple[GoalView, ...]:
        """Return the goals for a breach that did not come."""
        return self.simulation.false_alarms

    @property
    def missed(self) -> tuple[Episode, ...]:
        """Return the breaches that no goal foretold or met."""
        return self.simulation.missed

    @property
    def by_objective(self) -> tuple[ObjectiveFigures, ...]:
        """Return how each bounded objective of a metric in this history fared."""
        return self.simulation.by_objective

    def summary(self) -> dict[str, Any]:
        """Return the figures, ready for JSON."""
        return {
            **self.simulation.summary(),
            "every_s": self.every_s,
            "asked_every_s": self.asked_every_s,
            "actions_taken": len(self.actions),
            "actions_by_name": _count(each.action for each in self.actions),
            "cost": round(sum(each.cost for each in self.actions), 6),
        }

    def to_record(self) -> dict[str, Any]:
        """Return the figures, every objective, breach, goal and action."""
        return {
            "configuration": self.configuration,
            "summary": self.summary(),
            **self.simulation.told_breaches(),
            "actions": [asdict(each) for each in self.actions],
        }

    def to_json(self) -> str:
        """Return the figures, every objective, breach, goal and action as JSON."""
        return json.dumps(self.to_record(), default=str, indent=2)


def _figures(name: str, episodes: Iterable[Episode], alarms: Iterable[GoalView]) -> ObjectiveFigures:
    own = [each for each in episodes if each.objective == name]
    warnings = [each.warning for each in own]
    leads_s = [each.lead_time_s for each in own if each.lead_time_s is not None]
    return ObjectiveFigures(
        objective=name,
        breaches=len(own),
        foretold=warnings.count("foretold"),
        late=warnings.count("late"),
        missed=warnings.count("missed"),
        false_alarms=sum(view.goal.objective == name for view in alarms),
        median_lead_time_s=float(np.median(leads_s)) if leads_s else None,
        breach_s=sum(each.duration_s for each in own),
    )


FIGURES = (
    "breaches",
    "foretold_breaches",
    "late_breaches",
    "missed_breaches",
    "false_alarms",
    "median_lead_time_s",
    "breach_minutes",
    "goals",
    "actions_taken",
    "cost",
)


@dataclass(frozen=True)
class Comparison:
    """What two configurations make of the same history."""

    one: BacktestReport
    other: BacktestReport

    def rows(self) -> list[tuple[str, float | None, float | None, float | None]]:
        """Return each figure of both, and the second minus the first where both have it."""
        first, second = self.one.summary(), self.other.summary()
        return [
            (
                name,
                first[name],
                second[name],
                None if None in (first[name], second[name]) else second[name] - first[name],
            )
            for name in FIGURES
        ]

    def only(self, which: BacktestReport) -> list[str]:
        """Return the breaches, as `objective: series, start`, that only this one of the two foretold."""
        foretold = [{_name(e) for e in report.episodes if e.warning == "foretold"} for report in (self.one, self.other)]
        own, others = foretold if which is self.one else reversed(foretold)
        return sorted(own - others)

    def to_record(self) -> dict[str, Any]:
        """Return both reports and the difference."""
        return {
            "one": self.one.to_record(),
            "other": self.other.to_record(),
            "difference": {name: change for name, _, _, change in self.rows()},
            "foretold_only_by_one": self.only(self.one),
            "foretold_only_by_other": self.only(self.other),
        }

    def to_json(self) -> str:
        """Return both reports and the difference as JSON."""
        return json.dumps(self.to_record(), default=str, indent=2)


def _name(episode: Any) -> str:
    return f"{episode.objective}: {episode.series}, {episode.start:%Y-%m-%d %H:%M} UTC"
