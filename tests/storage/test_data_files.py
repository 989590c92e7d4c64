"""Files are read in every form that people keep series in; what cannot be read is told with the file's name."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from storage import Store
from storage.engine.protocol import connect
from storage.errors import ForeactError
from storage.files.data_files import FileLayout, read_series
from storage.records import series_key

DAY = datetime(2026, 3, 1, tzinfo=UTC)


def points(path: Path | str, layout: FileLayout | None = None, **span: datetime) -> list[tuple[str, float, float]]:
    """Return series, days since DAY, and value, of every point."""
    found = read_series(str(path), layout or FileLayout(), **span)
    columns = zip(found.places.tolist(), found.moments_us.tolist(), found.values.tolist(), strict=True)
    return sorted(
        (series_key(*found.identities[place]), (at_us / 1e6 - DAY.timestamp()) / 86_400, value)
        for place, at_us, value in columns
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "orders.csv"


@pytest.mark.parametrize(
    "text",
    [
        "timestamp,value\n2026-03-01T00:00:00Z,1.5\n",
        "value;date\n1.5;2026-03-01\n",
        "ts\tvalue\r\n1772323200\t1.5\r\n",
        "\ufefftime,value\n1772323200000,1.5\n\n",
        "timestamp,value\n2026-03-01T01:00:00+01:00, 1.5",
        "date,value\n20260301,1.5",
        "ts,metric,value\n2026-03-01,orders,1.5\n",
        "ts,orders\n2026-03-01,1.5\n2026-03-02,\n2026-03-03,NaN\n",
    ],
)
def test_the_usual_forms_of_a_series_are_understood(path: Path, text: str) -> None:
    path.write_text(text)
    assert points(path) == [("orders", 0, 1.5)]


def test_columns_of_numbers_are_metrics_and_columns_of_text_are_labels(path: Path) -> None:
    path.write_text("ts,cpu,load,host,zone\n2026-03-01,0.5,7,a,\n2026-03-02,0.6,,b,eu\n")
    expected = [('cpu{host="a"}', 0, 0.5), ('cpu{host="b",zone="eu"}', 1, 0.6), ('load{host="a"}', 0, 7)]
    assert points(path) == expected
    named = FileLayout(value_columns=["cpu"], label_columns=["zone"], metric="used")
    assert points(path, named) == [("used", 0, 0.5), ('used{zone="eu"}', 1, 0.6)]


def test_the_long_form_takes_metric_and_labels_from_its_columns(path: Path) -> None:
    path.write_text('ts,metric,value,labels\n2026-03-01,a,1,"{""x"": 5}"\n2026-03-02,b,2,\n')
    assert points(path) == [('a{x="5"}', 0, 1), ("b", 1, 2)]


def test_other_columns_of_a_long_file_are_labels_numbers_too_and_its_unit_is_the_unit(path: Path) -> None:
    path.write_text("ts,metric,value,port,unit\n2026-03-01,a,1,80,ms\n2026-03-01,a,2,81,ms\n2026-03-01,b,3,,\n")
    assert points(path) == [('a{port="80"}', 0, 1), ('a{port="81"}', 0, 2), ("b", 0, 3)]
    (part,) = read_series(str(path), FileLayout()).in_parts()
    assert sorted((info.series, info.unit) for info in part.series.values()) == [
        ('a{port="80"}', "ms"),
        ('a{port="81"}', "ms"),
        ("b", ""),
    ]


@pytest.mark.parametrize("row", ["2026-03-02,,5,", "2026-03-02,b,5,{x", f"2026-03-02,{'n' * 201},5,", "soon,b,5,"])
def test_a_row_that_cannot_be_used_is_named_and_the_others_are_read(path: Path, row: str) -> None:
    path.write_text(f"ts,metric,value,labels\n2026-03-01,a,1,\n{row}\n2026-03-03,a,3,\n")
    assert points(path) == [("a", 0, 1), ("a", 2, 3)]
    found = read_series(str(path), FileLayout())
    assert (found.left_out, found.first_left_out) == (1, (f"row 2: 5 at {row[: row.index(',')]}",))


NIGHT = [f"2025-10-26 {hour}:{minute:02d}" for hour in ("01", "02", "02", "03") for minute in (0, 30)]


@pytest.mark.parametrize("is_backward", [False, True])
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_the_hour_that_a_clock_shows_twice_is_told_apart_by_the_order_of_rows(
    tmp_path: Path, kind: str, is_backward: bool
) -> None:
    rows = [f"{at},{place + shift},{host}" for place, at in enumerate(NIGHT) for shift, host in ((0, "a"), (9, "b"))]
    text = tmp_path / "night.csv"
    text.write_text("\n".join(["ts,cpu,host", *(reversed(rows) if is_backward else rows)]))
    with connect(":memory:") as connection:
        connection.execute(f"COPY (SELECT * FROM read_csv('{text}')) TO '{tmp_path}/night.parquet'")
    found = read_series(f"{tmp_path}/night.{kind}", FileLayout(timezone="Europe/Berlin"))
    start = datetime(2025, 10, 25, 23, tzinfo=UTC).timestamp()
    for host, shift in (("a", 0), ("b", 9)):
        (place,) = [n for n, (_, labels) in enumerate(found.identities) if labels == {"host": host}]
        mine = found.where(found.places == place)
        by_time = mine.where(np.argsort(mine.moments_us))
        assert by_time.values.tolist() == [n + shift for n in range(8)]
        assert (by_time.moments_us / 1e6).tolist() == [start + 1_800 * n for n in range(8)]
    assert found.clock == ""


def test_an_hour_that_may_be_either_or_that_never_was_is_told(path: Path) -> None:
    path.write_text("ts,cpu\n2025-10-26 01:30,1\n2025-10-26 02:30,2\n2026-03-29 02:10,3\n2026-03-29T02:10Z,4\n")
    clock = read_series(str(path), FileLayout(timezone="Europe/Berlin")).clock
    assert "1 times lie in the hour that the clock of Europe/Berlin shows twice" in clock
    assert "1 times do not exist" in clock


def test_times_without_a_zone_lie_in_the_zone_given(path: Path) -> None:
    path.write_text("ts,value\n2026-07-01T02:00:00,1\n2026-07-01T02:00:00Z,2\n")
    berlin, utc = (
        sorted(day for _, day, _ in points(path, FileLayout(timezone=zone))) for zone in ("Europe/Berlin", "UTC")
    )
    assert berlin == [122, 122 + 2 / 24]
    assert utc == [122 + 2 / 24] * 2


@pytest.mark.parametrize("kind", ["TIMESTAMPTZ", "TIMESTAMP", "DATE", "BIGINT"])
def test_parquet_files_keep_their_types(tmp_path: Path, kind: str) -> None:
    for day in (1, 2):
        told = (
            str(int((DAY + timedelta(days=day)).timestamp())) if kind == "BIGINT" else f"'2026-03-0{day + 1} 00:00:00'"
        )
        with connect(":memory:") as connection:
            connection.execute(
                f"COPY (SELECT CAST({told} AS {kind}) AS ts, 'a' AS host, {day}::DECIMAL(9, 2) AS value)"
                f" TO '{tmp_path}/part-{day}.parquet'"
            )
    assert [row[1:] for row in points(f"{tmp_path}/*.parquet")] == [(1, 1), (2, 2)]


def test_only_what_came_after_since_and_not_after_until_is_given(path: Path) -> None:
    path.write_text("ts,value\n" + "".join(f"2026-03-0{day},{day}\n" for day in range(1, 8)))
    found = points(path, since=DAY + timedelta(days=1), until=DAY + timedelta(days=4))
    assert [value for _, _, value in found] == [3, 4, 5]


def test_what_has_no_time_or_is_no_number_is_counted_and_what_is_empty_is_not(path: Path) -> None:
    path.write_text("ts,value\n2026-03-01,1\nsoon,2\n2026-03-02,much\n2026-03-03,inf\n2026-03-04,\n2026-03-05,n/a\n")
    found = read_series(str(path), FileLayout())
    assert (len(found), found.left_out) == (1, 3)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "cannot be read"),
        ("ts,value\n", "it is empty"),
        ("when,value\n2026-03-01,1\n", "no column named timestamp"),
        ("ts,value\nsoon,1\n", "none of its times can be read, such as 'soon'"),
        ("ts,text\n2026-03-01,a\n", "no column of numbers"),
        ("ts,metric,value\n2026-03-01,,1\n", "no row names a metric"),
        ('ts,metric,value,labels\n2026-03-01,a,1,"{x"\n', "labels that are a JSON object"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(path: Path, text: str, why: str) -> None:
    path.write_text(text)
    with pytest.raises(ForeactError) as refusal:
        read_series(str(path), FileLayout())
    assert (refusal.value.code, str(path) in refusal.value.message, why in refusal.value.message) == (
        "file_unusable",
        True,
        True,
    ), refusal.value.message


def test_a_file_that_is_no_parquet_or_not_there_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and then nothing")
    for name in ("a.parquet", "none.csv"):
        with pytest.raises(ForeactError, match=name):
            read_series(str(tmp_path / name), FileLayout())


def test_a_column_that_is_named_but_not_there_is_refused(path: Path) -> None:
    path.write_text("ts,value\n2026-03-01,1\n")
    with pytest.raises(ForeactError, match="no column 'cpu'; it has ts, value"):
        read_series(str(path), FileLayout(value_columns=["cpu"]))


@hypothesis_settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 4_000_000), st.floats(-1e12, 1e12)), min_size=1, max_size=30))
def test_what_is_written_is_what_is_read(path: Path, rows: list[tuple[int, float]]) -> None:
    path.write_text("ts,value\n" + "".join(f"{(DAY + timedelta(seconds=s)).isoformat()},{v!r}\n" for s, v in rows))
    assert [row[2] for row in points(path)] == [v for _, v in sorted(rows)]
    assert [row[1] * 86_400 for row in points(path)] == pytest.approx(sorted(s for s, _ in rows), abs=1e-3)


def test_series_in_columns_are_recorded_as_samples_are(store: Store, path: Path) -> None:
    path.write_text("ts,cpu,host\n2026-03-01,0.5,a\n2026-03-02,0.6,b\nnever,0.7,c\n")
    (part,) = read_series(str(path), FileLayout()).in_parts(unit="ratio")
    assert store.samples.append_columns(part) == 2
    assert store.samples.latest(DAY - timedelta(days=1)) == {
        'cpu{host="a"}': (DAY, 0.5),
        'cpu{host="b"}': (DAY + timedelta(days=1), 0.6),
    }
    assert [(info.series, info.unit) for info in store.samples.known()] == [
        ('cpu{host="a"}', "ratio"),
        ('cpu{host="b"}', "ratio"),
    ]
