"""The process that owns the file does not keep all of it in memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage import own_store
from storage.engine import local
from storage.engine.local import LocalEngine


def test_what_was_read_of_the_file_is_let_go_and_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "KEPT", "12MB")
    with own_store(tmp_path / "foreact.duckdb") as store:
        engine = store.engine
        assert isinstance(engine, LocalEngine)
        engine.rows("CREATE TABLE kept AS SELECT random() AS value FROM range(2_000_000)")
        engine.rows("CHECKPOINT")

        def held_bytes() -> int:
            sql = "SELECT sum(memory_usage_bytes)::BIGINT FROM duckdb_memory() WHERE tag = 'BASE_TABLE'"
            return int(engine.rows(sql)[0][0])

        ask = ("SELECT sum(hash(value)) FROM kept", "SELECT current_setting('memory_limit')")
        before = [engine.rows(sql) for sql in ask]
        assert held_bytes() > 14e6
        engine.let_go()
        assert held_bytes() < 12e6
        assert [engine.rows(sql) for sql in ask] == before
