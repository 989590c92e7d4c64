"""What a candidate is worth to a goal: simulated on the joint paths, against doing nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from storage.records import Autonomy, Candidate, FloatArray, GoalView, Objective
from tasks.drivers.responses import on_grid
from tasks.excess import SLOPE, Side, excess_of
from tasks.plan.problem import PlanProblem, Realised
from tasks.plan.valuation.amounts import amount_of, amount_values
from tasks.plan.valuation.priors import effect_of
from tasks.plan.valuation.risk import MAX_STEPS, deviates_of, ramps_of, risk_after, risk_of, slope_of, thin
from tasks.plan.valuation.side_effects import harms_of, times
from tasks.plan.valuation.stepped_amounts import gain_of, step_for

_AS_TEXT = json.JSONEncoder(sort_keys=True, default=str).encode
_SHRINK_COUNT = 20
_N_DEVIATES = 64
_LEAST_LEAD_S = 3_600.0
LEAST_WORTH = 0.02
"""What an act must save to be worth the disturbance: a fiftieth of an objective of severity 1 broken all the time."""


@dataclass(frozen=True)
class BoundFutures:
    """The futures of one bound.

    `excess` (n_paths, n_steps) is how far each path lies beyond it in sd of the metric, `times_s` (n_steps,) counts
    from the tick, `deviates` (n_paths,) are the normal draws that every action's uncertain effect shares, `risk` in
    [0, 1] is that of doing nothing, to which each sd beyond the bound adds `slope`. Without paths `excess` is empty and
    the breach probability stands for the risk.
    """

    excess: FloatArray
    times_s: FloatArray
    deviates: FloatArray
    risk: float
    side: Side
    bound: float
    sd: float
    severity: float
    objective: Objective | None = None
    slope: float = SLOPE


@dataclass(frozen=True)
class Worth:
    """What a candidate is worth in each slot (n_slots,): gain over all bounds, the goal's own, the risk it leaves.

    `needed` is what it must be worth after its cost to be preferred to doing nothing: a margin of what an act of its
    latency and duration could save at all. `is_planned` tells whether it sets an amount and is valued by the plan of
    amounts that begins with it, `harmed` are the objectives that lose by it.
    """

    gain: FloatArray
    own_gain: FloatArray
    risk_left: FloatArray
    shrink: float
    needed: float
    is_planned: bool = False
    harmed: tuple[str, ...] = ()


def offer_key(candidate: Candidate) -> str:
    """Return what a candidate does, as text: equal for equal action, target and parameters, of all its steps."""
    steps = [[offer_key(step) for step in candidate.steps]] if candidate.steps else []
    return _AS_TEXT([candidate.action, candidate.target, candidate.params, *steps])


class Valuer:
    """Values candidates for one goal; its futures, and those of the bounds it could harm, are prepared once."""

    def __init__(self, problem: PlanProblem, view: GoalView) -> None:
        self.problem, self.view = problem, view
        self.outlook = outlook_of(problem, view)
        self.guards = guards_of(problem, view)
        self.amounts = amount_values(problem, view)
        self.worths: dict[str, Worth] = {}
        self._others: dict[tuple[str, str], BoundFutures | None] = {}
        self._reach: dict[tuple[float, float | None, bool], float] = {}

    @property
    def risk(self) -> float:
        """Return the weighted risk of doing nothing."""
        return self.view.goal.severity * self.outlook.risk

    @property
    def weight(self) -> float:
        """Return what counts of the goal: its severity, more where a budget above its objective is scarce.

        The margin that an act must earn goes by the severity alone: it stands for what is not known of the act.
        """
        return self.problem.severity_of(self.view)

    def worth(self, candidate: Candidate) -> Worth:
        """Return severity × shrunk (risk of nothing − risk left) per slot, less the harm to other bounds."""
        key = offer_key(candidate)
        if key not in self.worths:
            self.worths[key] = self._worth(candidate)
        return self.worths[key]

    def _worth(self, candidate: Candidate) -> Worth:
        amount = amount_of(self.problem, self.outlook.objective, candidate)
        if self.amounts is not None and amount is not None:
            more = amount - self.amounts.now
            return self._worth_of_amount(self.amounts.gains(self.problem, amount), candidate, more)
        if amount is not None and self.outlook.objective and self.outlook.objective.name in self.problem.responses:
            # Its driver is not forecast: nobody can tell which amount is the better.
            return self._worth_of_step(None, candidate, 0.0)
        step = step_for(self.problem, self.view, candidate)
        if step is not None:
            gain = gain_of(self.problem, self.view, candidate, step)
            return self._worth_of_step(gain, candidate, step.to - step.now)
        effect = effect_of(self.problem, candidate, self.view.goal)
        left = self._risk_left(candidate, effect)
        shrink = shrink_of(self.problem.realised.get(candidate.action))
        saved = self.outlook.risk - left
        own = self.weight * np.where(saved > 0, shrink * saved, saved)
        needed = max(LEAST_WORTH, self.problem.margin * self.reach_of(candidate))
        harm, harmed = self._harm(candidate, (*self._on_same_series(effect), *self._beside(candidate)))
        return Worth(own - harm, own, left, shrink, needed, harmed=harmed)

    def reach_of(self, candidate: Candidate) -> float:
        """Return the weighted risk that a candidate would save at its best time, were it to end every breach meanwhile.

        What works for an hour cannot be asked for a share of what two hours may bring.
        """
        if self.outlook.excess.size == 0:
            return self.risk
        is_asked = self.problem.level(self.view.goal.goal_type, candidate.action) is not Autonomy.AUTO
        key = (candidate.latency_s, self.problem.works_for_s(candidate.action), is_asked)
        if key not in self._reach:
            cure = 1.0 + max(0.0, float(self.outlook.excess.max()))
            left = self._risk_after(candidate, self.outlook, (cure, 0.0))
            self._reach[key] = self.view.goal.severity * (self.outlook.risk - float(left.min()))
        return self._reach[key]

    def own_gains_at(self, candidate: Candidate, slot: int, effects: FloatArray) -> FloatArray:
        """Return what a candidate in a slot would be worth to the goal alone (n_effects,) were this its effect.

        `effects` are in sd of the metric, toward the goal.
        """
        left = [float(self._risk_left(candidate, (each, 0.0))[slot]) for each in effects.tolist()]
        saved = self.outlook.risk - np.array(left)
        shrink = shrink_of(self.problem.realised.get(candidate.action))
        return np.asarray(self.weight * np.where(saved > 0, shrink * saved, saved))

    def _worth_of_amount(self, saved: FloatArray, candidate: Candidate, more: float) -> Worth:
        left = np.clip(self.outlook.risk - saved / max(self.weight, 1e-9), 0.0, 1.0)
        # The response is known and the plan weighs late against idle: a share of the whole risk would forbid the small
        # steps that it consists of. So the margin is on a unit's running cost; what a change costs is charged as cost.
        needed = self.problem.margin * self.problem.traits_of(candidate.action).unit_cost
        harm, harmed = self._harm_of_amount(candidate, more)
        return Worth(saved - harm, saved, left, 1.0, needed, is_planned=True, harmed=harmed)

    def _worth_of_step(self, gain: float | None, candidate: Candidate, more: float) -> Worth:
        # The sooner the better, by a little: what is next is known for now alone.
        soon = 1.0 - 0.01 * np.arange(self.problem.n_slots, dtype=np.float64)
        saved = np.full(len(soon), -np.inf) if gain is None else np.asarray(gain * soon)
        harm, harmed = self._harm_of_amount(candidate, more)
        left = np.full(self.problem.n_slots, self.outlook.risk)
        return Worth(saved - harm, saved, left, 1.0, 0.0, is_planned=True, harmed=harmed)

    def _harm_of_amount(self, candidate: Candidate, more: float) -> tuple[FloatArray, tuple[str, ...]]:
        """Return the harm to bounds that the amount is not set for, which is declared for each unit that is added.

        What was measured beside such acts is known for each act, whether it added much or little, and left out.
        """
        sets, offer = self.problem.traits_of(candidate.action).sets, times(candidate, more)
        step = self.problem.steps.get(sets or "")
        weighed = set(step.objectives) if step is not None else set()
        beside = (
            (futures, toward)
            for futures, toward in self._beside(offer, as_measured=False)
            if futures.objective is not None
            and futures.objective.name not in weighed
            and (futures.objective.capacity != sets or futures.objective.name not in self.problem.responses)
        )
        return self._harm(offer, beside)

    def _harm(
        self, candidate: Candidate, touched: Iterable[tuple[BoundFutures, tuple[float, float]]]
    ) -> tuple[FloatArray, tuple[str, ...]]:
        """Return what a candidate adds to the risk of the bounds it touches per slot (n_slots,), and whose."""
        worst: dict[str, FloatArray] = {}
        for guard, toward in touched:
            added = guard.severity * np.maximum(0.0, self._risk_after(candidate, guard, toward) - guard.risk)
            name = guard.objective.name if guard.objective is not None else ""
            # Of many series of one objective the worst counts: an act on one of forty pods harms one of them.
            worst[name] = np.maximum(worst.get(name, 0.0), added)
        harm = np.sum([np.zeros(self.problem.n_slots), *worst.values()], axis=0)
        return harm, tuple(name for name, added in worst.items() if name and added.max() > 0)

    def _on_same_series(self, effect: tuple[float, float]) -> Iterator[tuple[BoundFutures, tuple[float, float]]]:
        for guard in self.guards:
            yield guard, effect if guard.side == self.view.goal.side else (-effect[0], effect[1])

    def _beside(
        self, candidate: Candidate, *, as_measured: bool = True
    ) -> Iterator[tuple[BoundFutures, tuple[float, float]]]:
        """Yield the bounds on other series that a candidate is believed to harm, and how."""
        parts, goal = (candidate, *candidate.steps), self.view.goal
        harms = (each for part in parts for each in harms_of(self.problem, part, goal, as_measured=as_measured))
        for objective, series, mean, sd in harms:
            key = (objective.name, series)
            if key not in self._others:
                self._others[key] = futures_of(self.problem, objective, series)
            futures = self._others[key]
            if futures is not None:
                yield futures, (mean, sd)

    def _risk_left(self, candidate: Candidate, effect: tuple[float, float]) -> FloatArray:
        """Return the goal's own risk (n_slots,) after a candidate of this effect, mean and sd.

        Of a sequence each step does what it does alone from its own start; what they do more, and all that is
        uncertain, comes once the last of them works.
        """
        outlook = self.outlook
        if not candidate.steps or outlook.excess.size == 0:
            return self._risk_after(candidate, outlook, effect)
        beside, alone = np.zeros((self.problem.n_slots, len(outlook.times_s))), 0.0
        for step, start_s in zip(candidate.steps, candidate.starts_s, strict=True):
            mean, _ = effect_of(self.problem, step, self.view.goal)
            late = step.model_copy(update={"latency_s": step.latency_s + start_s})
            beside, alone = beside + mean * self._ramps(late, outlook), alone + mean
        theta = effect[0] - alone + effect[1] * outlook.deviates
        return risk_after(outlook.excess, theta, self._ramps(candidate, outlook), outlook.slope, beside)

    def _ramps(self, candidate: Candidate, outlook: BoundFutures) -> FloatArray:
        """Return how much of a candidate's effect is there in each slot and step (n_slots, n_steps)."""
        duration_s = self.problem.works_for_s(candidate.action)
        latency_s = candidate.latency_s + self._approval_s(candidate, float(outlook.times_s[-1]))
        return ramps_of(outlook.times_s, self._starts_s, latency_s, duration_s)

    def _risk_after(self, candidate: Candidate, outlook: BoundFutures, effect: tuple[float, float]) -> FloatArray:
        theta = effect[0] + effect[1] * outlook.deviates
        if outlook.excess.size == 0:
            helped = float(np.clip(theta, -1.0, 1.0).mean()) * (1.0 - self._lateness(candidate))
            return np.clip(outlook.risk * (1.0 - helped), 0.0, 1.0)
        return risk_after(outlook.excess, theta, self._ramps(candidate, outlook), outlook.slope)

    def _approval_s(self, candidate: Candidate, horizon_s: float) -> float:
        level = self.problem.level(self.view.goal.goal_type, candidate.action)
        return 0.0 if level is Autonomy.AUTO else min(self.problem.approval_latency_s, horizon_s / 6)

    @property
    def _starts_s(self) -> FloatArray:
        return np.arange(self.problem.n_slots, dtype=np.float64) * self.problem.slot_s

    def _lateness(self, candidate: Candidate) -> FloatArray:
        """Return per slot the share of the time left that passes until an effect shows; at least an hour is left.

        What is broken already is not less worth mending for it.
        """
        lead_s = (self.view.goal.deadline - self.problem.tick).total_seconds()
        return np.clip((self._starts_s + candidate.latency_s) / max(lead_s, _LEAST_LEAD_S), 0.0, 1.0)


