"""The CSV source reads what people have, and names the line where it cannot."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers import discover_sources
from storage.errors import ForeactError
from storage.files.data_files import METRIC_NAMES, FileLayout, read_series
from storage.records import Sample

PULL = discover_sources()["csv_file"].pull
END = datetime(2100, 1, 1, tzinfo=UTC)
DAY = datetime(2026, 3, 1, tzinfo=UTC)


def read(path: Path, text: str | bytes, since: datetime | None = None, until: datetime = END, **options: Any) -> Any:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return list(PULL({"path": str(path), **options}, since, until))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "orders.csv"


@pytest.mark.parametrize(
    "text",
    [
        "timestamp,value\n2026-03-01T00:00:00Z,1.5\n",
        "2026-03-01 00:00:00,1.5\n",
        "value;date\n1.5;2026-03-01\n",
        "ts\tvalue\r\n1772323200\t1.5\r\n",
        "\ufefftime,value\n1772323200000,1.5\n\n",
        "timestamp,value\n2026-03-01T01:00:00+01:00,1.5",
        "date,value\n20260301,1.5",
    ],
)
def test_the_usual_forms_of_a_series_are_understood(path: Path, text: str) -> None:
    assert read(path, text) == [Sample(metric="orders", value=1.5, ts=DAY)]


def test_times_without_a_zone_lie_in_the_zone_given(path: Path) -> None:
    summer = "timestamp,value\n2026-07-01T02:00:00,1\n"
    assert read(path, summer, timezone="Europe/Berlin")[0].ts == datetime(2026, 7, 1, tzinfo=UTC)


def by_the_clock(since: datetime, hours: int, *, is_backward: bool = False) -> tuple[str, list[datetime]]:
    """A file of what the clock in Berlin shows every quarter of an hour, and the moments that it means."""
    zone = ZoneInfo("Europe/Berlin")
    moments = [since + timedelta(minutes=15 * step) for step in range(4 * hours)]
    moments = moments[::-1] if is_backward else moments
    rows = [f"{moment.astimezone(zone).replace(tzinfo=None).isoformat()},1" for moment in moments]
    return "\n".join(["timestamp,value", *rows]), moments


@pytest.mark.parametrize("is_backward", [False, True])
@pytest.mark.parametrize("since", [datetime(2026, 10, 24, 22, tzinfo=UTC), datetime(2026, 3, 28, 22, tzinfo=UTC)])
def test_the_hour_that_a_clock_shows_twice_is_told_apart_by_the_order_of_rows(
    path: Path, since: datetime, is_backward: bool, caplog: pytest.LogCaptureFixture
) -> None:
    text, moments = by_the_clock(since, 8, is_backward=is_backward)
    assert [sample.ts for sample in read(path, text, timezone="Europe/Berlin")] == moments
    assert not caplog.records


def test_a_doubled_hour_seen_once_and_a_time_that_no_clock_showed_are_said(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = "timestamp,value\n2026-03-29T02:30:00,1\n2026-10-25T02:30:00,2\n"
    samples = read(path, text, timezone="Europe/Berlin")
    assert [sample.ts.hour for sample in samples] == [1, 0]
    assert "1 times lie in the hour" in caplog.text
    assert "1 times do not exist" in caplog.text


def test_two_series_in_one_file_each_keep_their_own_place_in_the_doubled_hour(path: Path) -> None:
    text, moments = by_the_clock(datetime(2026, 10, 24, 22, tzinfo=UTC), 6)
    rows = [f"{row.split(',')[0]},{host},1" for host in ("a", "b") for row in text.splitlines()[1:]]
    text = "\n".join(["timestamp,host,value", *rows])
    samples = read(path, text, timezone="Europe/Berlin", label_columns=["host"])
    assert [sample.ts for sample in samples] == moments * 2


def test_each_column_of_a_wide_table_is_a_metric_and_gaps_are_no_samples(path: Path) -> None:
    samples = read(path, "time,cpu,memory\n2026-03-01,0.5,\n2026-03-02,NaN,7\n")
    assert [(sample.metric, sample.value) for sample in samples] == [("cpu", 0.5), ("memory", 7.0)]


def test_a_long_table_names_metric_and_labels_by_column(path: Path) -> None:
    text = "time,metric,host,value\n2026-03-01,cpu,a,1\n2026-03-01,load,b,2\n"
    samples = read(path, text, label_columns=["host"], unit="ratio")
    assert [sample.series for sample in samples] == ['cpu{host="a"}', 'load{host="b"}']
    assert {sample.unit for sample in samples} == {"ratio"}


@pytest.mark.parametrize("column", METRIC_NAMES)
def test_every_reader_of_files_takes_the_same_columns_for_the_name_of_the_metric(path: Path, column: str) -> None:
    text = f"ts,{column},value\n2026-03-01T00:00:00Z,cpu,1.5\n2026-03-01T00:00:00Z,memory,2\n"
    assert {sample.series: sample.value for sample in read(path, text)} == {"cpu": 1.5, "memory": 2.0}
    columns = read_series(str(path), FileLayout())
    assert {metric for metric, _ in columns.identities} == {"cpu", "memory"}


def test_columns_and_the_metric_can_be_named(path: Path) -> None:
    samples = read(path, "a,b,c\n1,2026-03-01,9\n", time_column="b", value_columns=["c"], metric="latency_s")
    assert [(sample.metric, sample.value, sample.ts) for sample in samples] == [("latency_s", 9.0, DAY)]


def test_only_what_came_after_since_and_not_after_until_is_given(path: Path) -> None:
    text = "".join(f"2026-03-0{day},{day}\n" for day in range(1, 8))
    samples = read(path, text, since=DAY + timedelta(days=1), until=DAY + timedelta(days=4))
    assert [sample.value for sample in samples] == [3, 4, 5]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("time,value\n2026-03-01,1\nyesterday,2\n", "Line 3 .*'yesterday' is not a time"),
        ("time,value\n2026-03-01,much\n", "Line 2 .*'much'"),
        ("time,value\n2026-03-01,inf\n", "Line 2 .*not a finite number"),
        ("time,value\n2026-03-01\n", "Line 2"),
        ("time,value\n1e300,1\n", "Line 2"),
        ("", "is empty"),
        ("value\n1\n", "one column only"),
        (b"time,value\n2026-03-01,\xff\n", "not UTF-8"),
        ('time,value\n2026-03-01,"' + "x" * 200_000, "not valid CSV"),
    ],
)
def test_a_row_that_cannot_be_read_is_refused_with_its_line(path: Path, text: str | bytes, words: str) -> None:
    with pytest.raises(ForeactError, match=words) as refusal:
        read(path, text)
    assert refusal.value.remedy


def test_rows_that_cannot_be_read_are_skipped_where_that_is_wanted(path: Path) -> None:
    text = "time,value\nnever,1\n2026-03-01,many\n2026-03-01,3\n"
    assert [sample.value for sample in read(path, text, on_bad_row="skip")] == [3]


@pytest.mark.parametrize(
    "options", [{"time_column": "when"}, {"value_columns": ["x"]}, {"label_columns": ["x"]}, {"timezone": "Mars/Base"}]
)
def test_options_that_do_not_fit_the_file_are_refused(path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ForeactError, match=r"no column|no time zone"):
        read(path, "time,value\n2026-03-01,1\n", **options)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ForeactError, match="cannot be read"):
        list(PULL({"path": str(tmp_path / "none.csv")}, None, END))
    with pytest.raises(ForeactError, match="cannot be read"):
        list(PULL({}, None, END))


moments = st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(st.lists(st.tuples(moments, st.floats(allow_nan=False, allow_infinity=False)), min_size=1, max_size=20))
def test_what_is_written_is_what_is_read(tmp_path_factory: pytest.TempPathFactory, rows: Any) -> None:
    path = tmp_path_factory.mktemp("csv") / "m.csv"
    text = "timestamp,value\n" + "".join(f"{ts.isoformat()},{value!r}\n" for ts, value in rows)
    assert [(sample.ts, sample.value) for sample in read(path, text)] == rows
