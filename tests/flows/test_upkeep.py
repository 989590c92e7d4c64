"""What upkeep does once a day: what is too old goes, and the audit trail stays whole."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from flows.upkeep import MOST_PAGES, look_after
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


def test_the_newest_pages_of_backtests_are_kept_and_what_else_lies_there(tmp_path: Path) -> None:
    reports, settings = tmp_path / "reports", load_settings(tmp_path, home=tmp_path)
    reports.mkdir()
    (reports / "mine.html").touch()
    for number in range(MOST_PAGES + 3):
        for page in (reports / f"backtest-{number}.html", reports / f"review-{number}.json"):
            page.touch()
            os.utime(page, (number, number))
    with open_store(tmp_path / "foreact.duckdb", lambda: BEGIN) as store:
        assert look_after(store, settings, BEGIN)["pages_removed"] == 6
        assert look_after(store, settings, BEGIN)["pages_removed"] == 0
    kept = {page.name for page in reports.iterdir()}
    assert kept >= {"mine.html", "backtest-3.html", f"backtest-{MOST_PAGES + 2}.html", "review-3.json"}
    assert len(kept) == 2 * MOST_PAGES + 1