def outlook_of(problem: PlanProblem, view: GoalView) -> BoundFutures:
    """Return a goal's futures; by its breach probability alone where no path reaches its deadline.

    An error budget burns for as long as values are bad, whenever it would be used up, and long windows remember: what
    is foretold of its values decides.
    """
    goal, objective = view.goal, problem.objective_of(view)
    horizon_s = objective.horizon_s if objective else np.inf
    burns = objective is not None and objective.kind.has_error_budget
    bound = objective.bound if goal.bound is None and objective is not None and burns else goal.bound
    if goal.series is not None and bound is not None:
        outlook = simulated(problem, goal.series, bound, goal.side, horizon_s, goal.severity, objective)
        reach_s = float(outlook.times_s[-1]) if outlook is not None else 0.0
        is_within = (goal.deadline - problem.tick).total_seconds() <= reach_s
        if outlook is not None and (outlook.risk > 0 or is_within or burns):
            return outlook
    empty, deviates = np.empty((0, 0)), deviates_of(problem.seed, _N_DEVIATES)
    bound = goal.bound if goal.bound is not None else 0.0
    return BoundFutures(empty, np.empty(0), deviates, goal.probability, goal.side, bound, 1.0, goal.severity, objective)


def guards_of(problem: PlanProblem, view: GoalView) -> tuple[BoundFutures, ...]:
    """Return the futures of the other bounds on the goal's series or capacity: a gain must not be their loss.

    Those that have an open goal of their own are among them, so that opposed goals compete.
    """
    own = problem.objective_of(view)
    guards = []
    for objective in problem.objectives.values():
        if objective.name == view.goal.objective or not objective.kind.limits_values:
            continue
        is_same_series = view.goal.series is not None and objective.matches(view.goal.series)
        is_same_capacity = own is not None and own.capacity is not None and objective.capacity == own.capacity
        if is_same_series or is_same_capacity:
            outlook = futures_of(problem, objective, str(view.goal.series) if is_same_series else objective.measured)
            guards += [outlook] if outlook is not None else []
    return tuple(guards)


