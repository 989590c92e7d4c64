"""How fast plans are made, what the greedy choice gives away, and whether acting on plans pays.

    python -m benchmarks.planning

The first table times whole planning rounds (valuation, programme, draw, explanation) over seeded crowds of goals that
compete for few targets. The second plays sequences of decisions in which declared effects are too good to be true, and
reports the loss relative to never acting: 1.00 is doing nothing, less is better.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from time import process_time

import numpy as np

from storage.records import (
    Candidate,
    FloatArray,
    Objective,
)
from tasks.excess import excess_of
from tasks.plan import PlanProblem, Realised, make_plans
from tasks.plan.optimise.round import prepare
from tasks.plan.optimise.solve import solve_greedy, solve_milp, utility
from tasks.plan.planning import plannable
from tasks.plan.valuation.risk import losses_of, ramps_of
from tests.tasks.plan.worlds import KnownEffects, crowd, goal_of, problem_of

BAR_MS = 100.0
BAR_GREEDY_RATIO = 0.88


def speed(sizes: Sequence[tuple[int, int]], repeats: int) -> None:
    """Print how long rounds take and which share of the programme's utility the greedy choice reaches."""
    print(f"{'goals':>6} {'slots':>6} {'median ms':>10} {'p95 ms':>8} {'greedy ms':>10} {'greedy share':>13}")
    for n_goals, n_slots in sizes:
        problems = [crowd(n_goals, n_slots, seed=seed) for seed in range(repeats)]
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
        realised = ledger[act.name]
        predicted = max(1e-6, _predicted(paths, declared[act.name], ramp))
        ledger[act.name] = Realised(
            realised.count + 1, realised.predicted + predicted, realised.realised + nothing - after
        )
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
    return problem_of(
        [goal_of("m", series="m", severity=1.0, in_s=0.0)],
        {"m": offers},
        KnownEffects(effects),
        cycle_id=f"c{seed}",
        seed=seed,
        objectives={"m": Objective(name="m", metric="m", bound=90, severity=1.0, horizon_s=2_880)},
        paths={"m": paths},
        realised=ledger,
        margin=margin,
        nothing_floor=0.05,
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
