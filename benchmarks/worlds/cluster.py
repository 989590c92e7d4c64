"""The reference cluster of `benchmarks.control`, by its own configuration and by the recipe in docs/planning.md.

Costs are utilities with their sign turned, so that the score is that of `benchmarks.control`: 0 reactive, 1 foresight.
"""

from __future__ import annotations

import tempfile
import time
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from benchmarks.cluster.cluster_world import ClusterWorld
from benchmarks.cluster.simulator import ClusterConfig, Period
from benchmarks.control.contenders import FORESIGHT, REACTIVE, measure
from benchmarks.control.loop import RECIPE, configured, plain
from benchmarks.control.run import run_world as run_cluster
from benchmarks.control.traffic import DAY_S, MATCH_DAYS, OTHER_DAYS, Calendar
from benchmarks.worlds.against_truth import LOOP, Figures
from flows.reports.results import SimulationReport
from flows.simulate import simulate

PLAIN, TUNED = "cluster, plain", "cluster, tuned"
RULES = ("nothing", REACTIVE, "HPA", "predict_linear", "Holt-Winters", FORESIGHT)
CACHE = Path(__file__).resolve().parents[1] / "results" / "control"


def run(name: str, seed: int, data: Path) -> Figures:
    """Run one day of the cluster, another for each seed; there is no first day, since four lie before it."""
    began = time.process_time()
    calendar, config = Calendar.load(data), ClusterConfig()
    days = [*MATCH_DAYS, *OTHER_DAYS] if MATCH_DAYS[0] in calendar.names else calendar.names[::-1]
    episode = calendar.episode(days[seed % len(days)], seed)
    reports: list[SimulationReport] = []
    with tempfile.TemporaryDirectory() as folder:
        settings = configured(config) if name == TUNED else plain(config, Path(folder))

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
        now.servers < before.servers and _is_broken(name, before, config) for before, now in pairwise(periods)
    )
    figures.unsafe = [f"{against} moves of the amount against a breach"] if against else []
    figures.seconds = time.process_time() - began
    return figures


def _is_broken(name: str, period: Period, config: ClusterConfig) -> bool:
    """Tell whether the objective that carries the load was broken: that on response time, or by the recipe on load."""
    if name == TUNED:
        return period.response_time_s > config.late_after_s
    return bool(period.utilisation / period.active_servers > RECIPE["objectives"][0]["bound"])
