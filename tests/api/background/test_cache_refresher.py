"""A facade that serves its file answers from memory, and still sees what it and others write."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from api.background.cache_refresher import ASKED_FOR_S, CacheRefresher
from api.dashboard import page_data
from api.facade import Facade
from api.probes import readyz
from settings import Settings
from storage import Store, open_store, own_store
from storage.engine import local, query_cache
from storage.facts import CONSIDERED
from tests.api import worlds
from tests.api.conftest import RecordingTrigger


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[Store]:
    with own_store(tmp_path / "a.duckdb") as store:
        yield store


@pytest.fixture
def facade(settings: Settings, owner: Store, tick: datetime) -> Facade:
    return Facade(settings, owner, RecordingTrigger(), lambda: tick, tick)


def count_of_reads(store: Store, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    read: list[str] = []
    rows = store.engine.rows
    monkeypatch.setattr(store.engine, "rows", lambda sql, params=None: read.append(sql) or rows(sql, params))
    return read


def test_what_did_not_change_is_not_read_again(facade: Facade, owner: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    CacheRefresher(facade).step()
    owner.goals.counts()
    read = count_of_reads(owner, monkeypatch)
    assert owner.goals.counts() == {}
    assert read == []


def test_readiness_is_asked_of_the_database_itself(
    facade: Facade, owner: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    CacheRefresher(facade).step()
    readyz(facade)
    read = count_of_reads(owner, monkeypatch)
    readyz(facade)
    assert [sql.partition(" ")[0] for sql in read] == ["SELECT", "INSERT"]


def test_a_row_of_ones_own_is_seen_at_once(facade: Facade, owner: Store) -> None:
    CacheRefresher(facade).step()
    assert owner.facts.get(CONSIDERED) is None
    owner.facts.set(CONSIDERED, 1)
    assert owner.facts.get(CONSIDERED) == 1


def test_a_row_of_another_process_is_seen_at_the_next_look(facade: Facade, owner: Store, tmp_path: Path) -> None:
    refresher = CacheRefresher(facade)
    refresher.step()
    with open_store(tmp_path / "a.duckdb") as other:
        assert owner.facts.get(CONSIDERED) is None
        other.facts.set(CONSIDERED, 1)
        refresher.step()
        assert owner.facts.get(CONSIDERED) == 1


def test_what_is_asked_for_was_read_before_the_new_state_is_shown(
    facade: Facade, owner: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refresher = CacheRefresher(facade)
    refresher.step()
    owner.facts.get(CONSIDERED)
    with open_store(tmp_path / "a.duckdb") as other:
        other.facts.set(CONSIDERED, 1)
    refresher.step()
    read = count_of_reads(owner, monkeypatch)
    assert owner.facts.get(CONSIDERED) == 1
    assert read == []


def test_charts_are_drawn_at_a_steady_pace_however_often_something_is_recorded(
    facade: Facade, owner: Store, tick: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However slow this machine is, no five seconds end between the two looks, and what was looked at holds meanwhile.
    monkeypatch.setattr(query_cache, "TICK_S", 1e9)
    monkeypatch.setattr(local, "LOOK_HOLDS_S", 1e9)
    worlds.samples(owner, tick)
    refresher = CacheRefresher(facade)
    refresher.step()
    first = page_data.page_charts(facade).charts
    worlds.a_turn(owner, tick)
    refresher.step()
    assert page_data.Page(facade).predictions.cycle_id is not None
    assert page_data.page_charts(facade).charts is first
    monkeypatch.setattr(query_cache, "TICK_S", 1e-3)
    refresher.step()
    assert page_data.page_charts(facade).charts is not first


def test_nobody_looks_while_nobody_asks(facade: Facade, owner: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    facade.visits.newest_s -= ASKED_FOR_S
    read = count_of_reads(owner, monkeypatch)
    CacheRefresher(facade).step()
    assert read == []
