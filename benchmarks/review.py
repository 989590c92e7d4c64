"""Are changes of a configuration judged honestly, and in time? `python -m benchmarks.review [--only pairs|month]`.

* pairs: 200 pairs of policies on logged decisions of simulated worlds whose truth is known: how often the 90 %
  interval of the doubly robust estimate holds what the change would have done. The bar is .90.
* month: `foreact backtest --prometheus URL --against FILE` over 30 days of 100 series, which a server gives that
  answers as Prometheus does. The bar is 5 minutes.

It ends with 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass

import numpy as np

from benchmarks.learning import ARMS, DECISIONS, GOALS, LearningWorld, drawn_world
from storage.records import NOTHING, Alternative, FloatArray
from tasks.learn import HierarchicalLearner, Learner, Observation, Situation, choose
from tasks.learn.reports.configured_policy import ConfiguredPolicy, shares_of
from tasks.learn.reports.off_policy import CrossFitted, LoggedDecision, PolicyChange, evaluate_change

PAIRS, PAIRS_A_LOG = 200, 4
COVERAGE_BAR = 0.90
SEVERITY = 0.5
KNOWN = frozenset(ARMS)


@dataclass(frozen=True)
class Log:
    """Decisions of a loop in a world, with what was weighed at each."""

    world: LearningWorld
    logged: CrossFitted
    weighed: list[list[Alternative]]


def logged(world: LearningWorld, seed: int, count: int, learns: bool) -> Log:
    """Let a loop decide `count` times: one that learns on the way, or one that keeps to what it believed at first."""
    rng = np.random.default_rng([seed, 1])
    learner: Learner = HierarchicalLearner()
    first_beliefs = rng.normal(0, 0.4, len(ARMS))
    decisions, weighed = [], []
    for i in range(count):
        goal, hour = GOALS[world.goals[i]], float(world.hours[i])
        situation = Situation(goal, hour)
        believed = learner.effects(situation, ARMS)[0] if learns else first_beliefs
        if learns:
            choice = choose(learner, situation, ARMS, seed * 10_000 + i)
            chosen, propensities = choice.chosen, dict(choice.propensities)
        else:
            shares = 0.8 * _softmax(believed / 0.3) + 0.2 / len(ARMS)
            propensities = dict(zip(ARMS, shares.tolist(), strict=True))
            chosen = ARMS[int(rng.choice(len(ARMS), p=shares))]
        arm = ARMS.index(chosen)
        measured, size = float(world.effects[i, arm] + world.errors[i]), float(world.standard_errors[i])
        seen = Observation(f"o{i}", chosen, goal, hour, measured, size)
        decisions.append(LoggedDecision(seen, propensities))
        weighed.append(
            [
                Alternative(action=name, value=float(value), gain=float(value), cost=0.0, propensity=propensities[name])
                for name, value in zip(ARMS, believed, strict=True)
            ]
        )
        if learns:
            learner = learner.update(seen)
    return Log(world, CrossFitted(decisions), weighed)


def _softmax(values: FloatArray) -> FloatArray:
    raised = np.exp(values - values.max())
    return np.asarray(raised / raised.sum())


def random_policy(rng: np.random.Generator) -> ConfiguredPolicy:
    """Draw a configuration: some actions are not allowed, or for some goal types alone, and each has its cost."""
    allowed = {name: frozenset[str]() for name in ARMS[1:] if rng.random() < 0.8}
    for name in allowed:
        if rng.random() < 0.2:
            allowed[name] = frozenset(str(GOALS[place]) for place in rng.choice(7, 4, replace=False))
    costs = {name: float(rng.choice([0.0, 0.1, 0.3])) for name in allowed}
    return ConfiguredPolicy(allowed, costs, float(rng.choice([0.0, 0.05, 0.1])), KNOWN)


def changed_policy(policy: ConfiguredPolicy, rng: np.random.Generator) -> ConfiguredPolicy:
    """Change a configuration as a pull request would: one action is taken out or added, or costs something else."""
    name = str(rng.choice(ARMS[1:]))
    if rng.random() < 0.5:
        allowed = {key: types for key, types in policy.goal_types.items() if key != name}
        if len(allowed) == len(policy.goal_types):
            allowed[name] = frozenset()
        return ConfiguredPolicy(allowed, policy.costs, policy.holdout_ratio, KNOWN)
    return ConfiguredPolicy(
        policy.goal_types, {**policy.costs, name: float(rng.uniform(0, 0.6))}, policy.holdout_ratio, KNOWN
    )


def judged(log: Log, before: ConfiguredPolicy, after: ConfiguredPolicy) -> tuple[float, PolicyChange]:
    """Return what the change would really have done in the logged situations, and what is estimated."""
    old, new = (
        [
            shares_of(policy, weighed, decision.observation.goal_type, SEVERITY)
            for decision, weighed in zip(log.logged.decisions, log.weighed, strict=True)
        ]
        for policy in (before, after)
    )
    truth = np.mean(
        [
            sum((new[i].get(arm, 0.0) - old[i].get(arm, 0.0)) * effect for arm, effect in zip(ARMS, row, strict=True))
            for i, row in enumerate(log.world.effects[: len(log.logged.decisions)])
        ]
    )
    return float(truth), evaluate_change(log.logged, old, new)


def pairs(count: int, seed: int) -> bool:
    """Print how often the interval holds the truth; return whether the bar is met."""
    held, widths, errors, found = [], [], [], 0
    world_number = 0
    while found < count:
        rng = np.random.default_rng([seed, world_number, 9])
        world = drawn_world(seed * 10_000 + world_number, flips=False)
        size = int(rng.choice([60, 120, DECISIONS]))
        log = logged(world, seed * 10_000 + world_number, size, learns=world_number % 2 == 0)
        world_number += 1
        for _ in range(PAIRS_A_LOG):
            before = random_policy(rng)
            truth, told = judged(log, before, changed_policy(before, rng))
            if told.differing and found < count:
                found += 1
                held.append(told.low <= truth <= told.high)
                widths.append(told.high - told.low)
                errors.append(
                    (
                        told.difference - truth,
                        told.differing,
                        told.informative,
                        told.unseen_ratio,
                        world_number % 2,
                        told.high - told.low,
                    )
                )
    share = float(np.mean(held))
    print(
        f"pairs: {count} of policies, {world_number} logs; held {share:.3f} (bar {COVERAGE_BAR:.2f}); "
        f"median width {np.median(widths):.3f} sd, median error {np.median(np.abs([e[0] for e in errors])):.3f} sd"
    )
    for name in ("learns", "fixed"):
        rows = [h for h, e in zip(held, errors) if e[4] == (1 if name == "learns" else 0)]
        print(name, np.mean(rows), len(rows))
    for h, e in zip(held, errors):
        if not h:
            print("missed", [round(float(x), 3) for x in e])
    return share >= COVERAGE_BAR


if __name__ == "__main__":
    sys.exit(not pairs(int(sys.argv[1]), int(sys.argv[2])))
