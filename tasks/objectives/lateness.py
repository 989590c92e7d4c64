"""How likely a run misses its deadline: one that runs, one that waits, one that is yet to come.

A run's end is the moment it begins plus how long it takes. It begins when a slot of its work pool is free, and not
before the run that it waits for (its upstream, found in the past) has ended. Each part is drawn from what past runs
did, given what is known of this one: the time that has passed, the queue, the time of day, what runs beside it.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cached_property, lru_cache
from zoneinfo import ZoneInfo

import numpy as np

from storage.records import DONE_BY, RUN_AGE, Breach, FloatArray, Objective, series_key
from tasks.maintenance import hour_of_day
from tasks.objectives.run_history import DeploymentRun, PoolLoad, RunHistory
from tasks.objectives.run_lengths import RunLengths, run_lengths

DAY_S, WEEK_S = 86_400.0, 604_800.0
N_PATHS = 200
DELAY_OFFSET_S = 5.0
"""Runs that start at once still wait for a worker's next look: delays of seconds are all alike."""

VAIN_A_WEEK = 1.0
VAIN_MOST, VAIN_S = 3, 3 * WEEK_S
"""One warning in vain a week is bearable; after it, only what is `CERTAIN` is warned of until a week has passed.

After so many within that time only what cannot be otherwise is.
"""

SUREST, CERTAIN = 0.97, 0.99
RECENT_S = 2 * WEEK_S
"""Runs may be late more often of late than before, or less: the worse of both counts."""

UPSTREAM_FEWEST = 8
UPSTREAM_GAIN = 0.5
"""By how much (in logs) going by an upstream must narrow what a run takes: chance does not narrow it by a third."""


@dataclass(frozen=True)
class Warned:
    """What an objective was warned of in the last three weeks: the ids of the runs, and when it was in vain (unix s).

    In vain was one of a run that was in time after all, though nothing was done for it.
    """

    runs: frozenset[str] = frozenset()
    in_vain_s: tuple[float, ...] = ()


@dataclass(frozen=True)
class LateRun:
    """What is foretold of a run: P(late), its end with the middle 80 % of it, and what it was told by.

    `warns_from` is the probability from which a warning is worth it: were it lower, this deployment would be warned of
    in vain more than once a week.
    """

    run: DeploymentRun
    deadline_s: float
    probability: float
    end_s: float
    earliest_s: float
    latest_s: float
    warns_from: float
    n_past: int
    ahead_in_queue: int = 0
    upstream: str | None = None

    @property
    def is_warned_of(self) -> bool:
        """Tell whether it calls for a goal."""
        return self.probability >= self.warns_from


def deadline_of(objective: Objective, due_s: float, zone: tzinfo) -> float:
    """Return by when (unix seconds) a run that is due then is to be done: see `Objective`.

    A time of day that names no zone is one on the clocks of `zone`, that of the people served.
    """
    deadline_s = due_s + objective.bound
    match = DONE_BY.fullmatch(objective.done_by or "")
    if match is None:
        return deadline_s
    zone = ZoneInfo(match[3]) if match[3] else zone
    local = datetime.fromtimestamp(due_s, zone)
    by = local.replace(hour=int(match[1]), minute=int(match[2]), second=0, microsecond=0, tzinfo=zone, fold=0)
    if by.astimezone(UTC).timestamp() <= due_s:
        # The next day's, by the clock on the wall: it is 23 or 25 hours off where clocks change.
        by = by + timedelta(days=1)
    return min(deadline_s, by.astimezone(UTC).timestamp())


def late_runs(
    history: RunHistory, objective: Objective, tick_s: float, seed: int, warned: Warned = Warned()
) -> tuple[LateRun, ...]:
    """Return what is foretold of each open run of an objective's deployment, those due first first.

    A run that comes later than the objective looks ahead is left out, as is all of a deployment of which fewer than
    three runs are known to have ended well. The same arguments give the same answer.
    """
    if objective.deployment is None:
        return ()
    foretold = _Foretold(history, tick_s, seed)
    runs = [run for run in history.by_deployment.get(objective.deployment, ()) if run.is_open]
    within = [run for run in runs if run.due_s <= tick_s + objective.horizon_s]
    judged = (foretold.of(run, objective, warned) for run in within)
    return tuple(each for each in judged if each is not None)


