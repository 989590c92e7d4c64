"""Every policy of the comparison by name, and its figures for a day, taken from a cache where they are known."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from benchmarks.cluster import demand, queue, simulator
from benchmarks.cluster.simulator import ClusterConfig
from benchmarks.control import baselines, fed_autoscaler, hindsight, loop, planner, profile_rule, run, traffic
from benchmarks.control.run import Drive, Policy, RunResult
from benchmarks.control.traffic import PERIODS_PER_DAY, TrafficDay
from tasks.plan.valuation import amount_schedule

Variants = list[Callable[[], Policy]]
"""Makers of fresh policies; where there are several, the best of them in hindsight counts."""

REACTIVE, FORESIGHT = "reactive", "foresight"
FED = "HPA on our p90"
TUNED, PLAIN = "foreact, tuned", "foreact, plain"
SMALLEST_CONSTANT = 4

_WORLD = (run, traffic, simulator, queue, demand)
_ROOT = Path(__file__).resolve().parents[2]
_LOOP = (
    "benchmarks/control",
    "flows/cycle.py",
    "flows/simulate.py",
    "handlers",
    "settings.py",
    "storage",
    "tasks",
)


def contenders(episode: TrafficDay, config: ClusterConfig) -> dict[str, Variants | Drive]:
    """Return the policies of the comparison, in the order of the table; foreact drives the world by itself."""
    sizes = range(SMALLEST_CONSTANT, config.max_servers + 1)
    return {
        "nothing": [lambda: baselines.nothing],
        REACTIVE: [lambda: baselines.Reactive(config)],
        "HPA": [lambda: baselines.Autoscaler(config)],
        "predict_linear": [lambda: baselines.PredictLinear(config)],
        "Holt-Winters": [lambda: baselines.HoltWinters(config, PERIODS_PER_DAY)],
        FED: [lambda: fed_autoscaler.FedAutoscaler(config, PERIODS_PER_DAY)],
        "profile": [lambda: profile_rule.ProfileRule(config, PERIODS_PER_DAY)],
        TUNED: loop.drive(loop.configured(config)),
        PLAIN: loop.drive_plain(config),
        "driver plan": [lambda: planner.DriverPlanner(config, PERIODS_PER_DAY)],
        "constant": _constants(config, sizes, config.initial_dimmer),
        "constant, full content": _constants(config, sizes, 1.0),
        FORESIGHT: [
            _foresight(config, episode, load, ahead)
            for load in hindsight.TARGET_LOADS
            for ahead in hindsight.LOOK_AHEADS
        ],
    }


def measure(
    episode: TrafficDay, config: ClusterConfig, cache: Path, names: list[str] | None = None
) -> dict[str, RunResult]:
    """Return the figures of each named policy (all where None) on a day, running only what `cache` lacks."""
    results = {}
    for name, variants in contenders(episode, config).items():
        if names is not None and name not in names:
            continue
        path = cache / f"{_key(name, episode, config)}.json"
        if path.exists():
            results[name] = RunResult(**json.loads(path.read_text()))
            continue
        results[name] = _best(variants, episode, config)
        cache.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(results[name])))
    return results


def _best(variants: Variants | Drive, episode: TrafficDay, config: ClusterConfig) -> RunResult:
    if not isinstance(variants, list):
        return run.run_world(variants, episode, config)[0]
    return max((run.run(variant(), episode, config)[0] for variant in variants), key=lambda one: one.utility)


def _constants(config: ClusterConfig, sizes: range, dimmer: float) -> Variants:
    return [lambda size=size: hindsight.Constant(config, size, dimmer) for size in sizes]  # type: ignore[misc]


def _foresight(config: ClusterConfig, episode: TrafficDay, load: float, ahead: int) -> Callable[[], Policy]:
    return lambda: hindsight.Foresight(config, episode.rates, load, ahead)


def _key(name: str, episode: TrafficDay, config: ClusterConfig) -> str:
    """Name a result by everything that decides it, the code included, so that a stale one is never read."""
    own = {"driver plan": (planner, profile_rule, amount_schedule), "profile": (profile_rule,)}.get(
        name, (baselines, hindsight)
    )
    code = "".join(Path(str(module.__file__)).read_text() for module in (*_WORLD, *own))
    if name == FED:
        code += Path(str(fed_autoscaler.__file__)).read_text()
    if name in {TUNED, PLAIN, FED}:
        code += "".join(path.read_text() for path in _sources())
    parts = json.dumps([name, episode.fingerprint, asdict(config), hashlib.sha256(code.encode()).hexdigest()])
    return hashlib.sha256(parts.encode()).hexdigest()[:20]


def _sources() -> list[Path]:
    """Return the files that decide what the loop does: its configuration and all code that it runs."""
    paths = [
        path for part in _LOOP for path in ([_ROOT / part] if part.endswith(".py") else (_ROOT / part).rglob("*.py"))
    ]
    return sorted([*paths, loop.CONFIGURATION / "foreact.toml"])
