"""The shop of the demo: one of its three actions helps, and the same seed is the same shop."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from handlers.worlds.shop import BACKUP, DISK, INFLUENCES, ORDERS, RESPONSE, Shop
from storage.records import Action, Event, GoalType, ReceiptStatus, Sample

START = datetime(2026, 3, 2, 16, tzinfo=UTC)
LATER = START + timedelta(hours=2)


def act(shop: Shop, name: str, undo_of: str | None = None) -> ReceiptStatus:
    action = Action.model_validate(
        {
            "action_id": f"a-{name}",
            "goal_id": "g",
            "plan_id": "p",
            "decision_id": "d",
            "goal_type": GoalType.BOTTLENECK_PREVENTION,
            "name": name,
            "created_at": START,
            "due_at": START,
            "expires_at": LATER,
            "horizon_s": 3_600,
            "level": "auto",
            "strategy": "IMMEDIATE",
            "undo_of": undo_of,
        }
    )
    return shop.act(action, START).status


def mean_after(*names: str) -> float:
    """Return the mean response time in the two hours after these acts."""
    shop = Shop(START, timedelta(days=1), seed=4)
    list(shop.observe(START))
    for name in names:
        assert act(shop, name) is ReceiptStatus.SUCCEEDED
    return float(
        np.mean([each.value for each in shop.observe(LATER) if isinstance(each, Sample) and each.metric == RESPONSE])
    )


def test_only_more_workers_make_answers_faster() -> None:
    alone = mean_after()
    assert mean_after("add_workers") < alone - 30
    assert mean_after("clear_cache") == alone
    assert mean_after("restart_workers") > alone + 10


def test_an_undo_takes_back_what_was_changed() -> None:
    shop = Shop(START, timedelta(hours=1), seed=4)
    assert act(shop, "add_workers") is ReceiptStatus.SUCCEEDED
    assert act(shop, "add_workers", undo_of="a-add_workers") is ReceiptStatus.SUCCEEDED
    untouched = Shop(START, timedelta(hours=1), seed=4)
    assert list(shop.observe(LATER)) == list(untouched.observe(LATER))


def test_it_refuses_what_it_does_not_know() -> None:
    assert act(Shop(START), "pray") is ReceiptStatus.FAILED


@pytest.mark.parametrize("metric", [ORDERS, RESPONSE, DISK])
def test_its_history_comes_first_and_every_metric_is_there(metric: str) -> None:
    seen = [each for each in Shop(START, timedelta(days=2)).observe(START) if isinstance(each, Sample)]
    times = [each.ts for each in seen if each.metric == metric]
    assert len(times) == 2 * 24 * 12
    assert times == sorted(times)
    assert times[-1] == START


def test_it_is_backed_up_every_night_at_about_two() -> None:
    seen = [each for each in Shop(START, timedelta(days=6)).observe(START) if isinstance(each, Event)]
    assert {each.event_type for each in seen} == {BACKUP}
    assert len(seen) == 6
    assert {each.ts.hour for each in seen if each.ts} == {2}


def test_the_configuration_declares_what_the_shop_can_do() -> None:
    import tomllib

    from handlers.worlds.shop import CONFIGURATION

    assert set(tomllib.loads(CONFIGURATION.read_text())["actions"]) == set(INFLUENCES)
