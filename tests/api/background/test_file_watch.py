"""The database file of a running process: deleted it is written anew, and a fatal error ends the process."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from api.background.file_watch import FileWatch
from storage import Store, TransientError, open_store, own_store
from storage.engine.damage import damage_mark
from storage.engine.local import LocalEngine
from storage.records import Sample

NOW = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "f.duckdb"


@pytest.fixture
def owned(database: Path) -> Iterator[Store]:
    with own_store(database) as store:
        store.samples.append([Sample(metric="m", value=1.0, ts=NOW)])
        yield store


def watch_of(store: Store, database: Path) -> tuple[FileWatch, list[str]]:
    ended: list[str] = []
    assert isinstance(store.engine, LocalEngine)
    return FileWatch(store.engine, database, lambda: ended.append("ended")), ended


def values(database: Path) -> list[float]:
    with open_store(database) as store:
        return [value for (value,) in store.engine.rows("SELECT value FROM samples")]


def test_a_file_that_lies_where_it_was_is_left_alone(owned: Store, database: Path) -> None:
    watch, ended = watch_of(owned, database)
    watch.step()
    assert not ended
    owned.probe_write()


def test_a_file_that_was_deleted_is_written_anew_with_all_that_was_acknowledged(owned: Store, database: Path) -> None:
    watch, ended = watch_of(owned, database)
    database.unlink()
    owned.samples.append([Sample(metric="m", value=2.0, ts=NOW)])
    watch.step()
    watch.step()
    assert ended == ["ended"]
    with pytest.raises(TransientError):
        owned.samples.append([Sample(metric="m", value=3.0, ts=NOW)])
    owned.close()
    assert values(database) == [1.0, 2.0]


def test_a_file_that_was_put_in_its_place_is_not_overwritten(owned: Store, database: Path) -> None:
    watch, ended = watch_of(owned, database)
    database.unlink()
    database.write_bytes(b"somebody's")
    watch.step()
    assert (ended, database.read_bytes()) == (["ended"], b"somebody's")
    assert values(database.with_name("f.rescued.duckdb")) == [1.0]


@pytest.mark.parametrize(
    ("text", "is_damaged"), [("Corrupt database file: …", True), ("been invalidated because of", False)]
)
def test_a_fatal_error_ends_the_process_once_and_damage_is_marked(
    owned: Store, database: Path, text: str, is_damaged: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("threading.Thread.start", lambda thread: thread.run())
    watch, ended = watch_of(owned, database)
    watch.fatal(text)
    watch.fatal(text)
    assert (ended, damage_mark(database).exists()) == (["ended"], is_damaged)


def test_it_does_not_end_before_there_is_room_to_start_again(
    owned: Store, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("threading.Thread.start", lambda thread: thread.run())
    watch, ended = watch_of(owned, database)
    room, waited = iter([0, 0, 10**12]), []
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": next(room)}))
    monkeypatch.setattr("time.sleep", lambda _: waited.append(list(ended)))
    watch.fatal("No space left on device")
    assert (waited, ended) == ([[], []], ["ended"])
