"""The cluster can be driven as any other world."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from benchmarks.cluster.cluster_world import REQUEST_RATE, RESPONSE_TIME, ClusterWorld
from benchmarks.cluster.demand import Demand, poisson_arrivals
from benchmarks.cluster.simulator import ClusterSim, Requests
from handlers.worlds import Acting
from storage.records import Action, Autonomy, GoalType, ReceiptStatus, Sample

START = datetime(2026, 1, 1, tzinfo=UTC)


def world(rate: float = 50.0, history: int = 0) -> ClusterWorld:
    requests = Requests.draw(poisson_arrivals(Demand(np.full(1, rate), 900.0), 0))
    return ClusterWorld(ClusterSim(requests), START, np.arange(float(history)))


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def action(name: str, undo_of: str | None = None, dry_run: bool = False, **params: Any) -> Action:
    return Action(
        action_id="a",
        name=name,
        goal_id="g",
        goal_type=GoalType.CAPACITY_PLANNING,
        plan_id="p",
        decision_id="d",
        params=params,
        level=Autonomy.AUTO,
        created_at=START,
        due_at=START,
        expires_at=at(900.0),
        undo_of=undo_of,
        dry_run=dry_run,
    )


def test_each_period_is_observed_once() -> None:
    cluster = world()
    first = [one for one in cluster.observe(at(130.0)) if isinstance(one, Sample)]
    again = list(cluster.observe(at(130.0)))
    assert sorted({one.ts for one in first}) == [at(60.0), at(120.0)]
    assert again == []


def test_history_is_handed_over_before_the_first_period() -> None:
    cluster = world(history=3)
    seen = [one for one in cluster.observe(START) if isinstance(one, Sample)]
    assert [(one.metric, one.value, one.ts) for one in seen] == [
        (REQUEST_RATE, 0.0, at(-120.0)),
        (REQUEST_RATE, 1.0, at(-60.0)),
        (REQUEST_RATE, 2.0, at(0.0)),
    ]


def test_a_period_without_answers_has_no_response_time() -> None:
    seen = [one for one in world(rate=0.0).observe(at(60.0)) if isinstance(one, Sample)]
    assert RESPONSE_TIME not in {one.metric for one in seen}


@pytest.mark.parametrize(
    ("act", "status"),
    [
        (action("add_server"), ReceiptStatus.SUCCEEDED),
        (action("remove_server"), ReceiptStatus.SUCCEEDED),
        (action("set_dimmer", amount=0.5), ReceiptStatus.SUCCEEDED),
        (action("set_servers", amount=7), ReceiptStatus.SUCCEEDED),
        (action("set_servers", amount=1), ReceiptStatus.SUCCEEDED),
        (action("set_servers", amount=3), ReceiptStatus.SKIPPED),
        (action("set_servers", amount=99), ReceiptStatus.SKIPPED),
        (action("set_servers"), ReceiptStatus.SKIPPED),
        (action("set_servers", amount="many"), ReceiptStatus.SKIPPED),
        (action("set_dimmer", amount=float("nan")), ReceiptStatus.SKIPPED),
        (action("launch_rocket"), ReceiptStatus.FAILED),
        (action("add_server", dry_run=True), ReceiptStatus.DRY_RUN),
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_every_order_gets_a_receipt(act: Action, status: ReceiptStatus) -> None:
    assert world().act(act, START).status is status


def test_going_up_starts_one_server_and_going_down_is_at_once() -> None:
    cluster = world()
    cluster.act(action("set_servers", amount=7), START)
    assert cluster.sim.servers == 4
    cluster.act(action("set_servers", amount=1), START)
    assert cluster.sim.servers == 1


def test_undo_goes_back_to_what_was_before() -> None:
    cluster = world()
    cluster.act(action("set_dimmer", amount=0.2), START)
    receipt = cluster.act(action("set_dimmer", undo_of="a"), START)
    assert receipt.status is ReceiptStatus.SUCCEEDED
    assert cluster.sim.dimmer == cluster.sim.config.initial_dimmer


def test_undo_of_what_never_happened_fails_plainly() -> None:
    assert world().act(action("set_dimmer", undo_of="a"), START).status is ReceiptStatus.FAILED


def test_it_is_a_plain_world_whose_actions_the_configuration_declares() -> None:
    assert not isinstance(world(), Acting)
