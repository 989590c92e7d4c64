"""How fast plans are made, what the greedy choice gives away, and whether acting on plans pays.

    python -m benchmarks.planning

The first table times whole planning rounds (valuation, programme, draw, explanation) over seeded crowds of goals that
compete for few targets. The second plays sequences of decisions in which declared effects are too good to be true, and
reports the loss relative to never acting: 1.00 is doing nothing, less is better.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from time import process_time
from typing import Any

import numpy as np

from handlers import ActionHandler, Actions, elsewhere
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
from tasks.plan import PlanProblem, Realised, make_plans
from tasks.plan.optimise.round import prepare
from tasks.plan.optimise.solve import solve_greedy, solve_milp, utility
from tasks.plan.planning import plannable
from tasks.plan.valuation.risk import excess_of, losses_of, ramps_of

TICK = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
BAR_MS = 100.0
BAR_GREEDY_RATIO = 0.88
KIND = GoalType.BOTTLENECK_PREVENTION


@dataclass(frozen=True)
class Known:
    """Beliefs that are certain of every action's effect."""

    effects: dict[str, float]

    def effect(self, action: str, goal_type: GoalType) -> tuple[float, float]:
        """Return the effect with a small standard deviation."""
        return self.effects[action], 0.05

    def propensities(self, goal_type: GoalType, actions: Sequence[str], hour: float, seed: int) -> FloatArray:
        """Return equal shares."""
        return np.full(len(actions), 1.0 / len(actions))


def crowd(n_goals: int, n_slots: int, seed: int) -> PlanProblem:
    """Return goals whose metrics rise over five hours, each with four actions on one of few shared targets."""
    rng = np.random.default_rng(seed)
    names = [f"m{i:02d}" for i in range(n_goals)]
    views = tuple(_view(name, float(rng.uniform(0.2, 0.85)), float(rng.uniform(120, 9_000))) for name in names)
    actions = [f"a{j}" for j in range(4)]
    offers = {
        name: tuple(
            Candidate(
                action=action,
                target=f"t{rng.integers(0, max(2, n_goals // 2))}",
                cost=float(rng.uniform(0, 0.05)),
                latency_s=float(rng.uniform(5, 240)),
            )
            for action in actions
        )
        for name in names
    }
    paths = {
        name: np.linspace(70, rng.uniform(92, 120), 60) + rng.normal(0, 2, (42, 60)).cumsum(axis=1) * 0.3
        for name in names
    }
    return PlanProblem(
        tick=TICK,
        cycle_id="bench",
        seed=seed,
        goals=views,
        objectives={each: Objective(name=each, metric=each, bound=90, horizon_s=18_000) for each in names},
        candidates=offers,
        beliefs=Known({action: float(rng.uniform(0.3, 2.0)) for action in actions}),
        paths=paths,
        step_s=dict.fromkeys(names, 300.0),
        series_sd=dict.fromkeys(names, 10.0),
        traits=Actions({each: _safe(each, duration_s=10_800.0, cooldown_s=300.0) for each in actions}),
        levels={(KIND, action): Autonomy.AUTO for action in actions},
        n_slots=n_slots,
        slot_s=600.0,
    )


def _safe(name: str, **traits: Any) -> ActionHandler:
    return elsewhere(name, risk="low", reversible=True, **traits)


def _view(name: str, severity: float, lead_s: float, bound: float = 90.0) -> GoalView:
    goal = Goal(
        goal_id=name,
        goal_type=KIND,
        description=name,
        cause=name,
        objective=name,
        series=name,
        bound=bound,
        severity=severity,
        probability=0.8,
        urgency=0.8,
        priority=0.64 * severity,
        created_at=TICK,
        deadline=TICK + timedelta(seconds=lead_s),
    )
    return GoalView(goal=goal, state=GoalState.ACTIVE, progress=0, reason="", since=TICK)


def speed(sizes: Sequence[tuple[int, int]], repeats: int) -> None:
    """Print how long rounds take and which share of the programme's utility the greedy choice reaches."""
    print(f"{'goals':>6} {'slots':>6} {'median ms':>10} {'p95 ms':>8} {'greedy ms':>10} {'greedy share':>13}")
    for n_goals, n_slots in sizes:
        problems = [crowd(n_goals, n_slots, seed) for seed in range(repeats)]
        make_plans(problems[0])
        took = [_timed(lambda p=problem: make_plans(p)) for problem in problems]
        greedy = [_timed(lambda p=replace(problem, method="greedy"): make_plans(p)) for problem in problems]
        share = float(np.mean([_greedy_share(problem) for problem in problems]))
        middle, tail = np.median(took), np.quantile(took, 0.95)
        print(f"{n_goals:6d} {n_slots:6d} {middle:10.1f} {tail:8.1f} {np.median(greedy):10.1f} {share:13.3f}")
    print(f"bar for 15 goals and 20 slots: {BAR_MS:.0f} ms; the greedy choice documented at {BAR_GREEDY_RATIO}")


