"""A large CSV file is read and recorded within its bar."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from benchmarks.incoming.csv_rows import BAR_S, take, write
from storage import open_store


@pytest.mark.slow
def test_a_quarter_of_a_million_rows_take_less_than_a_quarter_of_the_bar(tmp_path: Path) -> None:
    file = write(tmp_path / "rows.csv", 250_000, 100)
    with open_store(tmp_path / "rows.duckdb") as store:
        # Processor time: how long it takes depends on what else runs here.
        started_s = time.process_time()
        _, _, count = take(file, store)
        assert time.process_time() - started_s < BAR_S / 4
    assert count == 250_000
