"""The files source pulls what is new in many files, and opens none that was not written since."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from handlers import discover_sources
from storage.errors import ForeactError
from storage.records import Sample
from tests.handlers.sources.test_prometheus import samples_of

PULL = discover_sources()["files"].pull
DAY = datetime(2026, 3, 1, tzinfo=UTC)
END = datetime(2100, 1, 1, tzinfo=UTC)


def pull(path: Path | str, since: datetime | None = None, **options: Any) -> list[Sample]:
    return list(samples_of(PULL({"path": str(path), **options}, since, END)))


def write(path: Path, day: int, written: datetime) -> None:
    path.write_text(f"ts,value,host\n2026-03-0{day},{day},a\n")
    os.utime(path, (written.timestamp(), written.timestamp()))


def test_the_files_of_a_pattern_are_read(tmp_path: Path) -> None:
    for day in (1, 2):
        write(tmp_path / f"cpu-{day}.csv", day, DAY)
    found = pull(f"{tmp_path}/cpu-*.csv", metric="cpu", unit="ratio")
    first = Sample(metric="cpu", value=1, ts=DAY, labels={"host": "a"}, unit="ratio")
    assert found == [first, first.model_copy(update={"value": 2, "ts": DAY + timedelta(days=1)})]


def test_a_file_that_was_not_written_since_is_not_opened(tmp_path: Path) -> None:
    since = DAY + timedelta(days=1)
    write(tmp_path / "new.csv", 3, written=since + timedelta(days=1))
    (tmp_path / "old.csv").write_text("not to be read")
    os.utime(tmp_path / "old.csv", (DAY.timestamp(), DAY.timestamp()))
    assert [sample.value for sample in pull(f"{tmp_path}/*.csv", since)] == [3]
    with pytest.raises(ForeactError, match=r"old\.csv"):
        pull(f"{tmp_path}/*.csv")


def test_what_is_no_number_or_has_no_time_is_counted_and_told_once_the_rest_is_taken(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text("ts,value\n2026-03-01,1\nsoon,2\n2026-03-02,fast\n2026-03-03,\n")
    taken: list[Any] = []
    with pytest.raises(ForeactError, match=r"a\.csv has 2 values .* and so have 1 other files; the rest") as refusal:
        taken.extend(PULL({"path": f"{tmp_path}/*.csv"}, None, END))
    assert (refusal.value.code, [len(part) for part in taken]) == ("files_left_out", [1, 1])


def test_what_cannot_work_is_refused_with_the_remedy(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", 1, DAY)
    for options, code in (({"max_rows": 0}, "files_too_many_rows"), ({"timezone": "Mars"}, "files_timezone")):
        with pytest.raises(ForeactError) as refusal:
            pull(tmp_path / "a.csv", **options)
        assert (refusal.value.code, bool(refusal.value.remedy)) == (code, True)
    with pytest.raises(ForeactError, match="no file"):
        pull(tmp_path / "none.csv")
