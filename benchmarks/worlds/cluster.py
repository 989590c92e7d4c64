"""The reference cluster of `benchmarks.control`, by its own configuration and by the recipe in docs/planning.md.

Costs are utilities with their sign turned, so that the score is that of `benchmarks.control`: 0 reactive, 1 foresight.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.cluster.cluster_world import ACTIVE_SERVERS, BUSY_SERVERS, DIMMER, REQUEST_RATE, SERVERS, ClusterWorld
from benchmarks.cluster.simulator import ClusterConfig
from benchmarks.control.contenders import FORESIGHT, REACTIVE, measure
from benchmarks.control.loop import configured
from benchmarks.control.run import run_world as run_cluster
from benchmarks.control.traffic import DAY_S, MATCH_DAYS, OTHER_DAYS, Calendar
from benchmarks.worlds.against_truth import LOOP, Figures
from flows.reports.results import SimulationReport
from flows.simulate import simulate
from settings import Settings, load_settings

PLAIN, TUNED = "cluster, plain", "cluster, tuned"
RULES = ("nothing", REACTIVE, "HPA", "predict_linear", "Holt-Winters", FORESIGHT)
CACHE = Path(__file__).resolve().parents[1] / "results" / "control"
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
        "set_dimmer": {"sets": DIMMER, "amounts": {"least": 0, "most": 1, "step": 0.05}},
    },
}
"""What docs/planning.md says of an objective with a driver; the response is fitted, all else at its default."""


def run(name: str, seed: int, data: Path) -> Figures:
    """Run one day of the cluster, another for each seed; there is no first day, since four lie before it."""
    began = time.process_time()
    calendar, config = Calendar.load(data), ClusterConfig()
    days = [*MATCH_DAYS, *OTHER_DAYS] if MATCH_DAYS[0] in calendar.names else calendar.names[::-1]
    episode = calendar.episode(days[seed % len(days)], seed)
    reports: list[SimulationReport] = []
    with tempfile.TemporaryDirectory() as folder:
        settings = configured(config) if name == TUNED else plain_settings(Path(folder))

        def drive(world: ClusterWorld, ticks: list[datetime]) -> None:
            reports.append(simulate(world, settings, ticks))

        mine, periods = run_cluster(drive, episode, config)
    rules = measure(episode, config, CACHE, list(RULES))
    costs = {LOOP: (0.0, -mine.utility)} | {rule: (0.0, -rules[rule].utility) for rule in RULES}
    figures = Figures(name, seed, REACTIVE, DAY_S / 86_400, costs)
    report = reports[0]
    figures.acts, figures.goals = round(mine.actions), len(report.goals)
    figures.breach_h = mine.late_periods * config.period_s / 3_600
    figures.breaches, figures.missed = len(report.episodes), len(report.missed)
    figures.false_goals = len(report.false_alarms)
    figures.lead_s = [each.lead_time_s for each in report.episodes if each.lead_time_s is not None]
    against = sum(
        now.servers < before.servers and before.response_time_s > config.late_after_s
        for before, now in pairwise(periods)
    )
    figures.unsafe = [f"{against} moves of the amount against a breach"] if against else []
    figures.seconds = time.process_time() - began
    return figures


def plain_settings(folder: Path) -> Settings:
    """Return the recipe, with the pace and the length of the simulated day."""
    return load_settings(
        folder,
        home=folder,
        use_default_objectives=False,
        agent={"analysis_interval_minutes": 1},
        forecasting={"forecaster": {"seasons_seconds": [DAY_S]}},
        **RECIPE,
    )