def _timed(call: Callable[[], object]) -> float:
    start = process_time()
    call()
    return 1e3 * (process_time() - start)


def _greedy_share(problem: PlanProblem) -> float:
    round_ = prepare(problem, plannable(problem), {})
    best = utility(round_.worthy, solve_milp(round_.worthy, round_.limits))
    greedy = utility(round_.worthy, solve_greedy(round_.worthy, round_.limits))
    return greedy / best if best > 0 else 1.0


def payoff(episodes: int, worlds: int) -> None:
    """Print the loss of acting on plans, relative to never acting, when declared effects are too good to be true."""
    policies: dict[str, dict[str, object]] = {
        "expected utility as declared": {"margin": 0.0, "shrinks": False},
        "with a margin of 30 %": {"margin": 0.3, "shrinks": False},
        "shrunk, with a margin of 30 %": {"margin": 0.3, "shrinks": True},
        "effects known": {"margin": 0.0, "shrinks": False, "oracle": True},
    }
    print(f"\n{'policy':32} {'loss':>6} {'acts':>6}")
    for name, policy in policies.items():
        runs = [_play(episodes, seed, **policy) for seed in range(worlds)]  # type: ignore[arg-type]
        loss = sum(run[0] for run in runs) / sum(run[1] for run in runs)
        print(f"{name:32} {loss:6.3f} {np.mean([run[2] for run in runs]):6.2f}")
    print("1.000 is never acting")


def _play(episodes: int, seed: int, margin: float, shrinks: bool, oracle: bool = False) -> tuple[float, float, float]:
    """Return loss and cost with the policy, loss without any act, and the share of episodes in which it acted."""
    rng = np.random.default_rng(seed)
    truth = {f"a{j}": float(rng.normal(0.1, 0.5)) for j in range(4)}
    declared = {action: effect + float(abs(rng.normal(0, 0.8))) for action, effect in truth.items()}
    ledger = {action: Realised(0, 0.0, 0.0) for action in truth}
    lost = idle = acted = 0.0
    for episode in range(episodes):
        paths, real = _futures(rng)
        problem = _episode(paths, truth if oracle else declared, margin, ledger if shrinks else {}, seed + episode)
        act = next(iter(make_plans(problem).actions), None)
        nothing = float(losses_of(excess_of(real, 90.0, "below", 10.0))[0])
        idle += nothing
        if act is None:
            lost += nothing
            continue
        ramp = ramps_of(np.arange(1, 49) * 60.0, np.zeros(1), 60.0)
        after = float(losses_of(excess_of(real, 90.0, "below", 10.0) - truth[act.name] * ramp)[0])
        lost += after + 0.03
        acted += 1
        known = ledger[act.name]
        predicted = max(1e-6, _predicted(paths, declared[act.name], ramp))
        ledger[act.name] = Realised(known.count + 1, known.predicted + predicted, known.realised + nothing - after)
    return lost, idle, acted / episodes


def _futures(rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Return simulated paths (42, 48) and the one that comes, which starts where they do but drifts by itself."""
    start, drift = rng.uniform(75, 95), rng.normal(0, 0.15)
    noise = rng.normal(0, 1.5, (43, 48)).cumsum(axis=1)
    paths = start + noise + drift * np.arange(48) * 0.5
    return paths[:42], paths[42:]


def _predicted(paths: FloatArray, effect: float, ramp: FloatArray) -> float:
    excess = excess_of(paths, 90.0, "below", 10.0)
    return float(losses_of(excess).mean() - losses_of(excess - effect * ramp).mean())


def _episode(
    paths: FloatArray, effects: dict[str, float], margin: float, ledger: dict[str, Realised], seed: int
) -> PlanProblem:
    offers = tuple(Candidate(action=action, cost=0.03, latency_s=60.0) for action in effects)
    return PlanProblem(
        tick=TICK,
        cycle_id=f"c{seed}",
        seed=seed,
        goals=(_view("m", 1.0, 0.0),),
        objectives={"m": Objective(name="m", metric="m", bound=90, severity=1.0, horizon_s=2_880)},
        candidates={"m": offers},
        beliefs=Known(effects),
        paths={"m": paths},
        step_s={"m": 60.0},
        series_sd={"m": 10.0},
        traits=Actions({action: _safe(action) for action in effects}),
        levels={(KIND, action): Autonomy.AUTO for action in effects},
        realised=ledger,
        margin=margin,
        explore=False,
        n_slots=1,
    )


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=20, help="problems per size")
    parser.add_argument("--episodes", type=int, default=150, help="decisions per world")
    parser.add_argument("--worlds", type=int, default=20, help="worlds per policy")
    options = parser.parse_args()
    speed([(5, 20), (15, 20), (30, 20), (15, 60)], options.repeats)
    payoff(options.episodes, options.worlds)


if __name__ == "__main__":
    main()