def late_breach(objective: str, foretold: Sequence[LateRun], tick: datetime) -> Breach:
    """Return what is foretold of an objective's runs (one at least) as its breach: that of the likeliest to be late.

    The moments are those at which that run will be done, not before now.
    """
    worst = max(foretold, key=lambda each: (each.probability, -each.deadline_s))
    moments = [max(tick, datetime.fromtimestamp(at_s, UTC)) for at_s in (worst.earliest_s, worst.end_s, worst.latest_s)]
    return Breach(
        objective=objective,
        series=series_key(RUN_AGE, {"deployment": worst.run.deployment}),
        probability=worst.probability,
        earliest_at=moments[0],
        expected_at=moments[1],
        latest_at=moments[2],
        is_breached_now=tick.timestamp() >= worst.deadline_s,
        last_value=max(0.0, tick.timestamp() - worst.run.due_s),
    )


def warns_from(
    objective: Objective, runs: Sequence[DeploymentRun], tick_s: float, zone: tzinfo, in_vain_s: Sequence[float] = ()
) -> float:
    """Return the probability from which a warning of a run is worth it.

    An honest probability that first reaches p ends in time in 1 - p of the cases (it is a martingale). So with `late`
    runs a week, p = late / (late + n) makes n false warnings a week; the objective's own threshold may ask for more.
    n is one. Where one of the last week's was in vain, only `CERTAIN` ones are worth it, and after three in three weeks
    only those of 1.
    """
    if sum(at_s > tick_s - VAIN_S for at_s in in_vain_s) >= VAIN_MOST:
        return 1.0
    ended = [run for run in runs if run.end_s is not None]
    deadlines_s = (deadline_of(objective, run.due_s, zone) for run in ended)
    were_late = [
        run.due_s
        for run, by_s in zip(ended, deadlines_s, strict=True)
        if run.state == "failed" or float(run.end_s or 0) > by_s
    ]
    first_s = ended[0].due_s if ended else tick_s
    late = max(_a_week(were_late, since_s, tick_s) for since_s in (first_s, max(first_s, tick_s - RECENT_S)))
    was_in_vain = any(at_s > tick_s - WEEK_S for at_s in in_vain_s)
    least = CERTAIN if was_in_vain else min(SUREST, late / (late + VAIN_A_WEEK))
    return max(objective.probability_threshold, least)


def _a_week(dues_s: Sequence[float], since_s: float, tick_s: float) -> float:
    return sum(due_s >= since_s for due_s in dues_s) * WEEK_S / max(tick_s - since_s, WEEK_S)


@dataclass(frozen=True)
class _Learned:
    """What the past of one deployment says."""

    done: tuple[DeploymentRun, ...]
    own_s: FloatArray
    inputs: FloatArray
    delays_s: FloatArray
    delay_inputs: FloatArray
    failed_ratio: float
    upstream: str | None


