"""Agents that share a budget: by a lease, then by what is safe, with a plain sentence for whatever is amiss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.agents.joint import Town, ledger_of, loop_settings
from benchmarks.agents.site_pool import MINUTE, START, Site, WorkerPool
from flows.cycle import bare_turn
from flows.simulate import TickClock
from flows.wiring import live_context
from handlers.contract.results import CallFailedError
from handlers.worlds.declared import DeclaredWorld
from settings import Settings, load_settings
from storage import open_store
from storage.records import ReceiptStatus
from tasks.configured_actions import configured_actions, declared_actions
from tasks.context import Ledger
from tasks.shared_limits import limits_in_force, share_in_force

NEEDS_EIGHT = 6.2
TOWN = Town()


class Agent:
    """A loop over a site that needs eight workers, a turn every five minutes, and what it asks for its share."""

    def __init__(self, folder: Path, ledger: Ledger | None, workers: int = 2, **shared: Any) -> None:
        self.clock = TickClock(START + 60 * MINUTE)
        self.pool = WorkerPool(100)
        self.pool.set("site", workers)
        self.site = Site("site", 0.9, self.pool, np.full(1_000, NEEDS_EIGHT))
        plain = loop_settings(self.site, folder, "shared", TOWN)
        terms = {"coordinator": "http://127.0.0.1:9", "actions": ["set_workers"], "safe": 1, "unit": "workers"}
        self.settings = _with(plain, folder, {"workers": terms | shared})
        self.store, self.ledger = open_store(clock=self.clock), ledger

    def turn(self, count: int = 1, every_minutes: int = 5) -> None:
        for _ in range(count):
            self.clock.now += every_minutes * MINUTE
            declared = declared_actions(self.settings)
            world = DeclaredWorld(self.site, configured_actions(self.settings, declared))
            context = live_context(
                self.settings, self.store, self.clock.now, "simulation", actions=declared, world=world
            )
            self.store.cycles.begin(context.cycle)
            bare_turn(replace(context, ledger=self.ledger))

    @property
    def reason(self) -> str:
        (limit,) = limits_in_force(self.settings, self.store, self.clock.now)
        return limit.reason

    def verbs(self, *wanted: str) -> list[str]:
        return [line.verb for line in reversed(self.store.audit.latest(500)) if line.verb in wanted]


def _with(plain: Settings, folder: Path, shared: Mapping[str, Any]) -> Settings:
    return plain.model_copy(update={"shared": load_settings(folder, home=folder, shared=shared).shared})


class Away:
    """A ledger that can be cut off."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger, self.is_away = ledger, False

    def __call__(self, name: str, offer: Mapping[str, Any]) -> Mapping[str, Any]:
        if self.is_away:
            raise CallFailedError("POST http://ledger failed: ConnectError.")
        return self.ledger(name, offer)


@pytest.fixture
def away(tmp_path: Path) -> Away:
    return Away(ledger_of(5, TickClock(START), tmp_path / "ledger", holders=["site"]))


def test_an_amount_rises_to_the_share_and_no_further_and_receipts_carry_the_token(tmp_path: Path, away: Away) -> None:
    agent = Agent(tmp_path, away)
    agent.turn(4)
    assert agent.pool.held["site"] == 5, "eight are needed, five are there"
    share = share_in_force(agent.store, "workers")
    assert share is not None
    assert (share.amount, share.wanted, share.trouble) == (5, 5, "")
    receipts = [view.receipt for view in agent.store.actions.latest(50) if view.touched]
    assert receipts
    assert all(1 <= each.evidence["leases"]["workers"] <= share.token for each in receipts if each)
    assert agent.verbs("share granted")


def test_a_lost_coordinator_means_the_safe_amount_once_the_lease_has_ended_and_its_share_when_it_is_back(
    tmp_path: Path, away: Away
) -> None:
    agent = Agent(tmp_path, away, safe=3)
    agent.turn(3)
    away.is_away = True
    agent.turn(2)
    assert agent.pool.held["site"] == 5, "the lease of a quarter of an hour still holds"
    agent.turn(6)
    assert agent.pool.held["site"] == 3
    assert "was not renewed (POST http://ledger failed: ConnectError): at most the safe 3 workers" in agent.reason
    away.is_away = False
    agent.turn(3)
    assert agent.pool.held["site"] == 5
    assert agent.verbs("share lost", "share not granted") == ["share not granted", "share lost"]


def test_before_any_lease_nothing_is_added_and_nothing_need_be_given_back(tmp_path: Path, away: Away) -> None:
    away.is_away = True
    agent = Agent(tmp_path, away, workers=4)
    agent.turn(6)
    assert agent.pool.held["site"] == 4
    assert "No share of workers was granted yet" in agent.reason


def test_an_act_that_was_planned_on_a_larger_share_is_refused_when_its_time_comes(tmp_path: Path, away: Away) -> None:
    agent = Agent(tmp_path, away)
    agent.turn(1)
    agent.site.demand[:] = 0.1
    agent.turn(1)
    from storage.records import Action, Autonomy, GoalType, Strategy

    view = next(each for each in agent.store.actions.latest(20) if each.action.name == "set_workers")
    late = view.action.model_copy(
        update={
            "action_id": "action-late",
            "params": {"amount": 9},
            "due_at": agent.clock.now,
            "expires_at": agent.clock.now + 60 * MINUTE,
            "level": Autonomy.AUTO,
        }
    )
    assert isinstance(late, Action)
    assert GoalType and Strategy
    agent.store.actions.append([late], "by-hand")
    agent.turn(1)
    refused = agent.store.actions.get("action-late")
    assert refused is not None
    assert refused.receipt is not None
    assert refused.receipt.status is ReceiptStatus.SKIPPED
