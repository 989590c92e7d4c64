"""What every test may use: a store in memory and a fixed tick; and which files go first."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, settings

from storage import Store, open_store

# Facts are tested here, not the speed of the machine that tests them.
settings.register_profile("facts", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("facts")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let workers begin with the files that take minutes: whatever is begun last should soon be over."""
    if hasattr(config, "workerinput"):
        long = {mark: {item.path for item in items if item.get_closest_marker(mark)} for mark in ("e2e", "slow")}
        items.sort(key=lambda item: (item.path not in long["e2e"], item.path not in long["slow"]))


@pytest.fixture
def tick() -> datetime:
    return datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


@pytest.fixture
def store(tick: datetime) -> Iterator[Store]:
    with open_store(clock=lambda: tick) as opened:
        yield opened