class _Foretold:
    """What is foretold at one moment; what several runs need of a deployment is learned once."""

    def __init__(self, history: RunHistory, tick_s: float, seed: int) -> None:
        self.history, self.tick_s, self.seed = history, tick_s, seed
        self._learned: dict[str, _Learned] = {}
        self._begins: dict[str, FloatArray | None] = {}
        self._ends: dict[str, FloatArray | None] = {}
        self._drawn: dict[str, FloatArray] = {}
        self._lengths_of: dict[str, RunLengths | None] = {}

    def of(self, run: DeploymentRun, objective: Objective, warned: Warned = Warned()) -> LateRun | None:
        """Return what is foretold of an open run; None where too little is known of its deployment."""
        learned = self._of_deployment(run.deployment)
        ends = self._drawn_ends(run)
        if ends is None:
            return None
        deadline_s = deadline_of(objective, run.due_s, self.history.zone)
        probability = 1.0 if self.tick_s >= deadline_s else self._late(run, learned, deadline_s)
        low, middle, high = np.quantile(ends, [0.1, 0.5, 0.9]).tolist()
        past = self.history.by_deployment[run.deployment]
        return LateRun(
            run=run,
            deadline_s=deadline_s,
            probability=probability,
            end_s=middle,
            earliest_s=low,
            latest_s=high,
            # A warning once given stands, however many before it were in vain.
            warns_from=warns_from(
                objective, past, self.tick_s, self.history.zone, () if run.run_id in warned.runs else warned.in_vain_s
            ),
            n_past=len(learned.done),
            ahead_in_queue=len(self._ahead_of(run)) if run.state == "scheduled" and run.due_s <= self.tick_s else 0,
            upstream=learned.upstream,
        )

    def _late(self, run: DeploymentRun, learned: _Learned, deadline_s: float) -> float:
        begins = self._drawn_begins(run)
        lengths = self._lengths(run)
        assert begins is not None
        assert lengths is not None
        if np.ptp(begins) == 0:
            beyond = lengths.longer_given(deadline_s - float(begins[0]), self._elapsed_s(begins))
        else:
            left = deadline_s - begins
            apart = np.quantile(left, (np.arange(20) + 0.5) / 20).tolist()
            beyond = float(np.mean([lengths.longer_than(each) for each in apart]))
        return float(min(1.0, 1 - (1 - learned.failed_ratio) * (1 - beyond)))

    def _elapsed_s(self, begins: FloatArray) -> float:
        return max(0.0, self.tick_s - float(begins[0]))

    def _drawn_ends(self, run: DeploymentRun) -> FloatArray | None:
        """Return when a run ends in each future (n_paths,); None where too little is known of its deployment."""
        if run.run_id not in self._ends:
            self._ends[run.run_id] = None
            begins, lengths = self._drawn_begins(run), self._lengths(run)
            if begins is not None and lengths is not None:
                elapsed_s = self._elapsed_s(begins) if np.ptp(begins) == 0 else 0.0
                self._ends[run.run_id] = begins + lengths.draw(elapsed_s, self._levels(run.run_id))
        return self._ends[run.run_id]

    def _drawn_begins(self, run: DeploymentRun) -> FloatArray | None:
        """Return when a run gets to work in each future (n_paths,): once it has started and its upstream is done."""
        if run.run_id not in self._begins:
            self._begins[run.run_id] = self._begins_anew(run)
        return self._begins[run.run_id]

    def _begins_anew(self, run: DeploymentRun) -> FloatArray | None:
        starts = np.full(N_PATHS, run.start_s) if run.start_s is not None else self._drawn_starts(run)
        if starts is None:
            return None
        upstream = self._of_deployment(run.deployment).upstream
        before = self._upstream_run(run, upstream) if upstream is not None else None
        if before is None:
            return starts
        if before.end_s is not None:
            return np.maximum(starts, before.end_s)
        ends = self._drawn_ends(before)
        return starts if ends is None else np.maximum(starts, ends)

    def _drawn_starts(self, run: DeploymentRun) -> FloatArray | None:
        slots = self.history.slots.get(run.work_pool)
        load = self.history.by_pool.get(run.work_pool)
        usual = self._usual_starts(run)
        if slots is None or load is None or usual is None:
            return usual
        # Those that are due and wait take the free slots at the worker's next look.
        wanted = load.running(self.tick_s) + sum(each.due_s <= self.tick_s for each in self._ahead_of(run))
        if wanted < slots:
            return usual
        return self._starts_after_queue(run, int(max(1, slots)))

    def _usual_starts(self, run: DeploymentRun) -> FloatArray | None:
        """Return starts by how long past runs of the deployment had to wait."""
        learned = self._of_deployment(run.deployment)
        queue = self._load(run).waiting(run.due_s) if run.due_s <= self.tick_s else 0.0
        now = np.array([*_hour(run.due_s, self.history.zone), math.log1p(queue)])
        delays = run_lengths(learned.delays_s, learned.delay_inputs, now, DELAY_OFFSET_S)
        if delays is None:
            return None
        waited_s = max(0.0, self.tick_s - run.due_s)
        return run.due_s + delays.draw(waited_s, self._levels(f"start of {run.run_id}"))

    def _starts_after_queue(self, run: DeploymentRun, slots: int) -> FloatArray:
        """Return starts of a run in a pool that is full: when one of its slots is free and nobody is before it."""
        running = [each for each in self._open_in(run.work_pool) if each.start_s is not None]
        before = self._ahead_of(run)
        ends = [self._ends_or_usual(each) for each in running]
        lengths = [self._drawn_lengths(each) for each in before]
        starts = np.empty(N_PATHS)
        for path in range(N_PATHS):
            # More may run than the limit allows now: it was lowered, and nobody was ended for it.
            free = sorted((float(end[path]) for end in ends), reverse=True)[:slots]
            free += [self.tick_s] * (slots - len(free))
            heapq.heapify(free)
            for each, length in zip(before, lengths, strict=True):
                start = max(heapq.heappop(free), each.due_s, self.tick_s)
                heapq.heappush(free, start + float(length[path]))
            starts[path] = max(free[0], run.due_s, self.tick_s)
        return starts + self._load(run).pickup_s

    def _ahead_of(self, run: DeploymentRun) -> list[DeploymentRun]:
        """Return the runs of its pool that get a slot before a run: due by now and of a better queue, or due before."""

        def turn(each: DeploymentRun) -> tuple[float, int, float, str]:
            return (max(each.due_s, self.tick_s), each.priority, each.due_s, each.run_id)

        waiting = (each for each in self._open_in(run.work_pool) if each.state == "scheduled")
        return sorted((each for each in waiting if turn(each) < turn(run)), key=turn)

    def _open_in(self, pool: str) -> list[DeploymentRun]:
        return [run for run in self._open if run.work_pool == pool]

    @cached_property
    def _open(self) -> tuple[DeploymentRun, ...]:
        return tuple(run for run in self.history.runs if run.is_open)

    def _ends_or_usual(self, run: DeploymentRun) -> FloatArray:
        """Return when a run that holds a slot ends (n_paths,): one that waits for its upstream has not got to work."""
        assert run.start_s is not None
        ends = self._drawn_ends(run)
        return run.start_s + self._drawn_lengths(run, max(0.0, self.tick_s - run.start_s)) if ends is None else ends

    def _drawn_lengths(self, run: DeploymentRun, elapsed_s: float = 0.0) -> FloatArray:
        """Return how long a run of a pool takes (n_paths,); of an unknown deployment as long again."""
        if run.run_id not in self._drawn:
            lengths = self._lengths(run)
            self._drawn[run.run_id] = (
                np.full(N_PATHS, elapsed_s + max(60.0, elapsed_s))
                if lengths is None
                else lengths.draw(elapsed_s, self._levels(run.run_id))
            )
        return self._drawn[run.run_id]

    def _lengths(self, run: DeploymentRun) -> RunLengths | None:
        if run.run_id not in self._lengths_of:
            self._lengths_of[run.run_id] = self._lengths_anew(run)
        return self._lengths_of[run.run_id]

    def _lengths_anew(self, run: DeploymentRun) -> RunLengths | None:
        learned = self._of_deployment(run.deployment)
        usual_s = float(np.median(learned.own_s)) if len(learned.own_s) else 0.0
        now = np.array([*_hour(run.due_s, self.history.zone), self._beside(run, usual_s)])
        return run_lengths(learned.own_s, learned.inputs, now)

    def _beside(self, run: DeploymentRun, usual_s: float) -> float:
        """Return how many run beside a run, in logs: as many as now for the rest of its time."""
        load = self._load(run)
        if run.start_s is None:
            if run.due_s > self.tick_s + usual_s:
                inputs = self._of_deployment(run.deployment).inputs
                return float(np.median(inputs[:, -1])) if len(inputs) else 0.0
            return math.log1p(load.running(self.tick_s))
        elapsed_s = max(0.0, self.tick_s - run.start_s)
        rest_s = max(usual_s - elapsed_s, 0.25 * usual_s, 1.0)
        so_far, now = load.beside(run.start_s, self.tick_s), max(0.0, float(load.running(self.tick_s)) - 1)
        return math.log1p((so_far * elapsed_s + now * rest_s) / (elapsed_s + rest_s))

    def _load(self, run: DeploymentRun) -> PoolLoad:
        return self.history.by_pool[run.work_pool]

    def _upstream_run(self, run: DeploymentRun, upstream: str) -> DeploymentRun | None:
        return _latest_before(self.history.by_deployment.get(upstream, ()), run.due_s)

    def _of_deployment(self, name: str) -> _Learned:
        if name not in self._learned:
            self._learned[name] = _learned(self.history, name)
        return self._learned[name]

    def _levels(self, of: str) -> FloatArray:
        """Return evenly spread levels (n_paths,) in an order of a run's own, so that runs are independent."""
        rng = np.random.default_rng([self.seed, *of.encode()])
        return (rng.permutation(N_PATHS) + 0.5) / N_PATHS


