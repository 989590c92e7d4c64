"""Does learning pay? Regret against a success-rate greedy and a random chooser, in the same worlds.

    python -m benchmarks.learning [--data ../shared/data] [--worlds 30] [--seed 0]

The learner decides as the loop does: every decision is a planning round, `make_plans` over a goal whose metric is
beyond its bound, with what was learned as its beliefs, what was predicted and realised, and the holdout. Three trials,
all paired (every chooser meets the same goals, hours, effects and errors):

* drawn: five actions and nothing, seven goal types, 200 sparse decisions; effects drawn as the prior has them,
  measured with the standard errors that placebo windows of real series have;
* flipped: the same, but the best and the worst action change places half way;
* onset: windows of real series that start just as the metric went high; a useless, a weak and a good action are
  added as shifts and measured against the forecast, 60 decisions.

Greedy takes the action whose share of successes is highest for the goal type, success being that the metric
moved the right way after the action, which is what a success rate counts.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.forecast_sets import DEFAULT_DATA
from benchmarks.rolling import DAY_STEPS, FloatArray, IntArray, RolledSeries, recorded_series, roll
from handlers import ActionsByName, elsewhere
from storage.records import NOTHING, Autonomy, Candidate, Goal, GoalState, GoalType, GoalView, Objective
from tasks.learn import HierarchicalLearner, Learner, Observation
from tasks.learn.knowledge import LearnedBeliefs
from tasks.measure import build_ledger, measure_effect
from tasks.plan import PlanProblem, Realised, make_plans

GOALS = tuple(GoalType)
ACTIONS = tuple(f"action-{i}" for i in range(5))
ARMS = (NOTHING, *ACTIONS)
DECISIONS = 200
STANDARD_ERRORS = (0.06, 0.10, 0.13, 0.18, 0.22, 0.27, 0.36, 0.44, 0.54)
"""Deciles of the standard error, in sd of the metric, of 480 placebo windows of 60 steps on 60 real series."""
LIMIT_SD = 2.0
"""Effects count up to there, as in what the learn stage keeps of predictions."""
FLATTERY = 0.3
"""How far, in sd, a metric moves the right way after an alarm by itself, as a success rate sees it."""

BARS = {"drawn": 40.0, "flipped": 75.0}
FIRST_TICK = datetime(2026, 3, 2, tzinfo=UTC)
BOUND, METRIC_SD, BEYOND_SD, HORIZON_STEPS = 90.0, 10.0, 1.5, 30
"""Each goal's metric stands that many standard deviations beyond its bound, and would stay there."""

ONSET_ARMS = (NOTHING, "useless", "weak", "good")
ONSET_SHIFTS = np.array([0.0, 0.0, 0.3, 0.85])
ONSET_DECISIONS = 60
ONSET_STEPS = 60


@dataclass(frozen=True)
class LearningWorld:
    """Goals and hours (n,), the true effects (n, arms), and the measurement's error and its size (n,)."""

    goals: IntArray
    hours: FloatArray
    effects: FloatArray
    errors: FloatArray
    standard_errors: FloatArray


