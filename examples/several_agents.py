"""Three agents share twelve workers; then the one that grants them is lost for an hour.

    python examples/several_agents.py

Each has a load of its own and offers what more workers would be worth to it; one price clears all offers. It runs in
simulated time, on this machine alone: in earnest each agent is a foreact of its own, and asks over the network.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from math import pi, sin
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from api.access import Caller, Role
from api.commands.shared_budgets import offer_share
from api.facade import Facade
from api.models.shared_budgets import OfferIn
from api.prefect_client import Trigger
from api.queries.shared_budgets import shared_budgets
from flows.cycle import bare_turn
from flows.simulate import TickClock
from flows.wiring import live_context
from handlers.contract.results import CallFailedError
from handlers.worlds.declared import DeclaredWorld
from settings import load_settings
from storage import open_store
from storage.records import Action, Event, Receipt, ReceiptStatus, Sample
from tasks.configured_actions import configured_actions, declared_actions
from tasks.shared_limits import limits_in_force

START, MINUTE = datetime(2026, 3, 2, tzinfo=UTC), timedelta(minutes=1)
TOTAL, FIRST_MINUTE, TURN = 12, 720, 10
NAMES = ("shop", "mail", "reports")


@dataclass
class Place:
    """A load that goes up and down with the day, each at its own hours; a worker takes one job a minute."""

    name: str
    workers: int = 3
    minute: int = 0

    def jobs(self) -> float:
        """Return the jobs that arrive in this minute."""
        return 2.6 + 1.8 * sin(2 * pi * (self.minute / 1_440 - NAMES.index(self.name) / 3))

    def observe(self, tick: datetime) -> Iterator[Sample | Event]:
        """Give a sample a minute of jobs, workers and load."""
        while START + (self.minute + 1) * MINUTE <= tick:
            self.minute += 1
            seen = {"jobs": self.jobs(), "workers": float(self.workers), "load": self.jobs() / self.workers}
            for metric, value in seen.items():
                yield Sample(metric=metric, value=value, ts=START + self.minute * MINUTE)

    def act(self, action: Action, tick: datetime) -> Receipt:
        """Set the workers."""
        self.workers = int(action.params["amount"])
        return Receipt(action_id=action.action_id, status=ReceiptStatus.SUCCEEDED, started_at=tick, finished_at=tick)


def main() -> None:
    """Run half a day, print who holds how much every two hours, and what is said while nobody grants anything."""
    clock, is_away = TickClock(START + FIRST_MINUTE * MINUTE), False
    with TemporaryDirectory() as folder:
        shared = {"workers": {"total": TOTAL, "unit": "workers", "holders": list(NAMES)}}
        granting = load_settings(folder, home=Path(folder), shared=shared)
        facade = Facade(granting, open_store(clock=clock), cast(Trigger, None), clock, clock())

        def ask(name: str, offer: Mapping[str, Any]) -> Mapping[str, Any]:
            if is_away:
                raise CallFailedError("http://ledger does not answer.")
            caller = Caller(Role.OPERATOR, lambda: str(offer["holder"]))
            return offer_share(facade, name, OfferIn.model_validate(offer), caller).model_dump()

        agents = [(Place(name), open_store(clock=clock)) for name in NAMES]
        for turn in range(72):
            clock.now = START + (FIRST_MINUTE + turn * TURN) * MINUTE
            is_away = 42 <= turn < 50
            for site, store in agents:
                settings = load_settings(folder, home=Path(folder) / site.name, **configuration(site.name))
                declared = declared_actions(settings)
                world = DeclaredWorld(site, configured_actions(settings, declared))
                context = live_context(settings, store, clock.now, "simulation", actions=declared, world=world)
                store.cycles.begin(context.cycle)
                bare_turn(replace(context, ledger=ask))
                if turn == 48:
                    print(f"   {site.name}: {limits_in_force(settings, store, clock.now)[0].reason}.")
            held = ", ".join(f"{site.name} {site.workers} (needs {site.jobs() / 0.8:.1f})" for site, _ in agents)
            if turn % 12 == 0 or turn == 48:
                print(f"{clock.now:%H:%M} {held}")
                print(f"   {shared_budgets(facade).granted[0].sentence}")


def configuration(name: str) -> dict[str, Any]:
    """Return the foreact.toml of an agent."""
    return {
        "use_default_objectives": False,
        "agent": {"name": name, "analysis_interval_minutes": TURN},
        "objectives": [
            {
                "name": "load",
                "metric": "load",
                "bound": 0.8,
                "spread": 0.15,
                "severity": {"shop": 0.9, "mail": 0.6, "reports": 0.3}[name],
                "horizon_s": 1_800,
                "driver": "jobs",
                "capacity": "workers",
                "response": {"form": "ratio", "work": 1.0},
            }
        ],
        "actions": {"set_workers": {"sets": "workers", "amounts": {"least": 1, "most": 8}, "unit_cost": 0.002}},
        "shared": {"workers": {"coordinator": "http://ledger", "actions": ["set_workers"], "safe": 2}},
    }


if __name__ == "__main__":
    main()