def futures_of(problem: PlanProblem, objective: Objective, series: str) -> BoundFutures | None:
    """Return the futures of an objective on a series; None where it has no paths."""
    return simulated(
        problem, series, objective.bound, objective.side, objective.horizon_s, problem.weighed(objective), objective
    )


def simulated(
    problem: PlanProblem,
    series: str,
    bound: float,
    side: Side,
    horizon_s: float,
    severity: float,
    objective: Objective | None,
) -> BoundFutures | None:
    """Return the futures of a bound on a series from its paths, or from its driver's; None where there are none."""
    driven = _driven_now(problem, objective, horizon_s) if objective is not None else None
    if driven is not None:
        ahead, times_s = driven
    elif series in problem.paths and problem.paths[series].size:
        step_s = problem.step_s.get(series, problem.slot_s)
        ahead = np.nan_to_num(problem.paths[series][:, : steps_in(horizon_s, step_s)], nan=bound)
        times_s = np.arange(1, ahead.shape[1] + 1, dtype=np.float64) * step_s
    else:
        return None
    spread = objective.spread if objective is not None else None
    sd = spread or problem.series_sd.get(series) or float(ahead.std()) or max(abs(bound), 1.0) * 1e-3
    excess, times_s = thin(excess_of(ahead, bound, side, sd), times_s)
    deviates = deviates_of(problem.seed, len(excess))
    slope = slope_of(excess)
    return BoundFutures(
        excess, times_s, deviates, float(risk_of(excess, slope)), side, bound, sd, severity, objective, slope
    )


