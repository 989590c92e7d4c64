"""Are changes of a configuration judged honestly, and in time? `python -m benchmarks.reviews.change_reviews`.

`--only pairs` or `--only month` runs one of the two.

* pairs: 200 pairs of policies on logged decisions of simulated worlds whose truth is known: how often the 90 %
  interval of the doubly robust estimate holds what the change would have done. The bar is .90.
* month: `foreact backtest --prometheus URL --against FILE` over 30 days of 100 series, which a server gives that
  answers as Prometheus does. The bar is 5 minutes.

It ends with 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import resource
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.incoming.prometheus_backfill import serve
from benchmarks.learning import ARMS, DECISIONS, GOALS, LearningWorld, drawn_world
from flows.reports.pull_request import WORSE
from storage.records import Alternative, FloatArray
from tasks.learn import HierarchicalLearner, Learner, Observation, Situation, choose
from tasks.learn.reports.configured_policy import ConfiguredPolicy, shares_of
from tasks.learn.reports.off_policy import CrossFitted, LoggedDecision, PolicyChange, evaluate_change

PAIRS, PAIRS_A_LOG = 200, 4
COVERAGE_BAR, MONTH_BAR_S = 0.90, 300.0
QUERIES = 10
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
    """Print how often the interval holds the truth over pairs of policies; return whether the bar is met."""
    held: list[bool] = []
    widths: list[float] = []
    errors: list[float] = []
    number = 0
    while len(held) < count:
        for truth, told in _pairs_of_log(seed * 10_000 + number, is_learning=number % 2 == 0):
            held.append(told.low <= truth <= told.high)
            widths.append(told.high - told.low)
            errors.append(abs(told.difference - truth))
        number += 1
    share = float(np.mean(held[:count]))
    print(
        f"pairs: the interval holds the truth of {share:.3f} of {count} (bar {COVERAGE_BAR:.2f}), seed {seed}; "
        f"median width {np.median(widths):.2f}, median error {np.median(errors):.3f} sd",
        flush=True,
    )
    return share >= COVERAGE_BAR


def _pairs_of_log(seed: int, is_learning: bool) -> Iterator[tuple[float, PolicyChange]]:
    rng = np.random.default_rng([seed, 9])
    log = logged(drawn_world(seed, flips=False), seed, int(rng.choice([60, 120, DECISIONS])), is_learning)
    for _ in range(PAIRS_A_LOG):
        before = random_policy(rng)
        truth, told = judged(log, before, changed_policy(before, rng))
        if told.differing:
            yield truth, told


CONFIGURATION = """
use_default_objectives = false
[sources.prometheus.queries]
{queries}
"""
OBJECTIVE = """
[[objectives]]
name = "{metric}"
metric = "{metric}"
bound = {bound}
"""


def month(series: int, days: float) -> bool:
    """Print how long a review of a month takes; return whether the bar is met."""
    port: Any = multiprocessing.Value("i", 0)
    server = multiprocessing.Process(target=serve, args=(series // QUERIES, port, daily_wave), daemon=True)
    server.start()
    while not port.value:
        time.sleep(0.05)
    try:
        with tempfile.TemporaryDirectory() as folder:
            return _month(Path(folder), port.value, series, days)
    finally:
        server.terminate()


def _month(folder: Path, port: int, series: int, days: float) -> bool:
    for name, bound in (("foreact.toml", 78), ("main.toml", 76)):
        queries = "\n".join(f'app{number} = "app{number}"' for number in range(QUERIES))
        objectives = "".join(OBJECTIVE.format(metric=f"app{number}", bound=bound) for number in range(QUERIES // 2))
        (folder / name).write_text(CONFIGURATION.format(queries=queries) + objectives)
    command = [sys.executable, "-c", "from cli.app import main; main()", "backtest", "-C", str(folder)]
    command += ["--prometheus", f"http://127.0.0.1:{port}", "--against", str(folder / "main.toml")]
    command += ["--days", str(days), "--markdown", str(folder / "review.md")]
    started_s = time.perf_counter()
    code = subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode
    took_s, used = time.perf_counter() - started_s, resource.getrusage(resource.RUSAGE_CHILDREN)
    assert code in (0, WORSE), f"the review ended with {code}"
    print(
        f"month: {series} series over {days:g} days, two configurations: {took_s:.0f} s by the clock, "
        f"{used.ru_utime + used.ru_stime:.0f} s of processors (bar {MONTH_BAR_S:.0f} s by the clock)",
        flush=True,
    )
    return took_s <= MONTH_BAR_S


def daily_wave(query: str, number: int, at_s: int) -> float:
    """Return a value that goes with the day, in each series at another hour, with noise and a rush every third day."""
    chance = zlib.crc32(f"{query}:{number}:{at_s}".encode()) / 2**32
    rush = 15.0 if at_s // 86_400 % 3 == number % 3 and at_s // 3_600 % 24 in (9, 10) else 0.0
    return 50 + 18 * math.sin(2 * math.pi * at_s / 86_400 + number) + rush + 8 * (chance - 0.5)


def main() -> int:
    """Run what is asked for; return 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", choices=["pairs", "month"])
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--series", type=int, default=100)
    parser.add_argument("--days", type=float, default=30.0)
    asked = parser.parse_args()
    met = [] if asked.only == "month" else [pairs(asked.pairs, asked.seed)]
    met += [] if asked.only == "pairs" else [month(asked.series, asked.days)]
    return int(not all(met))


if __name__ == "__main__":
    raise SystemExit(main())
