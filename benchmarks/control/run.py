"""One run: a policy, or anything that drives a World, against one day; what came of it is a row of figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from benchmarks.cluster.cluster_world import ClusterWorld
from benchmarks.cluster.simulator import ClusterConfig, ClusterSim, Period, is_late, period_utility
from benchmarks.control.traffic import DAY_S, PERIOD_S, TrafficDay
from storage.records import FloatArray

FIRST_DECISION_S = 540.0
SCORED_AFTER_S = 900.0
WORLD_START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Command:
    """One actuator and, for the dimmer, its value."""

    name: str
    value: float = 0.0


ADD, REMOVE = Command("add_server"), Command("remove_server")

Policy = Callable[[Sequence[Period], FloatArray], list[Command]]
"""Called every 60 s with the periods so far and the rates of the four days before; returns what to do now."""

Drive = Callable[[ClusterWorld, list[datetime]], object]
"""Runs a whole loop against a world, one turn at each of the given ticks."""


@dataclass(frozen=True)
class RunResult:
    """What came of one day: sums and means over the 90 scored periods, and the actuations of the whole run."""

    utility: float
    late_periods: float
    servers: float
    dimmer: float
    actions: float


def run(policy: Policy, episode: TrafficDay, config: ClusterConfig) -> tuple[RunResult, list[Period]]:
    """Run a whole day under a policy; the same episode and policy give the same result."""
    sim = ClusterSim(episode.requests, config)
    periods: list[Period] = []
    actions = 0
    while sim.now_s < DAY_S:
        if sim.now_s >= FIRST_DECISION_S:
            actions += sum(_obey(sim, command) for command in policy(periods, episode.history))
        periods.append(sim.advance(sim.now_s + PERIOD_S))
    return summarise(periods, config, actions), periods


def run_world(drive: Drive, episode: TrafficDay, config: ClusterConfig) -> tuple[RunResult, list[Period]]:
    """Run a whole day under a loop that sees a World: first its history, then each period, and acts in it."""
    world = ClusterWorld(ClusterSim(episode.requests, config), WORLD_START, episode.history)
    decisions = range(int(FIRST_DECISION_S), int(DAY_S), int(PERIOD_S))
    drive(world, [WORLD_START + timedelta(seconds=moment) for moment in decisions])
    for _ in world.observe(WORLD_START + timedelta(seconds=DAY_S)):
        pass
    return summarise(world.periods, config, world.accepted_actions), world.periods


def summarise(periods: Sequence[Period], config: ClusterConfig, actions: int) -> RunResult:
    """Sum up the scored periods of a run."""
    scored = [period for period in periods if period.end_s > SCORED_AFTER_S]
    return RunResult(
        utility=sum(period_utility(period, config) for period in scored),
        late_periods=sum(is_late(period, config) for period in scored),
        servers=sum(period.mean_servers for period in scored) / len(scored),
        dimmer=sum(period.dimmer for period in scored) / len(scored),
        actions=actions,
    )


def dim(value: float) -> Command:
    """Return the command that sets the dimmer."""
    return Command("set_dimmer", value)


def toward(servers: int, now: Period, config: ClusterConfig) -> list[Command]:
    """Return the commands that lead from the present number of servers toward the wanted one."""
    servers = min(max(servers, 1), config.max_servers)
    if servers > now.servers:
        return [ADD] if now.servers == now.active_servers else []
    return [REMOVE] * (now.servers - servers)


def _obey(sim: ClusterSim, command: Command) -> bool:
    """Carry out a command; False where the cluster refuses it or it changes nothing."""
    if command.name == "set_dimmer":
        return command.value != sim.dimmer and sim.set_dimmer(command.value)
    return sim.add_server() if command.name == "add_server" else sim.remove_server()
