"""Days of eight services under one error budget, lived turn by turn through the planner as shipped.

Incidents come by chance and last as long as chance has it; what a turn is told of one that has begun is a forecast
whose paths end at different times, and of those to come it is told nothing. An act ends an incident at a cost. The
first day fills the budget's window, the others count. Hindsight is for each incident to act at once or never, the best
for all of them together by one who knew them all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

from storage.records import Candidate, FloatArray, Objective, SharedBudget
from tasks.plan import PlanProblem
from tests.tasks.plan.worlds import TICK, KnownEffects, goal_of, problem_of, safe

HORIZON_MIN = 180
TURN_MIN = 5
DAY_MIN = 1_440
DAYS = 4
N_SERVICES = 8
NAMES = tuple(f"s{service}" for service in range(N_SERVICES))
SEVERITY = 0.9
OVER = SEVERITY / HORIZON_MIN
"""What a minute beyond the budget costs, as in the planner: a minute of its objective broken by two sd."""


@dataclass
class Breakage:
    """A service broken from one minute to another by some sd; `ended` is when an act ended it."""

    service: int
    begins: int
    ends: int
    sd: float
    ended: int | None = None

    @property
    def minutes(self) -> int:
        """Return for how many minutes it was broken."""
        return (self.ends if self.ended is None else min(self.ends, self.ended)) - self.begins


@dataclass(frozen=True)
class Days:
    """Seeded days: the services' severities, what ending an incident costs there, incidents, and a day's budget."""

    severities: FloatArray
    costs: FloatArray
    incidents: tuple[Breakage, ...]
    budget_min: float

    @classmethod
    def of(cls, seed: int) -> Days:
        """Return days whose budget is between a quarter and three quarters of what would be broken without acts."""
        rng = np.random.default_rng([18, seed])
        incidents = []
        for service in range(N_SERVICES):
            minute = int(rng.exponential(500))
            while minute < DAYS * DAY_MIN - 60:
                ends = min(DAYS * DAY_MIN, minute + int(rng.uniform(30, 120)))
                incidents.append(Breakage(service, minute, ends, float(rng.uniform(0.5, 2.0))))
                minute = ends + int(rng.exponential(500)) + 30
        whole = sum(each.minutes for each in incidents)
        return cls(
            rng.uniform(0.1, 0.5, N_SERVICES),
            rng.uniform(0.1, 0.5, N_SERVICES),
            tuple(incidents),
            float(rng.uniform(0.25, 0.75) * whole / DAYS),
        )

    def loss(self, incidents: Sequence[Breakage], acts: Sequence[tuple[int, int]]) -> float:
        """Return what the days after the first cost: broken minutes, acts, and what went over the budget of a day."""
        total = sum(self.costs[service] for minute, service in acts if minute >= DAY_MIN)
        for day in range(1, DAYS):
            of_day = [each for each in incidents if each.begins // DAY_MIN == day]
            total += sum(self.severities[each.service] * _depth(each) * each.minutes / HORIZON_MIN for each in of_day)
            total += OVER * max(0.0, sum(each.minutes for each in of_day) - self.budget_min)
        return float(total)

    def hindsight(self) -> float:
        """Return the least loss of acting on each incident at its first turn or never."""
        at_once = [replace(each, ended=_next_turn(each.begins) + 1) for each in self.incidents]
        saved = np.array(
            [before.minutes - after.minutes for before, after in zip(self.incidents, at_once, strict=True)]
        )
        worth = [
            self.severities[each.service] * _depth(each) * minutes / HORIZON_MIN - self.costs[each.service]
            for each, minutes in zip(self.incidents, saved, strict=True)
        ]
        of_day = np.array([[each.begins // DAY_MIN == day for each in self.incidents] for day in range(1, DAYS)])
        whole = np.array([each.minutes for each in self.incidents])
        count = len(worth)
        result = milp(
            np.array([*(-np.array(worth) * of_day.any(axis=0)), *[OVER] * len(of_day)]),
            constraints=[
                LinearConstraint(np.hstack([of_day * saved, np.eye(len(of_day))]), lb=of_day @ whole - self.budget_min)
            ],
            integrality=np.array([*[1] * count, *[0] * len(of_day)]),
            bounds=Bounds(0, [*[1.0] * count, *[np.inf] * len(of_day)]),
        )
        chosen = np.asarray(result.x)[:count] > 0.5
        lived = [after if act else before for before, after, act in zip(self.incidents, at_once, chosen, strict=True)]
        acts = [(each.begins, each.service) for each, act in zip(self.incidents, chosen, strict=True) if act]
        return self.loss(lived, acts)


def _depth(incident: Breakage) -> float:
    return min(1.0, 0.5 + 0.25 * incident.sd)


def _next_turn(minute: int) -> int:
    return -(-minute // TURN_MIN) * TURN_MIN


Policy = Callable[[PlanProblem], Sequence[str]]


def lived(days: Days, policy: Policy) -> float:
    """Return what days cost whose turns went by a policy."""
    incidents, acts = [replace(each) for each in days.incidents], list[tuple[int, int]]()
    for minute in range(0, DAYS * DAY_MIN, TURN_MIN):
        now = [each for each in incidents if each.begins <= minute < each.ends and each.ended is None]
        if not now:
            continue
        for name in policy(_told(days, incidents, now, minute)):
            service = int(name.removeprefix("s"))
            acts.append((minute, service))
            next(each for each in now if each.service == service).ended = minute + 1
    return days.loss(incidents, acts)


def _told(days: Days, incidents: Sequence[Breakage], now: Sequence[Breakage], minute: int) -> PlanProblem:
    """Return what a turn is told: goals and paths of the incidents that go on, and what was used of the budget."""
    tick = TICK + timedelta(minutes=minute)
    goals = [
        goal_of(
            name,
            series=name,
            severity=float(days.severities[each.service]),
            deadline=tick,
            because={"is_broken_now": True},
        )
        for each in now
        for name in (NAMES[each.service],)
    ]
    acts = {f"mend-{name}": safe(f"mend-{name}") for name in NAMES}
    offers = {
        NAMES[each.service]: [Candidate(action=f"mend-{NAMES[each.service]}", cost=float(days.costs[each.service]))]
        for each in now
    }
    return problem_of(
        goals,
        offers,
        KnownEffects(dict.fromkeys(acts, 3.0)),
        tick=tick,
        cycle_id=f"cycle-{minute}",
        objectives=_wanted(days),
        paths=_paths(now, minute),
        step_s=dict.fromkeys(NAMES, 180.0),
        series_sd=dict.fromkeys(NAMES, 10.0),
        traits=acts,
        used_minutes={("shop", name): _used(incidents, service, minute) for service, name in enumerate(NAMES)},
        slot_s=60.0,
        n_slots=5,
        cycle_s=TURN_MIN * 60.0,
        margin=0.0,
    )


def _paths(now: Sequence[Breakage], minute: int) -> dict[str, FloatArray]:
    """Return 42 paths of each service; those of an incident end some time around its end."""
    rng = np.random.default_rng([7, minute])
    steps = np.arange(HORIZON_MIN // 3) * 3
    paths = {name: np.full((42, len(steps)), 70.0) for name in NAMES}
    for each in now:
        left = np.maximum(5.0, each.ends - minute + rng.normal(0, 15) + rng.normal(0, 15, (42, 1)))
        paths[NAMES[each.service]] = np.where(steps < left, 90 + 10 * each.sd, 70.0)
    return paths


def _used(incidents: Sequence[Breakage], service: int, minute: int) -> float:
    """Return the minutes that a service was broken in what of the last day will still count at the horizon."""
    since = minute - DAY_MIN + HORIZON_MIN
    own = [each for each in incidents if each.service == service and each.begins < minute]
    return float(sum(max(0, min(minute, each.begins + each.minutes) - max(each.begins, since)) for each in own))


def _wanted(days: Days) -> dict[str, Objective]:
    horizon_s = HORIZON_MIN * 60.0
    budget = SharedBudget(minutes=days.budget_min, days=1)
    shop = Objective(name="shop", metric="shop", bound=1, severity=SEVERITY, horizon_s=horizon_s, budget=budget)
    parts = {
        name: Objective(name=name, metric=name, bound=90, severity=float(severity), horizon_s=horizon_s, parent="shop")
        for name, severity in zip(NAMES, days.severities, strict=True)
    }
    return {**parts, "shop": shop}
