"""Runs with deadlines: how well is it foreseen that they will be late, and how early.

    python -m benchmarks.deadlines            # the seeds that confirm, and the recorded history
    python -m benchmarks.deadlines --choose   # those that methods and numbers were chosen on
    python -m benchmarks.deadlines --quick    # one seed
    python -m benchmarks.deadlines --recorded http://127.0.0.1:4200/api     # what a Prefect server knows, or a file

Each seed is a work pool over ten weeks, minute by minute: deployments of several schedules, shapes of duration (steady,
two humps, a long tail, a daily shape), drift (none, growth, a step), failures, slots that are too few at times, runs
that slow each other down, and one deployment that waits for another. The last three weeks are judged, every run, at
every cycle of five minutes or 25 times, from before it is due until it ends or its deadline passes. What was recorded
(`benchmarks.deadlines_recording`) is judged alike: its last 40 %, by deadlines that four of five runs before kept; less
than a week counts as one. Baseline: late is foretold where a run has taken longer than 90 % of the past ones did, with
certainty as alerts do it, and with the best two numbers there can be.
"""

from __future__ import annotations

import argparse
import heapq
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC
from pathlib import Path

import numpy as np

from benchmarks.deadlines_recording import OURS, ended_of, from_file, from_server
from storage.records import FloatArray, Objective, ObjectiveKind
from tasks.objectives.lateness import DAY_S, VAIN_S, WEEK_S, LateRun, Warned, deadline_of, late_runs
from tasks.objectives.run_history import DeploymentRun, RunHistory

CHOOSE, CONFIRM, QUICK = range(1, 9), range(101, 113), range(101, 102)
START_S = 1_767_571_200.0
"""Monday, 5 January 2026."""

WEEKS, JUDGED_WEEKS = 10, 3
MOST_KNOWN = 200
AHEAD_S = 1_800.0
CYCLE_S = 300.0
FEWEST_KEPT, KEPT_RATIO = 8, 0.8
FAST_MOTION = 600.0
"""Our recording is of runs of seconds; a second of it stands for ten minutes."""

LEAST = {"brier under the rule": 0.25, "lead of run time": 0.20, "warned of": 0.50}
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


@dataclass(frozen=True)
class RunsToJudge:
    """Runs by when they were due, the slots of their pools, and from when on they are judged, for how many weeks."""

    name: str
    runs: tuple[DeploymentRun, ...]
    slots: Mapping[str, float]
    from_s: float
    weeks: float = JUDGED_WEEKS

    @property
    def before(self) -> Iterator[DeploymentRun]:
        """Return the runs before those that are judged."""
        return (run for run in self.runs if run.due_s < self.from_s)


def known_at(runs: Sequence[DeploymentRun], slots: Mapping[str, float], tick_s: float) -> RunHistory:
    """Return what is known at a moment: what has ended, what runs, what waits or is due within the half hour."""
    known, count = [], dict[str, int]()
    for run in reversed(runs):
        if run.due_s > tick_s + AHEAD_S or count.get(run.deployment, 0) > MOST_KNOWN:
            continue
        count[run.deployment] = count.get(run.deployment, 0) + 1
        if float(run.end_s or 0) > tick_s:
            has_started = run.start_s is not None and run.start_s <= tick_s
            state, start_s = ("running", run.start_s) if has_started else ("scheduled", None)
            run = replace(run, state=state, start_s=start_s, end_s=None)  # type: ignore[arg-type]
        known.append(run)
    return RunHistory(tuple(known), slots)