def steps_in(horizon_s: float, step_s: float) -> int:
    """Return how many steps a horizon holds, at least one."""
    return max(1, round(min(horizon_s, 1e9) / step_s))


def _driven_now(problem: PlanProblem, objective: Objective, horizon_s: float) -> tuple[FloatArray, FloatArray] | None:
    """Return a driven metric's paths (n_paths, n_steps) at the present capacity, at most 48 steps, and their times."""
    now = problem.capacities.get(objective.capacity or "")
    driver = problem.paths.get(objective.driver or "")
    if now is None or driver is None or driver.size == 0:
        return None
    step_s = problem.step_s[str(objective.driver)]
    steps = min(driver.shape[1], steps_in(horizon_s, step_s))
    size = -(-steps // MAX_STEPS)
    times_s = (np.arange(0, steps - size + 1, size, dtype=np.float64) + 1.0) * step_s
    metric = metric_paths(problem, objective, np.array(now), times_s)
    return None if metric is None else (metric, times_s)


def metric_paths(
    problem: PlanProblem, objective: Objective, capacity: FloatArray, times_s: FloatArray
) -> FloatArray | None:
    """Return a driven metric's paths at `times_s` for a capacity that broadcasts to (..., n_paths, n_steps)."""
    driver = problem.paths.get(objective.driver or "")
    response = problem.responses.get(objective.name)
    if driver is None or response is None:
        return None
    step_s = problem.step_s[str(objective.driver)]
    nearest = np.clip(np.rint(times_s / step_s).astype(int) - 1, 0, driver.shape[1] - 1)
    apart_s = float(times_s[1] - times_s[0]) if len(times_s) > 1 else step_s
    return on_grid(response, apart_s).metric(driver[:, nearest], capacity)


def shrink_of(realised: Realised | None) -> float:
    """Return by what a predicted gain is multiplied: (Σ realised + 20 × predicted) / (n + 20), relative to predicted.

    A planner that picks the best of noisy predictions is disappointed on average (Smith and Winkler 2006, "The
    optimizer's curse"); twenty uses' worth of trust is given in advance.
    """
    if realised is None or realised.count == 0 or realised.predicted <= 0:
        return 1.0
    ratio = realised.realised / realised.predicted
    return float(np.clip((realised.count * ratio + _SHRINK_COUNT) / (realised.count + _SHRINK_COUNT), 0.0, 1.5))
