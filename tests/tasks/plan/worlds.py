"""Planning problems for tests: rising metrics, a few actions, seeded paths."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from handlers import ActionHandler, ActionsByName, elsewhere
from storage.records import (
    Autonomy,
    Candidate,
    FloatArray,
    Goal,
    GoalState,
    GoalType,
    GoalView,
    Objective,
)
from tasks.plan import PlanProblem
from tasks.plan.valuation.priors import PriorBeliefs

TICK = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


def safe(name: str = "safe", **traits: Any) -> ActionHandler:
    """Return an action that may be tried in order to learn."""
    return elsewhere(name, **{"risk": "low", "reversible": True} | traits)


SAFE = safe()


class KnownEffects:
    """Beliefs that are certain of each action's effect."""

    def __init__(self, effects: dict[str, float], sd: float = 0.05) -> None:
        self.effects, self.sd = effects, sd

    def effect(self, action: str, goal: Goal, target: str) -> tuple[float, float]:
        return self.effects.get(action, 0.0), self.sd

    def doubt_before(self, action: str, goal: Goal, target: str) -> float:
        return PriorBeliefs().sd


def goal_of(name: str = "g", *, series: str = "cpu", severity: float = 0.6, in_s: float = 900.0, **more: Any) -> Goal:
    fields: dict[str, Any] = {
        "goal_id": name,
        "goal_type": GoalType.BOTTLENECK_PREVENTION,
        "description": name,
        "cause": name,
        "objective": series,
        "series": series,
        "bound": 90.0,
        "severity": severity,
        "probability": 0.8,
        "urgency": 0.8,
        "priority": 0.8 * severity * 0.8,
        "created_at": TICK,
        "deadline": TICK + timedelta(seconds=in_s),
    }
    return Goal(**(fields | more))


def view_of(goal: Goal, state: GoalState = GoalState.ACTIVE) -> GoalView:
    return GoalView(goal=goal, state=state, progress=0.0, reason="", since=TICK)


def rising_paths(
    seed: int = 0, *, low: float = 70.0, high: float = 110.0, n_paths: int = 42, n_steps: int = 60
) -> FloatArray:
    noise = np.random.default_rng(seed).normal(0, 2, (n_paths, n_steps)).cumsum(axis=1) * 0.3
    return np.linspace(low, high, n_steps)[None, :] + noise


def problem_of(
    goals: Sequence[Goal], candidates: dict[str, Sequence[Candidate]], beliefs: Any = None, **more: Any
) -> PlanProblem:
    series = sorted({goal.series for goal in goals if goal.series})
    names = {each.action for offers in candidates.values() for each in offers}
    fields: dict[str, Any] = {
        "tick": TICK,
        "cycle_id": "cycle-1",
        "seed": 7,
        "goals": tuple(view_of(goal) for goal in goals),
        "objectives": {each: Objective(name=each, metric=each, bound=90, severity=0.6) for each in series},
        "candidates": {goal_id: tuple(offers) for goal_id, offers in candidates.items()},
        "beliefs": beliefs or PriorBeliefs(),
        "paths": {each: rising_paths(index) for index, each in enumerate(series)},
        "step_s": dict.fromkeys(series, 60.0),
        "series_sd": dict.fromkeys(series, 10.0),
        "traits": dict.fromkeys(names, SAFE),
        "levels": {(kind, name): Autonomy.AUTO for kind in GoalType for name in names},
        "nothing_floor": 0.0,
        "explore": False,
    }
    merged = fields | more
    return PlanProblem(**(merged | {"traits": ActionsByName(merged["traits"])}))


def crowd(n_goals: int = 15, n_slots: int = 20, n_actions: int = 4, seed: int = 0, **more: Any) -> PlanProblem:
    """Many goals that want the same few targets: the size that planning must manage in 100 ms."""
    rng = np.random.default_rng(seed)
    goals = [
        goal_of(
            f"g{i:02d}", series=f"m{i:02d}", severity=float(rng.uniform(0.2, 0.85)), in_s=float(rng.uniform(120, 3_000))
        )
        for i in range(n_goals)
    ]
    candidates = {
        goal.goal_id: [
            Candidate(
                action=f"a{j}",
                target=f"t{rng.integers(0, max(2, n_goals // 2))}",
                cost=float(rng.uniform(0, 0.05)),
                latency_s=float(rng.uniform(5, 240)),
            )
            for j in range(n_actions)
        ]
        for goal in goals
    }
    beliefs = KnownEffects({f"a{j}": float(rng.uniform(0.3, 2.0)) for j in range(n_actions)})
    paths = {
        goal.series: rising_paths(index, high=float(rng.uniform(92, 120)), n_steps=60)
        for index, goal in enumerate(goals)
    }
    objectives = {each: Objective(name=each, metric=each, bound=90, severity=0.5, horizon_s=18_000) for each in paths}
    fields: dict[str, Any] = {
        "paths": paths,
        "objectives": objectives,
        "slot_s": 600.0,
        "n_slots": n_slots,
        "step_s": dict.fromkeys(paths, 300.0),
    }
    traits = {f"a{j}": safe(duration_s=10_800.0, cooldown_s=300.0) for j in range(n_actions)}
    return problem_of(goals, candidates, beliefs, **(fields | {"traits": traits} | more))