def deadlines_for(seed: int) -> dict[str, Objective]:
    """Return deadlines as people set them: nearly all past runs kept them; half of the nightly ones a time of day."""
    objectives, before = {}, [*simulated(seed).before]
    for deployment in pool_of(seed)[0]:
        past = [run for run in before if run.deployment == deployment.name]
        rng = np.random.default_rng([seed, 3, len(deployment.name), round(deployment.at_s)])
        objective = deadline_kept_by(float(rng.uniform(0.85, 0.97)), past)
        if deployment.every_s == DAY_S and rng.random() < 0.5:
            minute = int((past[0].due_s + objective.bound) % DAY_S // 60)
            by = {"done_by": f"{minute // 60:02d}:{minute % 60:02d} UTC", "bound": DAY_S}
            objective = objective.model_copy(update=by)
        objectives[deployment.name] = objective
    return objectives


def deadline_kept_by(ratio: float, past: Sequence[DeploymentRun]) -> Objective:
    """Return a deadline, to the minute, that so many of a deployment's past runs kept."""
    took = np.array([float(run.end_s or 0) - run.due_s for run in past])
    return Objective(
        name="in-time",
        kind=ObjectiveKind.DEADLINE,
        deployment=past[0].deployment,
        bound=float(np.ceil(np.quantile(took, ratio) / 60) * 60),
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
    weeks: float = JUDGED_WEEKS


class Judge:
    """Looks at the runs of one deployment as the loop would have done, one cycle after the other."""

    def __init__(self, history: RunsToJudge, objective: Objective) -> None:
        self.history, self.objective = history, objective
        self.own = [run for run in history.runs if run.deployment == objective.deployment]
        self.dues = np.array([run.due_s for run in history.runs])
        self.warned_at_s: dict[str, float] = {}
        self.told: dict[str, list[LateRun]] = {}

    def judged(self) -> list[JudgedRun]:
        """Return what was foretold of each run that is judged, and what came; but for those nothing was known of."""
        runs = [run for run in self.own if run.due_s >= self.history.from_s and run.start_s is not None]
        runs = [run for run in runs if run.state in ("completed", "failed")]
        moments = {run.run_id: self.moments(run) for run in runs}
        looks = [(tick_s, run.run_id, run) for run in runs for tick_s in moments[run.run_id].tolist()]
        for tick_s, _, looked_at in sorted(looks, key=lambda look: look[:2]):
            self.look(tick_s, looked_at)
        each = ((run, self.told.get(run.run_id, []), moments[run.run_id]) for run in runs)
        return [self.result(run, told, at_s) for run, told, at_s in each if len(told) == len(at_s) > 0]

    def moments(self, run: DeploymentRun) -> FloatArray:
        """Return when a run is looked at (n,)."""
        first_s, deadline_s = run.due_s - 600.0, self.deadline_s(run)
        return np.arange(first_s, min(float(run.end_s or 0), deadline_s), max(CYCLE_S, (deadline_s - first_s) / 25))

    def look(self, tick_s: float, run: DeploymentRun) -> None:
        """Foretell a run, and warn of it where that is worth it."""
        # Nobody needs to look further back than what a store keeps for each deployment.
        first, last = np.searchsorted(self.dues, [run.due_s - 7 * WEEK_S, run.due_s + DAY_S]).tolist()
        near = self.history.runs[first:last]
        foretold = late_runs(
            known_at(near, self.history.slots, tick_s), self.objective, tick_s, 0, self.warned_by(tick_s)
        )
        for told in (each for each in foretold if each.run.run_id == run.run_id):
            self.told.setdefault(run.run_id, []).append(told)
            if told.is_warned_of:
                self.warned_at_s.setdefault(run.run_id, tick_s)

    def warned_by(self, tick_s: float) -> Warned:
        """Return what was warned of in the three weeks before a moment, and when in vain as was known by then."""
        lately = [run for run in self.own if self.warned_at_s.get(run.run_id, -np.inf) > tick_s - VAIN_S]
        in_vain = [run for run in lately if float(run.end_s or 0) <= tick_s and not self.is_late(run)]
        runs = frozenset(run.run_id for run in lately)
        return Warned(runs, tuple(self.warned_at_s[run.run_id] for run in in_vain))

    def deadline_s(self, run: DeploymentRun) -> float:
        return deadline_of(self.objective, run.due_s, UTC)

    def is_late(self, run: DeploymentRun) -> bool:
        return run.state == "failed" or float(run.end_s or 0) > self.deadline_s(run)

    def result(self, run: DeploymentRun, told: Sequence[LateRun], at_s: FloatArray) -> JudgedRun:
        """Return a run as it was judged."""
        start_s, end_s = float(run.start_s or 0), float(run.end_s or 0)
        ended = [each for each in self.own if each.start_s is not None and float(each.end_s or np.inf) <= at_s[0]]
        took = [float(each.end_s or 0) - float(each.start_s or 0) for each in ended[-MOST_KNOWN:]]
        return JudgedRun(
            deployment=f"{self.history.name} {run.deployment}",
            at_s=at_s,
            foretold=np.array([each.probability for each in told]),
            rule=(start_s < at_s - float(np.quantile(took, 0.9))).astype(float),
            is_late=self.is_late(run),
            deadline_s=self.deadline_s(run),
            length_s=end_s - start_s,
            warned_at_s=self.warned_at_s.get(run.run_id),
            covered=np.array([each.earliest_s <= end_s <= each.latest_s for each in told], dtype=float),
            weeks=self.history.weeks,
        )


def simulated(seed: int) -> RunsToJudge:
    """Return what a seed's pool did, judged over its last weeks."""
    from_s = START_S + (WEEKS - JUDGED_WEEKS) * WEEK_S
    return RunsToJudge(str(seed), simulate(seed), {"pool": float(pool_of(seed)[1])}, from_s)


def recorded(where: str, stretch: float) -> RunsToJudge:
    """Return what a server or a file knows; each second of it stands for `stretch` of them."""
    known = from_server(where) if where.startswith(("http://", "https://")) else from_file(Path(where))
    runs = ended_of(known)
    if not runs:
        raise SystemExit(f"{where} knows of no run that has ended.")
    first_s = runs[0].due_s

    def later(at_s: float | None) -> float | None:
        return None if at_s is None else first_s + (at_s - first_s) * stretch

    stretched = tuple(
        replace(run, due_s=float(later(run.due_s) or 0), start_s=later(run.start_s), end_s=later(run.end_s))
        for run in runs
    )
    span_s = stretched[-1].due_s - first_s
    weeks = max(1.0, 0.4 * span_s / WEEK_S)
    return RunsToJudge(Path(where).stem, stretched, known.slots, first_s + 0.6 * span_s, weeks)


def judged(history: RunsToJudge, objectives: Iterable[Objective]) -> list[JudgedRun]:
    """Return what was foretold of the runs of a history that are judged."""
    return [each for objective in objectives for each in Judge(history, objective).judged()]


def deadlines_of(history: RunsToJudge) -> Iterator[Objective]:
    """Return a deadline of each deployment of a recorded history that ran often enough before it is judged."""
    for name in sorted({run.deployment for run in history.runs}):
        past = [run for run in history.before if run.deployment == name and run.state == "completed"]
        if len(past) >= FEWEST_KEPT:
            yield deadline_kept_by(KEPT_RATIO, past)


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
            false[each.deployment] += 1 / each.weeks
    brier, rule_brier = (float(np.average((p - late) ** 2, weights=weight)) for p in (foretold, rule))
    return {
        "runs": len(results),
        "late": len(lates),
        "brier": brier,
        "brier of the rule": rule_brier,
        "brier of the rule, its numbers at their best": float(np.average((best - late) ** 2, weights=weight)),
        "brier under the rule": 1 - brier / rule_brier,
        "missed": sum(each.warned_at_s is None for each in lates),
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
    parser.add_argument("--recorded", default="", help="a file of recorded runs or the address of a Prefect API")
    parser.add_argument("--stretch", type=float, default=1.0, help="what a second of it stands for")
    options = parser.parse_args(arguments)
    if options.recorded:
        return said(options.recorded, judged_as_recorded(options.recorded, options.stretch))
    seeds = options.seeds or list(QUICK if options.quick else CHOOSE if options.choose else CONFIRM)
    everything = []
    for seed in seeds:
        results = judged(simulated(seed), deadlines_for(seed).values())
        everything += results
        print(f"seed {seed}: " + told(summary(results)), flush=True)
    is_short = said(f"{len(seeds)} seeds", everything)
    if not (options.seeds or options.quick or options.choose):
        is_short |= said(OURS.name, judged_as_recorded(str(OURS), FAST_MOTION))
    return is_short


def judged_as_recorded(where: str, stretch: float) -> list[JudgedRun]:
    """Return what was foretold of what was recorded."""
    history = recorded(where, stretch)
    return judged(history, deadlines_of(history))


def said(of: str, results: Sequence[JudgedRun]) -> int:
    """Print figures and which bars they miss; return 1 where there are such, or nothing was judged."""
    if not any(each.is_late for each in results):
        print(f"{of}: of {len(results)} runs judged none was late, so there was nothing to foresee")
        return 1
    figures = summary(results)
    print(f"{of}: " + told(figures))
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
