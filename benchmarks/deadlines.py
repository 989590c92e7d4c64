"""Runs with deadlines: how well is it foreseen that they will be late, and how early.

    python -m benchmarks.deadlines            # the seeds that confirm
    python -m benchmarks.deadlines --choose   # those that methods and numbers were chosen on
    python -m benchmarks.deadlines --quick    # one seed

Each seed is a work pool over ten weeks, minute by minute: deployments of several schedules, shapes of duration (steady,
two humps, a long tail, a daily shape), drift (none, growth, a step), failures, slots that are too few at times, runs
that slow each other down, and one deployment that waits for another. The last three weeks are judged, every run at
moments from before it is due until it ends or its deadline passes. Baseline: late is foretold where a run has taken
longer than 90 % of the past ones did, with certainty as alerts do it, and with the best two numbers there can be.
"""

from __future__ import annotations

import argparse
import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC

import numpy as np

from storage.records import FloatArray, Objective, ObjectiveKind
from tasks.objectives.lateness import DAY_S, WEEK_S, deadline_of, late_runs
from tasks.objectives.run_history import DeploymentRun, RunHistory

CHOOSE, CONFIRM, QUICK = range(1, 9), range(101, 113), range(101, 102)
START_S = 1_767_571_200.0
"""Monday, 5 January 2026."""

WEEKS, JUDGED_WEEKS = 10, 3
MOST_KNOWN = 200
AHEAD_S = 1_800.0
CYCLE_S = 300.0
MOST_JUDGED = 60
LEAST = {"brier under the rule": 0.25, "lead of run time": 0.20}
MOST = {"false warnings a week": 1.0, "false warnings a week of the worst deployment": 1.0}


@dataclass(frozen=True)
class Deployment:
    """What one deployment of a pool does; lengths in seconds, were it alone."""

    name: str
    every_s: float
    at_s: float
    usual_s: float
    spread: float
    shape: str
    drift: str
    upstream: str | None = None
    fails_ratio: float = 0.01

    def alone_s(self, due_s: float, rng: np.random.Generator) -> float:
        """Draw how long a run that is due then takes, were it alone."""
        log = rng.normal(0, self.spread)
        if self.shape == "two humps" and rng.random() < 0.25:
            log += 0.7
        if self.shape == "long tail" and rng.random() < 0.08:
            log += rng.exponential(0.8)
        if self.shape == "daily":
            log += 0.35 * np.sin(2 * np.pi * due_s / DAY_S)
        passed = (due_s - START_S) / (WEEKS * WEEK_S)
        log += {"none": 0.0, "growth": 0.6 * passed, "step": 0.35 * (passed > 0.8)}[self.drift]
        return float(self.usual_s * np.exp(log))


def pool_of(seed: int) -> tuple[tuple[Deployment, ...], int, float]:
    """Return a pool's deployments, its slots, and by how much a run beside slows another one down."""
    rng = np.random.default_rng([seed, 1])
    deployments = []
    for number in range(6):
        every_s = float(rng.choice([3_600.0, 4 * 3_600.0, DAY_S, DAY_S]))
        usual_s = float(np.exp(rng.uniform(np.log(600), np.log(min(0.6 * every_s, 7_200)))))
        deployments.append(
            Deployment(
                name=f"flow-{number}/run",
                every_s=every_s,
                at_s=60.0 * float(rng.integers(0, 360)),
                usual_s=usual_s,
                spread=float(rng.uniform(0.05, 0.3)),
                shape=str(rng.choice(["steady", "two humps", "long tail", "daily"])),
                drift=str(rng.choice(["none", "none", "growth", "step"])),
            )
        )
    first = replace(deployments[0], every_s=DAY_S, name="extract/nightly", shape="long tail", usual_s=2_400.0)
    after_s = first.at_s + 1_200.0
    load = replace(
        deployments[1], every_s=DAY_S, at_s=after_s, name="load/nightly", usual_s=1_800.0, upstream=first.name
    )
    pool = (first, load, *deployments[2:])
    slowdown = float(rng.choice([0.0, 0.15, 0.4]))
    busy = sum(each.usual_s / each.every_s for each in pool) * 1.35 * (1 + slowdown / 2)
    return pool, max(2, math.ceil(busy / rng.uniform(0.4, 0.8))), slowdown