def _learned(history: RunHistory, name: str) -> _Learned:
    past = [run for run in history.by_deployment.get(name, ()) if run.start_s is not None and run.end_s is not None]
    done = tuple(run for run in past if run.state == "completed")
    upstream = _upstream_of(history, name, done)
    starts, ends, dues = _times(past)
    beside, waiting = np.zeros(len(past)), np.zeros(len(past))
    for pool in {run.work_pool for run in past}:
        here, load = np.array([run.work_pool == pool for run in past]), history.by_pool[pool]
        beside[here], waiting[here] = load.beside(starts[here], ends[here]), load.waiting(dues[here])
    hours = np.array([_hour(run.due_s, history.zone) for run in past]).reshape(len(past), 2)
    well = np.array([run.state == "completed" for run in past], dtype=bool)
    recent = past[-100:]
    failed = sum(run.state == "failed" for run in recent)
    return _Learned(
        done=done,
        own_s=ends[well] - _began(history.by_deployment.get(upstream or "", ()), done),
        inputs=np.column_stack([hours, np.log1p(beside)])[well],
        delays_s=np.maximum(0.0, starts - dues),
        delay_inputs=np.column_stack([hours, np.log1p(waiting)]),
        failed_ratio=(failed + 0.05) / (len(recent) + 5.0),
        upstream=upstream,
    )


