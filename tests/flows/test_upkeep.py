"""What upkeep does once a day: what is too old goes, and the audit trail stays whole."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from flows.upkeep import look_after
from settings import StorageSettings, load_settings
from storage import open_store
from storage.audit import archives_of

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_year_of_upkeep_archives_the_audit_trail_once_a_month(tmp_path: Path) -> None:
    settings = load_settings(tmp_path, home=tmp_path, storage=StorageSettings(records_days=60))
    database, now = tmp_path / "foreact.duckdb", [BEGIN]
    with open_store(database, lambda: now[0]) as store:
        for day in range(0, 365, 5):
            now[0] = BEGIN + timedelta(days=day)
            store.audit.append("loop", "acted", f"action-{day}")
            found = look_after(store, settings, now[0])
            assert found["broken_audit_line"] is None
        (oldest,) = store.engine.rows("SELECT min(written_at) FROM audit")[0]
        assert now[0] - oldest < timedelta(days=91)
        assert len(archives_of(database)) in range(9, 12)
        assert store.audit.check().lines == 73 + len(archives_of(database))
