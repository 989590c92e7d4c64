"""Whether a turn is still needed once those before it have ended."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from storage import Store
from storage.records import Cycle

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def minute(number: float) -> datetime:
    return NOON + timedelta(minutes=number)


def ran(store: Store, began: float, ended: float | None, agent: str = "foreact") -> None:
    """Record a turn that began at one minute past noon, and ended at another, or not at all."""
    cycle_id = f"{agent}-{began}"
    store.cycles.begin(
        Cycle(
            cycle_id=cycle_id,
            agent=agent,
            tick=minute(began),
            kind="cycle",
            autonomous=True,
            configuration_hash="",
            code_version="",
            seed=0,
        )
    )
    if ended is not None:
        store.cycles.stages_done(cycle_id, [("learn", minute(ended), 1.0, {})])


@pytest.mark.parametrize(
    ("began", "ended", "scheduled", "asked"),
    [
        (0, 4, False, False),  # over before
        (0, 6, True, False),  # was under way
        (6, 7, True, True),  # began later
        (6, None, False, False),  # began later and ended nowhere
        (60, 61, False, False),  # dated ahead by a clock that was wrong
    ],
)
def test_a_turn_is_needless_where_another_one_has_done_its_work(
    store: Store, began: float, ended: float | None, scheduled: bool, asked: bool
) -> None:
    ran(store, began, ended)
    for under_way_too, needless in ((True, scheduled), (False, asked)):
        found = store.cycles.covering("foreact", "cycle", minute(5), minute(10), under_way_too=under_way_too)
        assert found == (minute(began) if needless else None)


def test_neither_a_turn_itself_nor_another_kind_nor_another_agent_makes_it_needless(store: Store) -> None:
    ran(store, 5, 8)
    ran(store, 6, 8, agent="other")
    assert store.cycles.covering("foreact", "cycle", minute(5), minute(10), under_way_too=True) is None
    assert store.cycles.covering("foreact", "tend", minute(4), minute(10), under_way_too=True) is None
