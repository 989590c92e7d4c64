"""Agents that share a budget: by a lease, then by what is safe, with a plain sentence for whatever is amiss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.agents.joint import Town, ledger_of, loop_settings
from benchmarks.agents.site_pool import MINUTE, START, Site, WorkerPool
from flows.cycle import Run, bare_turn, second_half, turn
from flows.simulate import TickClock
from flows.wiring import live_context
from handlers.contract.results import CallFailedError
from handlers.worlds.declared import DeclaredWorld
from settings import Settings, load_settings
from storage import ForeactError, open_store
from storage.records import Action, Autonomy, Receipt, ReceiptStatus
from tasks.configured_actions import configured_actions, declared_actions
from tasks.context import AskLedger, Context
from tasks.shared_limits import limits_in_force, share_in_force

NEEDS_EIGHT = 6.2
TOWN = Town()


class SharingAgent:
    """A loop over a site that needs eight workers, a turn every five minutes, and what it asks for its share."""

    def __init__(self, folder: Path, ledger: AskLedger | None, workers: int = 2, **shared: Any) -> None:
        self.clock = TickClock(START + 60 * MINUTE)
        self.pool = WorkerPool(100)
        self.pool.set("site", workers)
        self.site = Site("site", 0.9, self.pool, np.full(1_000, NEEDS_EIGHT))
        plain = loop_settings(self.site, folder, "shared", TOWN)
        terms = {"coordinator": "http://127.0.0.1:9", "actions": ["set_workers"], "safe": 1, "unit": "workers"}
        self.settings = _with(plain, folder, {"workers": terms | shared})
        self.store, self.ledger = open_store(clock=self.clock), ledger

    def turn(self, count: int = 1, every_minutes: int = 5, body: Callable[[Run, Context], None] = turn) -> None:
        for _ in range(count):
            self.clock.now += every_minutes * MINUTE
            declared = declared_actions(self.settings)
            world = DeclaredWorld(self.site, configured_actions(self.settings, declared))
            context = live_context(
                self.settings, self.store, self.clock.now, "simulation", actions=declared, world=world
            )
            self.store.cycles.begin(context.cycle)
            bare_turn(replace(context, ledger=self.ledger), body)

    def due(self, action_id: str, name: str, params: dict[str, Any]) -> Action:
        """Return an act that is due and may be done, for a goal that is open."""
        (goal, *_) = self.store.goals.open()
        return Action(
            action_id=action_id,
            name=name,
            goal_id=goal.goal.goal_id,
            goal_type=goal.goal.goal_type,
            plan_id="plan",
            decision_id="decision",
            params=params,
            target=action_id,
            level=Autonomy.AUTO,
            created_at=self.clock.now,
            due_at=self.clock.now,
            expires_at=self.clock.now + 60 * MINUTE,
        )

    def tend(self, *actions: Action) -> None:
        self.store.actions.append(actions, "by-hand")
        self.turn(every_minutes=0, body=second_half)

    def receipts(self, *action_ids: str) -> list[Receipt]:
        views = [self.store.actions.get(action_id) for action_id in action_ids]
        return [view.receipt for view in views if view is not None and view.receipt is not None]

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

    def __init__(self, ledger: AskLedger) -> None:
        self.ledger, self.is_away = ledger, False

    def __call__(self, name: str, offer: Mapping[str, Any]) -> Mapping[str, Any]:
        if self.is_away:
            raise CallFailedError("POST http://ledger failed: ConnectError.")
        return self.ledger(name, offer)


@pytest.fixture
def away(tmp_path: Path) -> Away:
    return Away(ledger_of(5, TickClock(START), tmp_path / "ledger", holders=["site"]))


def test_an_amount_rises_to_the_share_and_no_further_and_receipts_carry_the_token(tmp_path: Path, away: Away) -> None:
    agent = SharingAgent(tmp_path, away)
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
    agent = SharingAgent(tmp_path, away, safe=3)
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


def test_who_is_well_goes_down_to_what_is_safe_too_and_again_when_it_is_lost_again(tmp_path: Path, away: Away) -> None:
    agent = SharingAgent(tmp_path, away, workers=5, safe=3)
    agent.site.demand[:] = 3.7
    agent.turn(2)
    for _ in range(2):
        away.is_away = True
        agent.turn(6)
        assert agent.pool.held["site"] == 3
        away.is_away = False
        agent.turn(4)
        assert agent.pool.held["site"] == 5


def test_without_a_response_more_than_the_share_is_asked_for_step_by_step(tmp_path: Path, away: Away) -> None:
    agent = SharingAgent(tmp_path, away, safe=2)
    untold = {"driver": None, "capacity": None, "response": None}
    objectives = tuple(each.model_copy(update=untold) for each in agent.settings.objectives)
    agent.settings = agent.settings.model_copy(update={"objectives": objectives})
    agent.turn(24)
    assert agent.pool.held["site"] == 5, "a share that is held in full is no bound to what is wanted"
    said = [decision.explanation for decision in agent.store.decisions.latest(200)]
    assert any("it is as far as the objective shared-workers lets it go" in each for each in said)


def test_before_any_lease_nothing_is_added_and_nothing_need_be_given_back(tmp_path: Path, away: Away) -> None:
    away.is_away = True
    agent = SharingAgent(tmp_path, away, workers=4)
    agent.turn(6)
    assert agent.pool.held["site"] == 4
    assert "No share of workers was granted yet" in agent.reason


def test_an_act_that_was_planned_on_a_larger_share_is_refused_when_its_time_comes(tmp_path: Path, away: Away) -> None:
    agent = SharingAgent(tmp_path, away)
    agent.turn(2)
    agent.tend(agent.due("action-late", "set_workers", {"amount": 9}))
    (receipt,) = agent.receipts("action-late")
    assert receipt.status is ReceiptStatus.SKIPPED
    assert receipt.detail.startswith("The share of workers is 5 workers until")
    assert receipt.detail.endswith("9 would be more.")
    assert agent.pool.most <= 5


def test_what_takes_less_than_is_held_is_allowed_also_beyond_a_share(tmp_path: Path, away: Away) -> None:
    agent = SharingAgent(tmp_path, away, workers=7)
    agent.settings.kill_switch_path.parent.mkdir(exist_ok=True)
    agent.settings.kill_switch_path.touch()
    agent.turn(1)
    assert agent.pool.held["site"] == 7
    agent.settings.kill_switch_path.unlink()
    agent.tend(agent.due("action-less", "set_workers", {"amount": 6}))
    (receipt,) = agent.receipts("action-less")
    assert receipt.status is ReceiptStatus.SUCCEEDED


def test_acts_that_set_no_amount_are_counted_by_the_hour(tmp_path: Path) -> None:
    agent = SharingAgent(
        tmp_path, ledger_of(1, TickClock(START), tmp_path / "ledger", name="restarts", holders=["site"])
    )
    declared = {"restart": {"candidates": [{}], "level": "auto", "goal_types": ["BOTTLENECK_PREVENTION"]}}
    terms = {"restarts": {"coordinator": "http://ledger", "actions": ["restart"], "unit": "restarts an hour"}}
    given = load_settings(tmp_path, home=tmp_path, shared=terms, actions=declared)
    agent.settings = agent.settings.model_copy(update={"shared": given.shared, "actions": given.actions})
    agent.turn(2)
    agent.tend(*(agent.due(f"action-{number}", "restart", {"amount": 2}) for number in range(3)))
    statuses = [receipt.status for receipt in agent.receipts("action-0", "action-1", "action-2")]
    assert statuses == [ReceiptStatus.SUCCEEDED, ReceiptStatus.SKIPPED, ReceiptStatus.SKIPPED]
    (refused,) = agent.receipts("action-1")
    assert "The share of restarts is 1 restarts an hour until" in refused.detail
    assert refused.detail.endswith("this would be act 2 within an hour.")


def test_what_cannot_be_counted_is_said_and_nothing_is_asked_for(tmp_path: Path, away: Away) -> None:
    agent = SharingAgent(tmp_path, away, actions=["set_wrkers"])
    agent.turn(1)
    assert "shared.workers names set_wrkers, and there is no such action" in agent.reason
    assert agent.verbs("share not granted") == ["share not granted"]


def test_without_shared_budgets_a_turn_is_as_it_was(tmp_path: Path) -> None:
    agent = SharingAgent(tmp_path, None)
    agent.settings = agent.settings.model_copy(update={"shared": {}})
    agent.turn(3)
    assert agent.pool.held["site"] >= 8
    (cycle,) = agent.store.cycles.latest(1)
    assert "share" not in [stage["stage"] for stage in agent.store.cycles.stages(cycle.cycle_id)]
    receipts = [view.receipt for view in agent.store.actions.latest(50) if view.touched]
    assert all("leases" not in each.evidence for each in receipts if each)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({}, "say either total"),
        ({"total": 4, "coordinator": "http://a:1"}, "say either total"),
        ({"total": 4, "safe": 5}, "safe is more than there is in total"),
        ({"coordinator": "http://user:secret@a"}, "pattern"),
    ],
)
def test_a_budget_that_contradicts_itself_is_refused_with_its_key(
    tmp_path: Path, given: dict[str, Any], why: str
) -> None:
    with pytest.raises(ForeactError, match=r"shared\.workers") as refused:
        load_settings(tmp_path, home=tmp_path, shared={"workers": given})
    assert why in str(refused.value)
