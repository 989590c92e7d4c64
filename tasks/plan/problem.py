"""What the planner is given and what it hands back."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Literal, Protocol

from handlers import ActionHandler, ActionsByName
from storage.facts import BudgetShares
from storage.records import (
    Action,
    Autonomy,
    Candidate,
    Decision,
    FloatArray,
    Goal,
    GoalType,
    GoalView,
    Objective,
    Plan,
    SeriesIndex,
    Strategy,
    sequence_name,
)
from tasks.drivers.responses import Response
from tasks.drivers.settable_amounts import AmountStep
from tasks.interventions.declared_facts import DeclaredFacts, declared_facts
from tasks.learn import LateAdvice, PairBeliefs


class EffectBeliefs(Protocol):
    """What is believed about the actions; the learner fulfils it, `PriorBeliefs` where nothing is learned."""

    def effect(self, action: str, goal: Goal, target: str) -> tuple[float, float]:
        """Return mean and standard deviation of what an action on a target does beyond what happens anyway.

        In sd of the goal's metric, positive toward the goal.
        """
        ...

    def doubt_before(self, action: str, goal: Goal, target: str) -> float:
        """Return the standard deviation of that before anything was measured."""
        ...


class Advised(Protocol):
    """A strategy, and why; `is_adapted` where outcomes say that it should not be the one proposed."""

    @property
    def strategy(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def is_adapted(self) -> bool: ...


class StrategyChooser(Protocol):
    """What outcomes say of the strategies; the learner fulfils it."""

    def choose(self, goal_type: str, proposed: str, allowed: Collection[str]) -> Advised:
        """Return the strategy for a goal: the proposed one, unless outcomes say that another does better."""
        ...


@dataclass(frozen=True)
class Commitment:
    """An action planned or done earlier that still counts: its slot is taken, its metric settles until `until`.

    `is_started` tells whether it can no longer be reconsidered, `waits` whether a person is asked first.
    Of an amount that it raised in the series `sets`, what was added works from `rises_until` on. The first step of a
    sequence that has not begun stands for all of them, `steps`.
    """

    action_id: str
    goal_id: str
    action: str
    target: str
    start: datetime
    until: datetime
    series: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    strategy: Strategy = Strategy.IMMEDIATE
    is_started: bool = False
    waits: bool = False
    sets: str | None = None
    rises_until: datetime | None = None
    steps: tuple[Candidate, ...] = ()

    @property
    def candidate(self) -> Candidate:
        """Return what was planned."""
        name = sequence_name(each.action for each in self.steps) if self.steps else self.action
        params = {} if self.steps else dict(self.params)
        return Candidate(action=name, target="" if self.steps else self.target, params=params, steps=self.steps)


@dataclass(frozen=True)
class Realised:
    """What an action's gains were predicted to be and measured as, summed over its uses."""

    count: int
    predicted: float
    realised: float


@dataclass(frozen=True)
class Dropped:
    """An earlier plan's action that is no longer wanted, and why."""

    action_id: str
    reason: str


