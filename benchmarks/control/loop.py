"""foreact itself in the comparison: its general loop, told of the cluster by a configuration and nothing else.

*Tuned* is the benchmark's own configuration file, *plain* what a new user writes by the recipe in docs/planning.md.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.cluster.cluster_world import ACTIVE_SERVERS, BUSY_SERVERS, DIMMER, REQUEST_RATE, SERVERS, ClusterWorld
from benchmarks.cluster.simulator import ClusterConfig
from benchmarks.control.run import Drive
from benchmarks.control.traffic import DAY_S
from flows.simulate import simulate
from settings import Settings, load_settings

CONFIGURATION = Path(__file__).parent / "cluster"
RECIPE: Mapping[str, Any] = {
    "objectives": [
        {
            "name": "load-per-server",
            "metric": BUSY_SERVERS,
            "denominator": ACTIVE_SERVERS,
            "bound": 0.8,
            "severity": 0.9,
            "driver": REQUEST_RATE,
            "capacity": SERVERS,
        },
        {
            "name": "load-by-content",
            "metric": BUSY_SERVERS,
            "denominator": ACTIVE_SERVERS,
            "bound": 0.8,
            "severity": 0.9,
            "driver": REQUEST_RATE,
            "capacity": DIMMER,
        },
        {"name": "full-content", "metric": DIMMER, "side": "above", "bound": 1.0, "severity": 0.5},
    ],
    "actions": {
        "set_servers": {
            "sets": SERVERS,
            "amounts": {"least": 1, "most": 12},
            "most_up": 1,
            "latency_seconds": 180,
            "unit_cost": 0.025,
        },
        "set_dimmer": {
            "sets": DIMMER,
            "amounts": {"least": 0, "most": 1, "step": 0.05},
            # More of it strains the servers: only the sign counts.
            "expected_effect": {f"{BUSY_SERVERS}/{ACTIVE_SERVERS}": 0.1},
        },
    },
}
"""What docs/planning.md says of an objective with a driver; the response is fitted, all else at its default."""


def configured(config: ClusterConfig) -> Settings:
    """Return the configuration, with the boot delay of a cluster as the latency of adding a server."""
    return load_settings(CONFIGURATION, actions={"set_servers": {"latency_seconds": config.boot_delay_s}})


def plain(config: ClusterConfig, folder: Path) -> Settings:
    """Return the recipe, with the pace and the length of the simulated day and the boot delay as latency."""
    actions = RECIPE["actions"] | {
        "set_servers": RECIPE["actions"]["set_servers"] | {"latency_seconds": config.boot_delay_s}
    }
    return load_settings(
        folder,
        home=folder,
        use_default_objectives=False,
        agent={"analysis_interval_minutes": 1},
        forecasting={"forecaster": {"seasons_seconds": [DAY_S]}},
        objectives=RECIPE["objectives"],
        actions=actions,
    )


def drive_plain(config: ClusterConfig) -> Drive:
    """Return what runs the loop by the recipe alone."""

    def run(world: ClusterWorld, ticks: list[datetime]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            simulate(world, plain(config, Path(folder)), ticks)

    return run


def drive(settings: Settings) -> Drive:
    """Return what runs the loop against a world, one turn at each tick."""

    def run(world: ClusterWorld, ticks: list[datetime]) -> None:
        simulate(world, settings, ticks)

    return run
