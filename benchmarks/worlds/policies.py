"""The rules that a world's loop is held against, and who knows the future; all act through the same world."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol, TypeVar

import numpy as np

from benchmarks.worlds.simulated_world import SteppedWorld, WorldCommand
from storage.records import Sample


class ObservedMetrics(defaultdict[str, list[float]]):
    """The values of each series so far, oldest first."""

    def __init__(self) -> None:
        super().__init__(list)

    def last(self, series: str) -> float:
        """Return the newest value, NaN before the first."""
        return self[series][-1] if self[series] else math.nan


class Policy(Protocol):
    """Decides at each turn what to do, from what was seen."""

    def __call__(self, seen: ObservedMetrics, tick: datetime) -> Sequence[WorldCommand]:
        """Return what to do now."""
        ...


WorldT = TypeVar("WorldT", bound=SteppedWorld)


def play(world: WorldT, policy: Policy) -> WorldT:
    """Run a world to its end under a policy."""
    seen = ObservedMetrics()
    for tick in world.ticks:
        for each in world.observe(tick):
            if isinstance(each, Sample):
                seen[each.series].append(each.value)
        for command in policy(seen, tick):
            world.obey(command)
    return run_out(world)


def run_out(world: WorldT) -> WorldT:
    """Let a world reach the end of its last turn."""
    for _ in world.observe(world.end):
        pass
    return world


def nothing(seen: ObservedMetrics, tick: datetime) -> list[WorldCommand]:
    """Leave everything as it is."""
    return []


class RulePolicy:
    """On a breach of a watched series does what `choose` says, once in `pause_s`."""

    def __init__(
        self,
        bounds: dict[str, float],
        choose: Callable[[str, ObservedMetrics], WorldCommand | None],
        pause_s: float = 3_600,
    ) -> None:
        self.bounds, self.choose, self.pause_s = bounds, choose, pause_s
        self._acted: dict[str, datetime] = {}

    def __call__(self, seen: ObservedMetrics, tick: datetime) -> list[WorldCommand]:
        """Look at each series in turn."""
        commands = []
        for series, bound in self.bounds.items():
            ripe = series not in self._acted or (tick - self._acted[series]).total_seconds() >= self.pause_s
            if ripe and seen.last(series) > bound and (command := self.choose(series, seen)) is not None:
                self._acted[series] = tick
                commands.append(command)
        return commands


def threshold(bounds: dict[str, float], names: Sequence[str], pause_s: float = 3_600) -> RulePolicy:
    """Do what is declared, one after the other, whenever a series is over its bound."""
    turn = iter(range(10**9))
    return RulePolicy(bounds, lambda series, seen: WorldCommand(names[next(turn) % len(names)], series=series), pause_s)


def at_random(bounds: dict[str, float], names: Sequence[str], seed: int) -> RulePolicy:
    """Draw one of the actions."""
    rng = np.random.default_rng([seed, 3])
    return RulePolicy(bounds, lambda series, seen: WorldCommand(names[int(rng.integers(len(names)))], series=series))


class SuccessRatePolicy:
    """Draws one time in ten, else does what was most often followed by a fall: what a success rate counts."""

    def __init__(self, bounds: dict[str, float], names: Sequence[str], seed: int) -> None:
        self.names, self.rng = names, np.random.default_rng([seed, 4])
        self.tries, self.falls = dict.fromkeys(names, 2.0), dict.fromkeys(names, 1.0)
        self._open: dict[str, tuple[str, float]] = {}
        self._rule = RulePolicy(bounds, self._choose)

    def __call__(self, seen: ObservedMetrics, tick: datetime) -> list[WorldCommand]:
        """Count what came of the last act, then look again."""
        for series, (name, before) in list(self._open.items()):
            self.tries[name] += 1
            self.falls[name] += seen.last(series) < before
            del self._open[series]
        return self._rule(seen, tick)

    def _choose(self, series: str, seen: ObservedMetrics) -> WorldCommand:
        rates = np.array([self.falls[name] / self.tries[name] for name in self.names])
        explores = self.rng.random() < 0.1
        among = np.arange(len(rates)) if explores else np.flatnonzero(rates == rates.max())
        place = int(self.rng.choice(among))
        self._open[series] = (self.names[place], seen.last(series))
        return WorldCommand(self.names[place], series=series)


class Oracle:
    """Knows the world and all that will come: does what saves most, once waiting a turn longer would save less.

    `offers` are lists of commands to be done together.
    """

    def __init__(self, world: SteppedWorld, offers: Sequence[Sequence[WorldCommand]] | None = None) -> None:
        self.world = world
        self.offers = [[each] for each in world.commands()] if offers is None else offers

    def __call__(self, seen: ObservedMetrics, tick: datetime) -> list[WorldCommand]:
        """Take what is worth it, one offer after the other, until none is."""
        world, taken, state = self.world, list[WorldCommand](), self.world.state.copy()
        turn = round(world.turn_s / world.step_s)
        for _ in range(len(self.offers)):
            idle = world.worth_of(state, world.now, [], 0)
            now = [world.worth_of(state, world.now, offer, 0) for offer in self.offers]
            best = int(np.argmin(now))
            if now[best] >= idle - 1e-9 or world.worth_of(state, world.now, self.offers[best], turn) < now[best] - 1e-9:
                break
            for command in self.offers[best]:
                world.carry_out(state, world.now, command, f"oracle {tick} {len(taken)}")
                taken.append(command)
        return taken