@dataclass(frozen=True)
class CostRoom:
    """How much running cost per hour may be added for some objectives until the budget named `budget` is used up.

    `spared` is by objective what is set aside for it beyond what it uses now: it may add that without taking room.
    """

    budget: str
    room: float
    objectives: frozenset[str]
    spared: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class PlanProblem:
    """Everything a planning round depends on.

    `paths` are joint sample paths (n_paths, n_steps) by series, the first step one `step_s` after the tick; the same
    path index is the same future in all of them. `series_sd` is the usual spread of a series, `off_usual_sd` how
    far the metric of a goal stands or soon will stand beyond its level in `usual`, as a fault makes it and away from
    the goal (in sd, by goal), `capacities` the present value of the series that objectives name as capacity,
    `responses` the models by objective that has a driver, `capacity_latency_s` how long an increase of such a series
    was seen to take until it works, `steps` the next step of each amount without a response, by the series that
    actions set.
    `usual_duration_s` is what actions are taken to work of which it is neither said nor known, by name.
    `in_force_until` says by (action, series) until when an act works that the paths cannot show, `doubted_until`
    by `GOAL_TYPE:action` until when at most a pair that seems to harm awaits that its last acts can be judged.
    `maintenance` holds spans (start, end) in which nothing is done, `informed` the goals that had their information
    action. `changes` are the measured changes of series by actions, (action, series) to mean and standard error in the
    metric's unit, `unmeasured` the actions and the series of acts that await their measurement. `facts_held` are the
    facts that hold now, of those that actions require and provide. With `tries_pairs` two actions may be tried as a
    sequence though neither declares anything; `tried` are the (goal type, action) pairs that were measured,
    `pair_beliefs` what is believed of actions together. `cycle_s` is the time
    to the next planning round: what begins before it cannot be left to it. An action that a person must approve is
    expected to wait `approval_latency_s` for it, at most a sixth of the horizon. Costs are on the scale of the loss: 1
    is an objective of severity 1 broken all the time by two sd.

    Of budgets that objectives share, `used_minutes` holds by (budget, objective) the minutes broken in its window,
    `silent` the objectives of which nothing is heard, `given_up` those whose goal was closed unmet. What follows from
    them is `weights`, by objective the factor of its severity, `cost_rooms`, and `shares`, what people are told. `late`
    is what was learned of effects that come late, None where nobody asks.
    """

    tick: datetime
    cycle_id: str
    seed: int
    goals: tuple[GoalView, ...]
    objectives: Mapping[str, Objective]
    candidates: Mapping[str, tuple[Candidate, ...]]
    beliefs: EffectBeliefs
    paths: Mapping[str, FloatArray] = field(default_factory=dict)
    step_s: Mapping[str, float] = field(default_factory=dict)
    series_sd: Mapping[str, float] = field(default_factory=dict)
    off_usual_sd: Mapping[str, float] = field(default_factory=dict)
    usual: Mapping[str, float] = field(default_factory=dict)
    traits: ActionsByName = field(default_factory=ActionsByName)
    usual_duration_s: Mapping[str, float] = field(default_factory=dict)
    levels: Mapping[tuple[GoalType, str], Autonomy] = field(default_factory=dict)
    strategies: Mapping[GoalType, Strategy] | None = None
    advice: StrategyChooser | None = None
    commitments: tuple[Commitment, ...] = ()
    in_force_until: Mapping[tuple[str, str], datetime] = field(default_factory=dict)
    cooldown_until: Mapping[tuple[str, str], datetime] = field(default_factory=dict)
    doubted_until: Mapping[str, datetime] = field(default_factory=dict)
    maintenance: tuple[tuple[datetime, datetime], ...] = ()
    realised: Mapping[str, Realised] = field(default_factory=dict)
    capacities: Mapping[str, float] = field(default_factory=dict)
    responses: Mapping[str, Response] = field(default_factory=dict)
    steps: Mapping[str, AmountStep] = field(default_factory=dict)
    capacity_latency_s: Mapping[str, float] = field(default_factory=dict)
    informed: frozenset[str] = frozenset()
    changes: Mapping[tuple[str, str], tuple[float, float]] = field(default_factory=dict)
    facts_held: frozenset[str] = frozenset()
    tries_pairs: bool = False
    tried: frozenset[tuple[str, str]] = frozenset()
    pair_beliefs: PairBeliefs = field(default_factory=PairBeliefs)
    unmeasured: frozenset[str] = frozenset()
    used_minutes: Mapping[tuple[str, str], float] = field(default_factory=dict)
    silent: frozenset[str] = frozenset()
    given_up: frozenset[str] = frozenset()
    weights: Mapping[str, float] = field(default_factory=dict)
    cost_rooms: tuple[CostRoom, ...] = ()
    shares: tuple[BudgetShares, ...] = ()
    late: LateAdvice | None = None
    max_concurrent_goals: int = 3
    slot_s: float = 60.0
    n_slots: int = 20
    cycle_s: float = 60.0
    margin: float = 0.30
    switching_ratio: float = 0.25
    explore: bool = True
    nothing_floor: float = 0.05
    settle_s: float = 600.0
    expires_s: float = 900.0
    approval_expires_s: float = 86_400.0
    approval_latency_s: float = 600.0
    method: Literal["milp", "greedy"] = "milp"

    @cached_property
    def standing(self) -> tuple[Commitment, ...]:
        """Return the commitments that take anything; actions that only inform take nothing."""
        return tuple(each for each in self.commitments if not self.traits_of(each.action).informs_only)

    @cached_property
    def forecast_series(self) -> SeriesIndex:
        """Return the series that have paths, so that those of a selector are found without asking each."""
        return SeriesIndex(tuple(self.paths))

    @cached_property
    def limited(self) -> tuple[tuple[Objective, str], ...]:
        """Return each objective that limits every value, with each series with a forecast that it limits."""
        limiting = [each for each in self.objectives.values() if each.kind.limits_values]
        known = self.forecast_series
        return tuple((each, known.series[place]) for each in limiting for place in known.meant(each.measured))

    @cached_property
    def declared(self) -> Mapping[str, DeclaredFacts]:
        """Return the facts that actions declare, of those that declare any."""
        return declared_facts(self.traits)

    @cached_property
    def measured_actions(self) -> frozenset[str]:
        """Return the actions of which any change was measured."""
        return frozenset(action for action, _ in self.changes)

    def slot_at(self, slot: int) -> datetime:
        """Return the moment at which a slot begins."""
        return self.tick + timedelta(seconds=slot * self.slot_s)

    def level(self, goal_type: GoalType, action: str) -> Autonomy:
        """Return the autonomy level of a pair; approve where none is set."""
        return self.levels.get((goal_type, action), Autonomy.APPROVE)

    def works_for_s(self, action: str) -> float | None:
        """Return how long an action is taken to work in seconds, None for good."""
        duration_s = self.traits_of(action).duration_s
        return self.usual_duration_s.get(action) if duration_s is None else duration_s

    def traits_of(self, action: str) -> ActionHandler:
        """Return what is known of an action."""
        return self.traits[action]

    def severity_of(self, view: GoalView) -> float:
        """Return a goal's severity, weighted by what a broken minute of its objective costs the budgets above it."""
        return view.goal.severity * self.weights.get(view.goal.objective or "", 1.0)

    def weighed(self, objective: Objective) -> float:
        """Return an objective's severity, weighted the same way."""
        return objective.severity * self.weights.get(objective.name, 1.0)

    def is_hard(self, view: GoalView) -> bool:
        """Tell whether a goal is met before soft ones."""
        objective = self.objective_of(view)
        return objective is not None and objective.hard

    def objective_of(self, view: GoalView) -> Objective | None:
        """Return the objective that a goal serves."""
        return self.objectives.get(view.goal.objective or "")


@dataclass(frozen=True)
class PlanResult:
    """What was planned: one decision a goal, the plans and actions that follow, and earlier actions given up."""

    plans: tuple[Plan, ...] = ()
    decisions: tuple[Decision, ...] = ()
    actions: tuple[Action, ...] = ()
    dropped: tuple[Dropped, ...] = ()
    utility: float = 0.0