def simulate(seed: int) -> tuple[DeploymentRun, ...]:
    """Return every run of ten weeks of a pool, by when it was due."""
    deployments, slots, slowdown = pool_of(seed)
    rng = np.random.default_rng([seed, 2])
    waiting = [
        (START_S + each.at_s + number * each.every_s, place, number)
        for place, each in enumerate(deployments)
        for number in range(int(WEEKS * WEEK_S / each.every_s))
    ]
    heapq.heapify(waiting)
    left: dict[tuple[int, int], float] = {}
    started: dict[tuple[int, int], tuple[float, float]] = {}
    ends: dict[tuple[str, int], float] = {}
    runs, now_s = [], START_S
    while waiting or left:
        if not left:
            now_s = max(now_s, waiting[0][0])
        while waiting and len(left) < slots and waiting[0][0] <= now_s:
            due_s, place, number = heapq.heappop(waiting)
            left[place, number] = deployments[place].alone_s(due_s, rng)
            started[place, number] = (due_s, now_s + float(rng.uniform(1, 12)))
        speed = 1 / (1 + slowdown * (len(left) - 1))
        now_s += 60.0
        for (place, number), rest_s in list(left.items()):
            each, (due_s, start_s) = deployments[place], started[place, number]
            is_held = each.upstream is not None and due_s <= now_s and _is_held(ends, each, number, now_s)
            left[place, number] = rest_s if is_held else rest_s - 60.0 * speed
            if left[place, number] <= 0:
                del left[place, number]
                end_s = max(now_s, start_s + 1)
                ends[each.name, number] = end_s
                state = "failed" if rng.random() < each.fails_ratio else "completed"
                name = f"{each.name}-{number}"
                runs.append(DeploymentRun(name, name, each.name, state, due_s, start_s, end_s, "pool"))  # type: ignore[arg-type]
    return tuple(sorted(runs, key=lambda run: run.due_s))


def _is_held(ends: dict[tuple[str, int], float], each: Deployment, number: int, now_s: float) -> bool:
    return ends.get((str(each.upstream), number), np.inf) > now_s


def known_at(runs: Sequence[DeploymentRun], slots: int, tick_s: float) -> RunHistory:
    """Return what is known at a moment: what has ended, what runs, what waits or is due within the half hour."""
    known, count = [], dict[str, int]()
    for run in reversed(runs):
        if run.due_s > tick_s + AHEAD_S or count.get(run.deployment, 0) > MOST_KNOWN:
            continue
        count[run.deployment] = count.get(run.deployment, 0) + 1
        if float(run.end_s or 0) > tick_s:
            has_started = float(run.start_s or 0) <= tick_s
            state, start_s = ("running", run.start_s) if has_started else ("scheduled", None)
            run = replace(run, state=state, start_s=start_s, end_s=None)  # type: ignore[arg-type]
        known.append(run)
    return RunHistory(tuple(known), {"pool": float(slots)})


