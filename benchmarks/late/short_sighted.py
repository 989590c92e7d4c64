"""A planner that goes by an act's first hour, with the learned policy beside it as a shadow or, once admitted, in it.

What is learned, judged and admitted is what ships (`tasks.learn.late`); the planner is made simple, so that many seeds
of many days take seconds: it draws what the first hour says is best, and each other arm with a tenth, as the shipped
one does where `executor.late_effects` is `act`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import exp

import numpy as np

from benchmarks.late.late_worlds import LateWorld
from benchmarks.worlds.policies import ObservedMetrics, play
from benchmarks.worlds.simulated_world import WorldCommand
from storage.decisions import LoggedChoice
from storage.facts import LateStanding
from storage.records import NOTHING, FloatArray, GoalType
from tasks.learn.late.admission import judge_late, look_due
from tasks.learn.late.advice import TRIED_SHARE
from tasks.learn.late.choice_log import LateState, log_of
from tasks.learn.late.fitted_q import LatePolicy, fit, word_of
from tasks.learn.late.sequential_value import evaluate_late

HORIZON_S = 6 * 3_600.0
NEAR_SD = 0.5


@dataclass
class ShortSighted:
    """The planner; `acts` says whether a policy that is admitted chooses, or only what it would do is said."""

    world: LateWorld
    acts: bool
    sd: float = 25.0
    choices: list[LoggedChoice] = field(default_factory=list)
    standing: LateStanding | None = None
    policy: LatePolicy | None = None
    admitted_on: list[float] = field(default_factory=list)
    taken_back_on: list[float] = field(default_factory=list)
    _done: list[tuple[datetime, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng([self.world.seed, 77])
        self._bound = self.world.goals[0][1]

    def __call__(self, seen: ObservedMetrics, tick: datetime) -> Sequence[WorldCommand]:
        """Draw where the metric is near its bound or beyond; learn at midnight."""
        if tick.hour == 0 and tick.minute == 0:
            self._review(seen, tick)
        excess = (seen.last("latency") - self._bound) / self.sd
        if excess < -NEAR_SD:
            return []
        chosen = self._draw(tick, excess)
        if chosen == NOTHING:
            return []
        self._done.append((tick, chosen))
        return [WorldCommand(chosen)]

    def _draw(self, tick: datetime, excess: float) -> str:
        arms = (NOTHING, *self.world.names)
        usual = dict.fromkeys(arms, TRIED_SHARE)
        usual[self.world.believed] = 1.0 - TRIED_SHARE * (len(arms) - 1)
        state = LateState(excess, float(tick.hour), self._recent(tick))
        word = word_of(self.policy, state, usual) if self.policy is not None else None
        is_admitted = self.acts and self.standing is not None and self.standing.is_admitted
        drawn = dict(word.shares) if word is not None and is_admitted else usual
        shares = np.array(list(drawn.values()))
        chosen = list(drawn)[int(self._rng.choice(len(shares), p=shares / shares.sum()))]
        self.choices.append(self._logged(tick, state, drawn, usual, chosen))
        return chosen

    def _recent(self, tick: datetime) -> dict[str, float]:
        recent: dict[str, float] = {}
        for at, name in self._done[-60:]:
            recent[name] = recent.get(name, 0.0) + exp(-(tick - at).total_seconds() / HORIZON_S)
        return recent

    def _logged(
        self, tick: datetime, state: LateState, drawn: dict[str, float], usual: dict[str, float], chosen: str
    ) -> LoggedChoice:
        return LoggedChoice(
            choice_id=f"choice-{len(self.choices)}",
            goal_type=GoalType.BOTTLENECK_PREVENTION,
            at=tick,
            goal_id="goal",
            series="latency",
            bound=self._bound,
            side="below",
            severity=self.world.goals[0][2],
            sd=self.sd,
            horizon_s=7_200.0,
            excess_sd=state.excess_sd,
            hour=state.hour,
            recent=dict(state.recent),
            drawn=drawn,
            usual=usual,
            chosen=chosen,
            cost=0.0 if chosen == NOTHING else 0.015,
        )

    def _review(self, seen: ObservedMetrics, tick: datetime) -> None:
        count, before = len(self.choices), self.standing
        if not count or not (look_due(count, before.looks if before else 0) or before is not None):
            return
        kept = [each for each in self.choices if each.at >= tick - timedelta(days=60)]
        log = log_of(kept, {"latency": self._values(seen, tick)}, HORIZON_S)
        until_s = tick.timestamp()
        admitted_s = before.since.timestamp() if before and before.is_admitted and before.since else None
        value = evaluate_late(log, HORIZON_S, until_s)
        since = evaluate_late(log, HORIZON_S, until_s, admitted_s) if admitted_s is not None else None
        verdict = judge_late(before, count, value, since)
        was = before is not None and before.is_admitted
        day = (tick - self.world.start - self.world.history).total_seconds() / 86_400
        if verdict.is_admitted != was:
            (self.admitted_on if verdict.is_admitted else self.taken_back_on).append(day)
        changed = before.since if before and was == verdict.is_admitted else tick
        self.policy = fit(log)
        self.standing = LateStanding(
            tick, count, verdict.looks, verdict.is_admitted, changed, None, verdict.low, 0, 0, verdict.sentence
        )

    def _values(self, seen: ObservedMetrics, tick: datetime) -> tuple[FloatArray, FloatArray]:
        values = np.array(seen["latency"])
        return tick.timestamp() - self.world.step_s * np.arange(len(values) - 1, -1, -1.0), values


@dataclass(frozen=True)
class TwoLives:
    """One seed of a world: what it cost with the policy as a shadow and where it may act, and when it was admitted.

    Costs are in hours of severity 1 broken, of all days and of those after the first admission.
    """

    world: str
    seed: int
    shadow: float
    acting: float
    admitted_on: tuple[float, ...]
    taken_back_on: tuple[float, ...]
    shadow_after: float
    acting_after: float


def run_both(kind: type[LateWorld], seed: int, days: float) -> TwoLives:
    """Run a world twice by the same weather, and by the same draws up to the first admission."""
    planners = []
    for acts in (False, True):
        planner = ShortSighted(kind(seed, days), acts)
        play(planner.world, planner)
        planners.append(planner)
    shadow, acting = (planner.world.costs() for planner in planners)
    admitted = planners[1].admitted_on
    begin = int((admitted[0] if admitted else days) * 288)
    return TwoLives(
        kind.name,
        seed,
        float(shadow.sum()),
        float(acting.sum()),
        tuple(admitted),
        tuple(planners[1].taken_back_on),
        float(shadow[begin:].sum()),
        float(acting[begin:].sum()),
    )
