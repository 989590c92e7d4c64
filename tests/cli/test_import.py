"""`foreact import` reads times without a zone by the clock of the one that is named."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from cli.history_file import bring_in
from storage import open_store
from storage.files.local_times import LocalTimes

ROWS = [f"2025-10-26 {hour}:{minute:02d}:00" for hour in ("01", "02", "02", "03") for minute in (0, 30)]


def test_an_imported_night_of_a_clock_change_holds_the_doubled_hour_twice(tmp_path: Path) -> None:
    file = tmp_path / "night.csv"
    file.write_text("\n".join(["ts,cpu,memory", *(f"{row},{place},{-place}" for place, row in enumerate(ROWS))]))
    times = LocalTimes(ZoneInfo("Europe/Berlin"))
    with open_store(":memory:", clock=lambda: datetime(2026, 1, 1, tzinfo=UTC)) as store:
        done = bring_in(store, file, times=times)
        assert (done.recorded, done.left_out, len(done.series)) == (16, 0, 2)
        night = store.samples.columns(datetime(2025, 10, 25, tzinfo=UTC), datetime(2025, 10, 27, tzinfo=UTC), ["cpu"])
        assert len(np.unique(night["ts"])) == len(ROWS)
    assert times.told() == ""
