"""The process that owns the file does not keep all of it in memory."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from storage import open_store, own_store
from storage.engine import local
from storage.engine.local import LET_GO_EVERY_S, LocalEngine, limit_that_lets_go
from storage.engine.protocol import Engine


def test_what_was_read_of_the_file_is_let_go_and_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "KEPT_BYTES", 12_000_000)
    with own_store(tmp_path / "foreact.duckdb") as store:
        engine = store.engine
        assert isinstance(engine, LocalEngine)
        engine.rows("CREATE TABLE kept AS SELECT random() AS value FROM range(2_000_000)")
        engine.rows("CHECKPOINT")

        def held_bytes() -> int:
            sql = "SELECT sum(memory_usage_bytes)::BIGINT FROM duckdb_memory() WHERE tag = 'BASE_TABLE'"
            return int(engine.rows(sql)[0][0])

        # A list is in memory as a whole: it cannot be put on disk, and takes more than is kept of the file.
        ask = ("SELECT sum(hash(value)) FROM kept", "SELECT len(list(value)) FROM kept")
        before = [engine.rows(sql) for sql in ask]
        assert held_bytes() > 14e6
        limits = set()
        for _ in range(3):
            engine.let_go()
            assert held_bytes() < 12e6
            assert [engine.rows(sql) for sql in ask] == before
            limits.add(engine.rows("SELECT current_setting('memory_limit')")[0])
        assert len(limits) == 1, "it does not become less each time"


@pytest.mark.parametrize(
    ("held_mb", "limit_mb"),
    [
        ({"BASE_TABLE": 300, "ART_INDEX": 40, "IN_MEMORY_TABLE": 30}, 16 + 70),
        ({"BASE_TABLE": 300, "ART_INDEX": 40, "HASH_TABLE": 1}, None),
        ({"BASE_TABLE": 15, "ART_INDEX": 200}, None),
        ({}, None),
    ],
)
def test_a_limit_leaves_room_beside_what_cannot_be_let_go(held_mb: dict[str, int], limit_mb: int | None) -> None:
    limit_bytes = limit_that_lets_go({tag: mb * 10**6 for tag, mb in held_mb.items()})
    assert limit_bytes == (None if limit_mb is None else limit_mb * 10**6)


def test_who_asks_while_memory_is_let_go_is_answered(tmp_path: Path) -> None:
    file = tmp_path / "foreact.duckdb"
    with own_store(file) as store:
        engine, is_over, troubles = store.engine, threading.Event(), list[Exception]()
        assert isinstance(engine, LocalEngine)
        engine.rows("CREATE TABLE kept AS SELECT random() AS value FROM range(14_000_000)")
        engine.rows("CHECKPOINT")

        def ask(asked: Engine) -> None:
            try:
                for _ in range(6):
                    asked.rows("SELECT len(list(value)) FROM kept WHERE value < 0.3")
                    time.sleep(0.02)
            except Exception as trouble:
                troubles.append(trouble)
            finally:
                is_over.set()

        with open_store(file) as elsewhere:
            for asked in (engine, elsewhere.engine):
                is_over.clear()
                threading.Thread(target=ask, args=(asked,)).start()
                while not is_over.wait(LET_GO_EVERY_S / 20):
                    engine.let_go()
        assert troubles == []
