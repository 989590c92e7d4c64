"""Eight agents that share one pool of workers, in simulation: what all together get of what the best division gives.

The best division knows what will arrive, and moves workers at once and for nothing: nobody can do better. Beside it,
the same loops where each has an equal part for itself, and where whoever comes first is served.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from api.access import Caller, Role
from api.commands.shared_budgets import offer_share
from api.facade import Facade
from api.models.shared_budgets import OfferIn
from api.prefect_client import Trigger
from benchmarks.agents.site_pool import BOUND, MINUTE, SPREAD, START, Site, WorkerPool, demand_of, loss_of
from flows.cycle import bare_turn
from flows.simulate import TickClock
from flows.wiring import live_context
from handlers.worlds.declared import DeclaredWorld
from settings import Settings, load_settings
from storage import Store, open_store
from tasks.configured_actions import configured_actions, declared_actions
from tasks.context import AskLedger
from tasks.plan.optimise.clearing import Claim, clear

Rule = Literal["shared", "equal split", "first come"]
RULES: tuple[Rule, ...] = ("shared", "equal split", "first come")
SEVERITIES = (0.9, 0.6, 0.3, 0.5)
MOST_WORKERS, UNIT_COST, SAFE = 12, 0.002, 1
TURN_MINUTES = 5


@dataclass(frozen=True)
class Town:
    """How many sites share how many workers, how long before they are looked after, and for how many turns."""

    sites: int = 8
    total: int = 26
    history_minutes: int = 1_440
    turns: int = 96
    seed: int = 0

    @property
    def minutes(self) -> int:
        """Return how long it all lasts."""
        return self.history_minutes + self.turns * TURN_MINUTES

    def demands(self) -> list[np.ndarray]:
        """Return what arrives at each site, a value a minute."""
        rng = np.random.default_rng(self.seed)
        return [demand_of(number, self.sites, self.minutes, rng) for number in range(self.sites)]


@dataclass(frozen=True)
class TownResult:
    """What all sites got together, by the hour, and the most workers that were ever out."""

    value: float
    most_out: int
    turns: int


def run_town(town: Town, rule: Rule, progress: Callable[[int], None] = lambda turn: None) -> TownResult:
    """Let a loop look after each site, and return what they got together."""
    with tempfile.TemporaryDirectory() as folder:
        clock = TickClock(START)
        pool = WorkerPool(town.total, refuses=rule == "first come")
        names = [f"site-{number}" for number in range(town.sites)]
        ledger = ledger_of(town.total, clock, Path(folder), holders=names) if rule == "shared" else None
        sites = [
            Site(names[number], SEVERITIES[number % len(SEVERITIES)], pool, demand)
            for number, demand in enumerate(town.demands())
        ]
        for site in sites:
            pool.set(site.name, town.total // town.sites)
        loops = [_Loop(site, loop_settings(site, Path(folder), rule, town), open_store(clock=clock)) for site in sites]
        value = 0.0
        for turn in range(town.turns):
            clock.now = START + (town.history_minutes + turn * TURN_MINUTES) * MINUTE
            for loop in loops:
                loop.turn(clock.now, ledger)
            at = slice(
                town.history_minutes + turn * TURN_MINUTES + 1, town.history_minutes + (turn + 1) * TURN_MINUTES + 1
            )
            value += sum(worth(site.severity, site.demand[at], site.workers) for site in sites)
            progress(turn)
        return TownResult(value, pool.most, town.turns)


def best_value(town: Town) -> float:
    """Return what the best division of workers gets, chosen anew every turn by what will arrive."""
    value, demands = 0.0, town.demands()
    for turn in range(town.turns):
        start = town.history_minutes + turn * TURN_MINUTES + 1
        claims = []
        for number, demand in enumerate(demands):
            severity, at = SEVERITIES[number % len(SEVERITIES)], demand[start : start + TURN_MINUTES]
            values = [0.0, *(worth(severity, at, count) for count in range(1, MOST_WORKERS + 1))]
            claims.append(
                Claim(str(number), tuple((1.0, b - a) for a, b in pairwise(values)), minimum=1, is_divisible=False)
            )
        value += clear(claims, town.total).value
    return value


def worth(severity: float, jobs: np.ndarray, workers: int) -> float:
    """Return what a site gets in some minutes, in hours of an objective of severity 1 that holds, less its costs."""
    return float((severity * (1.0 - loss_of(jobs, np.array(workers))) - UNIT_COST * workers).sum() / 60)


@dataclass(frozen=True)
class _Loop:
    site: Site
    settings: Settings
    store: Store

    def turn(self, tick: datetime, ledger: AskLedger | None) -> None:
        declared = declared_actions(self.settings)
        world = DeclaredWorld(self.site, configured_actions(self.settings, declared))
        context = live_context(self.settings, self.store, tick, "simulation", actions=declared, world=world)
        self.store.cycles.begin(context.cycle)
        bare_turn(replace(context, ledger=ledger))


def ledger_of(total: float, clock: TickClock, folder: Path, name: str = "workers", **terms: Any) -> AskLedger:
    """Return what asks a facade of this process, with a store in memory, that grants shares of something."""
    settings = load_settings(folder, home=folder, shared={name: {"total": total, "unit": name, **terms}})
    facade = Facade(settings, open_store(clock=clock), cast(Trigger, None), clock, clock())

    def asked(name: str, offer: Mapping[str, Any]) -> Mapping[str, Any]:
        caller = Caller(Role.OPERATOR, lambda: str(offer["holder"]))
        return offer_share(facade, name, OfferIn.model_validate(offer), caller).model_dump()

    return asked


def loop_settings(site: Site, folder: Path, rule: Rule, town: Town) -> Settings:
    """Return the settings of the loop of one site, as a user writes them."""
    most = town.total // town.sites if rule == "equal split" else MOST_WORKERS
    shared = {"workers": {"coordinator": "http://ledger", "actions": ["set_workers"], "safe": SAFE, "unit": "workers"}}
    return load_settings(
        folder,
        home=folder / site.name,
        use_default_objectives=False,
        agent={"name": site.name, "analysis_interval_minutes": TURN_MINUTES},
        objectives=[
            {
                "name": "load",
                "metric": "load",
                "bound": BOUND,
                "spread": SPREAD,
                "severity": site.severity,
                "horizon_s": 1_800,
                "driver": "jobs",
                "capacity": "workers",
                "response": {"form": "ratio", "work": 1.0},
            }
        ],
        actions={
            "set_workers": {
                "sets": "workers",
                "amounts": {"least": 1, "most": most},
                "latency_seconds": 0,
                "unit_cost": UNIT_COST,
            }
        },
        shared=shared if rule == "shared" else {},
    )