def drawn_world(seed: int, flips: bool) -> LearningWorld:
    """Draw a world: an action's effect, plus what differs for the goal type and by time of day; nothing is
    0."""
    rng = np.random.default_rng(seed)
    own, pair = rng.normal(0, 0.5, 5), rng.normal(0, 0.4, (7, 5))
    sine, cosine = rng.normal(0, 0.35, 5), rng.normal(0, 0.35, 5)
    goals = rng.choice(7, DECISIONS, p=rng.dirichlet(np.full(7, 2.0)))
    hours = rng.uniform(0, 24, DECISIONS)
    angle = 2 * np.pi * hours[:, None] / 24
    later = own.copy()
    if flips:
        ends = [int(own.argmax()), int(own.argmin())]
        later[ends] = own[ends[::-1]]
    over_time = np.where(np.arange(DECISIONS)[:, None] >= DECISIONS // 2, later, own)
    acted = over_time + pair[goals] + sine * np.sin(angle) + cosine * np.cos(angle)
    effects = np.concatenate([np.zeros((DECISIONS, 1)), acted], axis=1)
    sizes = rng.choice(STANDARD_ERRORS, DECISIONS)
    errors = rng.normal(0, sizes) + rng.normal(0, np.sqrt(0.02), DECISIONS)
    return LearningWorld(goals, hours, effects, errors, sizes)


@dataclass
class PlanningLearner:
    """The loop from a goal to a decision, and from an outcome to the belief that the next decision rests on."""

    arms: Sequence[str]
    seed: int
    learner: Learner = field(default_factory=HierarchicalLearner)
    realised: dict[str, Realised] = field(default_factory=dict)
    decisions: int = 0

    def decide(self, goal_type: GoalType, hour: float) -> str:
        """Return the action that a planning round takes for one goal, or nothing."""
        self.decisions += 1
        self.problem = self._problem(goal_type, hour)
        (decision,) = make_plans(self.problem).decisions
        return decision.chosen.action

    def learn(self, action: str, goal_type: GoalType, hour: float, measured: float, size: float) -> None:
        """Take in what an action, or nothing, was measured to change."""
        if action != NOTHING:
            (view,) = self.problem.goals
            believed, _ = self.problem.beliefs.effect(action, view.goal, action)
            so_far = self.realised.get(action, Realised(0, 0.0, 0.0))
            self.realised[action] = Realised(
                so_far.count + 1,
                so_far.predicted + float(np.clip(believed, -LIMIT_SD, LIMIT_SD)),
                so_far.realised + float(np.clip(measured, -LIMIT_SD, LIMIT_SD)),
            )
        seen = Observation(f"o{self.decisions}", action, goal_type, hour, measured, size)
        self.learner = self.learner.update(seen)

    def _problem(self, goal_type: GoalType, hour: float) -> PlanProblem:
        tick = FIRST_TICK + timedelta(days=self.decisions, hours=hour)
        series, names = f"metric_of_{goal_type.lower()}", self.arms[1:]
        goal = Goal(
            goal_id=f"g{self.decisions}",
            goal_type=goal_type,
            description="bring it back",
            cause=series,
            objective=series,
            series=series,
            bound=BOUND,
            severity=0.5,
            probability=1.0,
            urgency=1.0,
            priority=0.5,
            created_at=tick,
            deadline=tick + timedelta(minutes=HORIZON_STEPS),
        )
        noise = np.random.default_rng([self.seed, self.decisions]).normal(0, METRIC_SD / 4, (42, HORIZON_STEPS))
        return PlanProblem(
            tick=tick,
            cycle_id=f"c{self.decisions}",
            seed=self.seed,
            goals=(GoalView(goal=goal, state=GoalState.ACTIVE, progress=0.0, reason="", since=tick),),
            objectives={series: Objective(name=series, metric=series, bound=BOUND, severity=0.5)},
            candidates={goal.goal_id: tuple(Candidate(action=name) for name in names)},
            beliefs=LearnedBeliefs(self.learner, hour),
            paths={series: BOUND + BEYOND_SD * METRIC_SD + noise},
            step_s={series: 60.0},
            series_sd={series: METRIC_SD},
            traits=ActionsByName({name: elsewhere(name, risk="low", reversible=True) for name in names}),
            levels={(goal_type, name): Autonomy.AUTO for name in names},
            realised=self.realised,
            n_slots=1,
        )


def learner_regret(world: LearningWorld, seed: int) -> float:
    """Return the regret of the loop's decisions, holdout and all."""
    loop, regret = PlanningLearner(ARMS, seed), 0.0
    for i in range(DECISIONS):
        goal, hour = GOALS[world.goals[i]], float(world.hours[i])
        arm = ARMS.index(loop.decide(goal, hour))
        measured, size = float(world.effects[i, arm] + world.errors[i]), float(world.standard_errors[i])
        loop.learn(ARMS[arm], goal, hour, measured, size)
        regret += float(world.effects[i].max() - world.effects[i, arm])
    return regret


def greedy_regret(world: LearningWorld, seed: int) -> float:
    """Return the regret of choosing by (successes + 1) / (tries + 2) for each goal type."""
    rng = np.random.default_rng([seed, 7])
    tries, successes = np.zeros((2, len(GOALS), len(ARMS)))
    regret = 0.0
    for i, goal in enumerate(world.goals):
        arm = _best(rng, (successes[goal] + 1) / (tries[goal] + 2))
        tries[goal, arm] += 1
        successes[goal, arm] += world.effects[i, arm] + world.errors[i] + FLATTERY > 0
        regret += float(world.effects[i].max() - world.effects[i, arm])
    return regret


def random_regret(world: LearningWorld, seed: int) -> float:
    """Return the expected regret of choosing blindly."""
    return float((world.effects.max(axis=1) - world.effects.mean(axis=1)).sum())


def _best(rng: np.random.Generator, rates: FloatArray) -> int:
    return int(rng.choice(np.flatnonzero(rates == rates.max())))


Acted = Callable[[int], tuple[float, float, bool]]
"""Take an arm in the onset trial: what was measured, its standard error, and whether the metric fell."""


def _act(series: Sequence[RolledSeries], rng: np.random.Generator, arm: int) -> tuple[float, float, bool]:
    """Act at one onset: shift what followed, and measure it as the loop would."""
    while True:
        one = series[int(rng.integers(len(series)))]
        room = one.is_onset & (one.origins >= one.first_test) & (one.origins < len(one.values) - ONSET_STEPS)
        places = np.flatnonzero(room)
        if not len(places):
            continue
        place = int(rng.choice(places))
        now = int(one.origins[place])
        sd = float(np.std(one.values[: now + 1]))
        after = one.values[now + 1 :][:ONSET_STEPS] - ONSET_SHIFTS[arm] * sd
        ledger = build_ledger(
            one.values,
            one.forecasts,
            one.origins,
            steps_per_day=DAY_STEPS,
            now=now,
            same_trigger=one.is_high,
        )
        effect = measure_effect(after, one.forecasts[place, :ONSET_STEPS], ledger, metric_sd=sd)
        if np.isfinite(effect.standard_error_sd_units):
            fell = bool(after.mean() < one.values[now])
            return effect.effect_sd_units, effect.standard_error_sd_units, fell


def onset_learner(act: Acted, seed: int) -> IntArray:
    """Return the arms (60,) that the learner takes at onsets."""
    loop, goal, hour, taken = PlanningLearner(ONSET_ARMS, seed), GoalType.BOTTLENECK_PREVENTION, 12.0, []
    for _ in range(ONSET_DECISIONS):
        arm = ONSET_ARMS.index(loop.decide(goal, hour))
        measured, size, _ = act(arm)
        loop.learn(ONSET_ARMS[arm], goal, hour, measured, size)
        taken.append(arm)
    return np.array(taken)


def onset_greedy(act: Acted, seed: int) -> IntArray:
    """Return the arms (60,) that a success rate takes at onsets."""
    rng = np.random.default_rng([seed, 7])
    tries, successes, taken = np.zeros(4), np.zeros(4), []
    for _ in range(ONSET_DECISIONS):
        arm = _best(rng, (successes + 1) / (tries + 2))
        tries[arm] += 1
        successes[arm] += act(arm)[2]
        taken.append(arm)
    return np.array(taken)


def onset_random(act: Acted, seed: int) -> IntArray:
    """Return the arms (60,) of blind choice."""
    return np.random.default_rng([seed, 7]).integers(0, len(ONSET_ARMS), ONSET_DECISIONS)


def drawn_trial(worlds: int, seed: int, flips: bool, bar: float) -> str:
    """Run the drawn or the flipped trial and return its lines."""
    lines = []
    made = [drawn_world(seed * 10_000 + i, flips) for i in range(worlds)]
    for name, chooser in (("learner", learner_regret), ("greedy", greedy_regret), ("random", random_regret)):
        regrets = np.array([chooser(world, i) for i, world in enumerate(made)])
        limit = f"(bar {bar:.0f}: {regrets.mean() / bar:.2f} of it)" if name == "learner" else ""
        lines.append(_line("flipped" if flips else "drawn", name, regrets, limit))
    return "\n".join(lines)


def onset_trial(series: Sequence[RolledSeries], runs: int, seed: int) -> str:
    """Run the onset trial and return its lines; late is the last third."""
    lines = []
    for name, chooser in (("learner", onset_learner), ("greedy", onset_greedy), ("random", onset_random)):
        taken = np.stack(
            [chooser(partial(_act, series, np.random.default_rng([seed, run])), run) for run in range(runs)]
        )
        regrets = (ONSET_SHIFTS.max() - ONSET_SHIFTS[taken]).sum(axis=1)
        late = float(np.mean(taken[:, -20:] == ONSET_ARMS.index("good")))
        bar = f"(bars 9: {regrets.mean() / 9:.2f} of it, and .85)" if name == "learner" else ""
        lines.append(_line("onset", name, regrets, f"good taken late {late:.2f} {bar}"))
    return "\n".join(lines)


def _line(trial: str, name: str, regrets: FloatArray, note: str) -> str:
    error = regrets.std() / np.sqrt(len(regrets))
    return f"{trial:>8} {name:>8}  regret {regrets.mean():>6.1f} ± {error:>4.1f}  {note}"


def main() -> None:
    """Run the benchmark and print its table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--data", type=Path, default=DEFAULT_DATA)
    arguments.add_argument("--worlds", type=int, default=30)
    arguments.add_argument("--seed", type=int, default=0)
    given = arguments.parse_args()
    print(drawn_trial(given.worlds, given.seed, False, BARS["drawn"]), flush=True)
    print(drawn_trial(given.worlds, given.seed, True, BARS["flipped"]), flush=True)
    series = roll(recorded_series(given.data, 40, given.seed), horizon=ONSET_STEPS, every_steps=6)
    print(onset_trial(series, 2 * given.worlds, given.seed))


if __name__ == "__main__":
    main()