def _times(runs: Sequence[DeploymentRun]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return when ended runs started, ended and were due (n,) each."""
    times = np.array([(run.start_s, run.end_s, run.due_s) for run in runs], dtype=np.float64).reshape(len(runs), 3)
    return times[:, 0], times[:, 1], times[:, 2]


def _began(upstream: Sequence[DeploymentRun], runs: Sequence[DeploymentRun]) -> FloatArray:
    """Return when past runs got to work (n,): at their start, or when the upstream's latest run ended if later."""
    starts, ends, dues = _times(runs)
    if not upstream:
        return starts
    due = np.array([run.due_s for run in upstream])
    ended = np.array([np.nan if run.end_s is None else run.end_s for run in upstream])
    place = np.searchsorted(due, dues, "right") - 1
    before = np.where((place >= 0) & (dues - due[place] < DAY_S), ended[place], np.nan)
    began: FloatArray = np.where((starts < before) & (before < ends), before, starts)
    return began


def _latest_before(runs: Sequence[DeploymentRun], due_s: float) -> DeploymentRun | None:
    """Return the newest of a deployment's runs that was due before a moment, or with it; none of a day before."""
    low, high = 0, len(runs)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if runs[middle].due_s <= due_s else (low, middle)
    return runs[low - 1] if low and due_s - runs[low - 1].due_s < DAY_S else None


def _upstream_of(history: RunHistory, name: str, done: Sequence[DeploymentRun]) -> str | None:
    """Return the deployment whose end a deployment waits for, found in the past; None where going by none is better.

    What a run takes from then on must spread far less than what it takes from its start.
    """
    done = done[-60:]
    if len(done) < UPSTREAM_FEWEST:
        return None
    starts, ends, _ = _times(done)
    alone = _spread(ends - starts)
    best: tuple[float, str] | None = None
    for other in history.by_deployment:
        if other == name:
            continue
        began = _began(history.by_deployment[other], done)
        if (began > starts).sum() < 3:
            continue
        spread = _spread(ends - began)
        if alone - spread > UPSTREAM_GAIN and (best is None or (spread, other) < best):
            best = (spread, other)
    return best[1] if best is not None else None


def _spread(lengths_s: FloatArray) -> float:
    """Return the log of the spread of the logs of lengths."""
    return math.log(max(float(np.std(np.log(np.maximum(lengths_s, 1.0)))), 1e-3))


@lru_cache(maxsize=16_384)
def _hour(at_s: float, zone: tzinfo) -> tuple[float, float]:
    """Return a moment's place in the day, as on a clock of 24 hours."""
    angle = 2 * math.pi * hour_of_day(at_s, zone) / 24
    return math.sin(angle), math.cos(angle)