def objective_for(deployment: Deployment, past: Sequence[DeploymentRun], seed: int) -> Objective:
    """Return a deadline as people set them: past runs nearly all kept it; half of the nightly ones by a time of day."""
    rng = np.random.default_rng([seed, 3, len(deployment.name), round(deployment.at_s)])
    took = np.array([float(run.end_s or 0) - run.due_s for run in past])
    within_s = float(np.ceil(np.quantile(took, rng.uniform(0.85, 0.97)) / 60) * 60)
    done_by = None
    if deployment.every_s == DAY_S and rng.random() < 0.5:
        minute = int((past[0].due_s + within_s) % DAY_S // 60)
        done_by, within_s = f"{minute // 60:02d}:{minute % 60:02d} UTC", DAY_S
    return Objective(
        name="in-time",
        kind=ObjectiveKind.DEADLINE,
        deployment=deployment.name,
        bound=within_s,
        done_by=done_by,
        horizon_s=AHEAD_S,
        metric="prefect_run_age_seconds",
    )


@dataclass(frozen=True)
class JudgedRun:
    """One run as it was judged at several moments (n,): the probability, what the rule said, and what came."""

    deployment: str
    at_s: FloatArray
    foretold: FloatArray
    rule: FloatArray
    is_late: bool
    deadline_s: float
    length_s: float
    warned_at_s: float | None
    covered: FloatArray
    warns_from: float = 0.5
    stands_for: float = 1.0


def judge(run: DeploymentRun, runs: Sequence[DeploymentRun], slots: int, objective: Objective) -> JudgedRun | None:
    """Judge a run from before it is due until it ends or its deadline passes; None where nothing is known of it."""
    deadline_s, end_s = deadline_of(objective, run.due_s, UTC), float(run.end_s or 0)
    first_s, last_s = run.due_s - 600.0, min(end_s, deadline_s)
    moments = np.arange(first_s, last_s, max(CYCLE_S, (deadline_s - first_s) / 25))
    ended = [each for each in runs if each.deployment == run.deployment and float(each.end_s or 0) <= first_s]
    p90 = float(np.quantile([float(each.end_s or 0) - float(each.start_s or 0) for each in ended[-MOST_KNOWN:]], 0.9))
    foretold, rule, covered, warned_at_s, told = [], [], [], None, None
    for tick_s in moments.tolist():
        history = known_at(runs, slots, tick_s)
        told = next((each for each in late_runs(history, objective, tick_s, 0) if each.run.run_id == run.run_id), None)
        if told is None:
            return None
        foretold.append(told.probability)
        covered.append(told.earliest_s <= end_s <= told.latest_s)
        rule.append(float(run.start_s or 0) < tick_s - p90)
        if warned_at_s is None and told.is_warned_of:
            warned_at_s = tick_s
    if told is None:
        return None
    is_late = run.state == "failed" or end_s > deadline_s
    return JudgedRun(
        run.deployment,
        moments,
        np.array(foretold),
        np.array(rule, dtype=float),
        is_late,
        deadline_s,
        end_s - float(run.start_s or 0),
        warned_at_s,
        np.array(covered, dtype=float),
        told.warns_from,
    )


def judged(seed: int) -> list[JudgedRun]:
    """Return what was foretold of the runs of the last weeks of a seed's pool; of a busy one some."""
    deployments, slots, _ = pool_of(seed)
    runs = simulate(seed)
    from_s = START_S + (WEEKS - JUDGED_WEEKS) * WEEK_S
    results = []
    for deployment in deployments:
        own = [run for run in runs if run.deployment == deployment.name]
        objective = objective_for(deployment, [run for run in own if run.due_s < from_s], seed)
        last = [run for run in own if run.due_s >= from_s]
        stride = max(1, len(last) // MOST_JUDGED)
        for run in last[::stride]:
            # Nobody needs to look further back than what a store keeps for each deployment.
            near = [each for each in runs if run.due_s - 7 * WEEK_S < each.due_s < run.due_s + DAY_S]
            each = judge(run, near, slots, objective)
            if each is not None and len(each.at_s):
                results.append(replace(each, deployment=f"{seed} {each.deployment}", stands_for=float(stride)))
    return results


def summary(results: Sequence[JudgedRun]) -> dict[str, float]:
    """Return the figures of judged runs."""
    foretold = np.concatenate([each.foretold for each in results])
    rule = np.concatenate([each.rule for each in results])
    late = np.concatenate([np.full(len(each.at_s), float(each.is_late)) for each in results])
    # Each run counts alike, however often it was looked at.
    weight = np.concatenate([np.full(len(each.at_s), 1 / len(each.at_s)) for each in results])
    best = np.zeros(len(late))
    for said in (0.0, 1.0):
        best[rule == said] = np.average(late[rule == said], weights=weight[rule == said]) if (rule == said).any() else 0
    lates = [each for each in results if each.is_late]
    leads = [
        (each.deadline_s - each.warned_at_s) / each.length_s if each.warned_at_s is not None else 0.0 for each in lates
    ]
    false = dict.fromkeys((each.deployment for each in results), 0.0)
    for each in results:
        if each.warned_at_s is not None and not each.is_late:
            false[each.deployment] += each.stands_for / JUDGED_WEEKS
    brier, rule_brier = (float(np.average((p - late) ** 2, weights=weight)) for p in (foretold, rule))
    return {
        "runs": len(results),
        "late": len(lates),
        "brier": brier,
        "brier of the rule": rule_brier,
        "brier of the rule, its numbers at their best": float(np.average((best - late) ** 2, weights=weight)),
        "brier under the rule": 1 - brier / rule_brier,
        "warned of": float(np.mean([each.warned_at_s is not None for each in lates])) if lates else 1.0,
        "lead of run time": float(np.mean(leads)) if leads else 0.0,
        "lead of run time where warned": float(np.mean([lead for lead in leads if lead > 0] or [0.0])),
        "false warnings a week": float(np.mean([*false.values()])),
        "false warnings a week of the worst deployment": max(false.values()),
        "deployments with more than one a week": float(np.mean([each > 1 for each in false.values()])),
        "coverage of 80 % intervals": float(
            np.average(np.concatenate([each.covered for each in results]), weights=weight)
        ),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures of each seed and of all; return 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--choose", action="store_true", help="the seeds that numbers were chosen on")
    parser.add_argument("--quick", action="store_true", help="one seed")
    parser.add_argument("--seeds", type=int, nargs="*", help="these seeds")
    options = parser.parse_args(arguments)
    seeds = options.seeds or list(QUICK if options.quick else CHOOSE if options.choose else CONFIRM)
    everything = []
    for seed in seeds:
        results = judged(seed)
        everything += results
        print(f"seed {seed}: " + told(summary(results)), flush=True)
    figures = summary(everything)
    print(f"{len(seeds)} seeds: " + told(figures))
    if short := missed(figures):
        print("bars missed: " + ", ".join(short))
    return int(bool(short))


def told(figures: dict[str, float]) -> str:
    """Return figures as text."""
    return ", ".join(f"{name} {value:.3g}" for name, value in figures.items())


def missed(figures: dict[str, float]) -> list[str]:
    """Return the bars that are missed."""
    few = [name for name, bar in LEAST.items() if figures[name] < bar]
    return few + [name for name, bar in MOST.items() if figures[name] > bar]


if __name__ == "__main__":
    raise SystemExit(main())
