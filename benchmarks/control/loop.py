"""foreact itself in the comparison: its general loop, told of the cluster by a configuration file and nothing else."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from benchmarks.cluster.cluster_world import ClusterWorld
from benchmarks.cluster.simulator import ClusterConfig
from benchmarks.control.run import Drive
from flows.simulate import simulate
from settings import Settings, load_settings

CONFIGURATION = Path(__file__).parent / "cluster"


def configured(config: ClusterConfig) -> Settings:
    """Return the configuration, with the boot delay of a cluster as the latency of adding a server."""
    return load_settings(CONFIGURATION, actions={"set_servers": {"latency_seconds": config.boot_delay_s}})


def drive(settings: Settings) -> Drive:
    """Return what runs the loop against a world, one turn at each tick."""

    def run(world: ClusterWorld, ticks: list[datetime]) -> None:
        simulate(world, settings, ticks)

    return run
