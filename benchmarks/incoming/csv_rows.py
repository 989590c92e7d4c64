"""How long a large CSV file takes to be read and recorded: `python -m benchmarks.incoming.csv_rows`.

A file in long form, a row a minute and series, as a database exports it, is read by the `files` source and recorded in
a store in a folder of its own. The bar is 5 seconds for 1,000,000 rows; it ends with 1 above it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from handlers import discover_sources
from storage import Store, open_store
from storage.samples import SampleColumns

BAR_S = 5.0
FIRST = datetime(2026, 1, 1, tzinfo=UTC)


def main() -> int:
    """Measure and print; return 1 where the bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--series", type=int, default=100)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = write(Path(folder) / "rows.csv", options.rows, options.series)
        size_mb = file.stat().st_size / 1e6
        with open_store(Path(folder) / "rows.duckdb") as store:
            started_cpu_s = time.process_time()
            read_s, recorded_s, count = take(file, store)
            cpu_s = time.process_time() - started_cpu_s
    assert count == options.rows, f"{count:,} points were recorded"
    took_s = read_s + recorded_s
    told = f"{count:,} rows, {size_mb:.0f} MB: {read_s:.2f} s to read, {recorded_s:.2f} s to record"
    print(f"{told}, {cpu_s:.2f} s of processor time; bar {BAR_S:g} s")
    return int(took_s > BAR_S)


def write(file: Path, n_rows: int, n_series: int) -> Path:
    """Write rows of time, metric, value and a label, minute by minute."""
    minutes = range(-(-n_rows // n_series))
    rows = (
        f"{FIRST + timedelta(minutes=minute):%Y-%m-%dT%H:%M:%SZ},requests,{minute * 7 % 977 / 8},web-{number}"
        for minute in minutes
        for number in range(n_series)
    )
    with file.open("w") as opened:
        opened.write("ts,metric,value,instance\n")
        opened.writelines(f"{row}\n" for _, row in zip(range(n_rows), rows, strict=False))
    return file


def take(file: Path, store: Store) -> tuple[float, float, int]:
    """Read a file and record it; return the seconds of both and how many points there are."""
    pull = discover_sources()["files"].pull
    started_s = time.perf_counter()
    parts = list(pull({"path": str(file)}, None, FIRST + timedelta(days=3_650)))
    read_s = time.perf_counter() - started_s
    count = sum(store.samples.append_columns(each) for each in parts if isinstance(each, SampleColumns))
    return read_s, time.perf_counter() - started_s - read_s, count


if __name__ == "__main__":
    raise SystemExit(main())
