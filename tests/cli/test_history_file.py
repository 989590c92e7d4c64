"""History from a file: nothing of it is mixed up, and what became of every row is told, row by row or in bulk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cli.bulk_history import bring_in_bulk
from cli.history_file import Imported, bring_in
from storage import Store, open_store
from storage.errors import ForeactError
from tests.tasks.forecast.loop import START

LONG = "ts,metric,value"


Import = Callable[[Store, Path, str], Imported]


@pytest.fixture(params=[bring_in, bring_in_bulk])
def imported(request: pytest.FixtureRequest) -> Import:
    """Small files are read row by row, large ones as columns: what becomes of them is the same."""

    def write_and_import(store: Store, folder: Path, text: str) -> Imported:
        file = folder / "history.csv"
        file.write_text(text)
        done: Imported = request.param(store, file)
        return done

    return write_and_import


def recorded(store: Store) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    columns = store.samples.columns(START.replace(year=2000), START.replace(year=2100))
    for series, value in zip(columns["series"], columns["value"], strict=True):
        found.setdefault(str(series), []).append(float(value))
    return found


def test_other_columns_of_a_long_file_are_labels(store: Store, tmp_path: Path, imported: Import) -> None:
    rows = "2026-03-01 00:00,cpu,1,a,\n2026-03-01 00:00,cpu,2,b,eu\n"
    told = imported(store, tmp_path, f"{LONG},host,region\n{rows}")
    assert recorded(store) == {'cpu{host="a"}': [1.0], 'cpu{host="b",region="eu"}': [2.0]}
    assert (told.recorded, told.replaced, told.labels) == (2, 0, ("host", "region"))


def test_a_column_of_numbers_in_a_long_file_is_a_label_and_its_unit_is_the_unit(
    store: Store, tmp_path: Path, imported: Import
) -> None:
    rows = "2026-03-01 00:00,cpu,1,80,ratio\n2026-03-01 00:00,cpu,2,81,ratio\n"
    told = imported(store, tmp_path, f"{LONG},port,unit\n{rows}")
    assert recorded(store) == {'cpu{port="80"}': [1.0], 'cpu{port="81"}': [2.0]}
    assert (told.recorded, told.replaced, told.labels) == (2, 0, ("port",))
    assert {info.unit for info in store.samples.known()} == {"ratio"}


def test_labels_that_are_no_json_object_cost_their_row_alone(store: Store, tmp_path: Path, imported: Import) -> None:
    told = imported(store, tmp_path, f"{LONG},labels\n2026-03-01,cpu,1,\n2026-03-02,cpu,2,{{x\n")
    assert (recorded(store), told.left_out) == ({"cpu": [1.0]}, 1)


def test_values_that_collide_in_a_wide_file_without_zones_are_told_with_what_may_be_behind_it(
    store: Store, tmp_path: Path, imported: Import
) -> None:
    rows = "2026-03-01 00:00,1,80\n2026-03-01 00:00,2,81\n"
    told = imported(store, tmp_path, f"ts,cpu,port\n{rows}")
    assert told.replaced == 2
    assert "columns of numbers are metrics here" in told.sentence
    assert "--timezone says another" in told.sentence


def test_a_label_column_and_json_labels_go_together(store: Store, tmp_path: Path, imported: Import) -> None:
    imported(store, tmp_path, f'{LONG},labels,host\n2026-03-01,cpu,1,"{{""pod"": ""x""}}",a\n')
    assert recorded(store) == {'cpu{host="a",pod="x"}': [1.0]}


def test_a_column_without_numbers_is_a_label_of_a_wide_file(store: Store, tmp_path: Path, imported: Import) -> None:
    text = "ts,host,cpu,memory\n2026-03-01 00:00,a,1,10\n2026-03-01 00:00,b,2,\n"
    told = imported(store, tmp_path, text)
    assert recorded(store) == {'cpu{host="a"}': [1.0], 'cpu{host="b"}': [2.0], 'memory{host="a"}': [10.0]}
    assert (told.replaced, told.left_out) == (0, 0)


def test_a_column_without_a_name_says_nothing(store: Store, tmp_path: Path, imported: Import) -> None:
    imported(store, tmp_path, ",ts,cpu\n0,2026-03-01,1\n1,2026-03-02,2\n")
    assert recorded(store) == {"cpu": [1.0, 2.0]}


def test_rows_that_collide_are_counted_and_told(store: Store, tmp_path: Path, imported: Import) -> None:
    rows = "2026-03-01,cpu,1\n2026-03-01,cpu,2\n2026-03-01,cpu,2\n2026-03-02,cpu,3\n"
    told = imported(store, tmp_path, f"{LONG}\n{rows}")
    assert (told.recorded, told.replaced) == (2, 1)
    assert "1 came for a series and time that had another value" in told.sentence
    assert recorded(store) == {"cpu": [2.0, 3.0]}
    again = imported(store, tmp_path, f"{LONG}\n2026-03-02,cpu,4\n")
    assert (again.recorded, again.replaced) == (1, 1)


def test_importing_twice_changes_nothing_and_says_so(store: Store, tmp_path: Path, imported: Import) -> None:
    text = f"{LONG}\n2026-03-01,cpu,1\n2026-03-02,cpu,2\n"
    imported(store, tmp_path, text)
    told = imported(store, tmp_path, text)
    assert (told.recorded, told.known, told.replaced) == (0, 2, 0)
    assert recorded(store) == {"cpu": [1.0, 2.0]}


@pytest.mark.parametrize(
    "row",
    ["yesterday,cpu,5", "2026-03-01 01:00,cpu,many", "2100-01-01,cpu,5", "2026-03-01 01:00,c\x01pu,5", "2026-03-01,,5"],
)
def test_a_row_that_cannot_be_used_is_named_and_the_others_are_kept(
    store: Store, tmp_path: Path, imported: Import, row: str
) -> None:
    told = imported(store, tmp_path, f"{LONG}\n2026-03-01,cpu,1\n{row}\n2026-03-02,cpu,2\n")
    assert recorded(store) == {"cpu": [1.0, 2.0]}
    assert told.left_out == 1
    assert "line 3" in told.sentence or "row 2" in told.sentence
    assert told.sentence.isprintable()


def test_a_column_that_would_make_a_series_of_every_row_is_refused(
    store: Store, tmp_path: Path, imported: Import
) -> None:
    rows = "".join(f"2026-03-01 00:00:{n % 60:02d},cpu,1,request-{n}\n" for n in range(200))
    with pytest.raises(ForeactError, match="request_id"):
        imported(store, tmp_path, f"{LONG},request_id\n{rows}")
    assert recorded(store) == {}


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from("ab"), st.integers(0, 3)), min_size=1, max_size=30))
def test_every_row_is_recorded_known_replaced_or_repeated(
    tmp_path: Path, imported: Import, rows: list[tuple[int, str, int]]
) -> None:
    text = "".join(f"2026-03-01 00:0{minute},cpu,{value},{host}\n" for minute, host, value in rows)
    with open_store(":memory:") as store:
        told = imported(store, tmp_path, f"{LONG},host\n{text}")
        assert told.recorded == len({(minute, host) for minute, host, _ in rows})
        changes, last = 0, dict[tuple[int, str], int]()
        for minute, host, value in rows:
            changes += last.get((minute, host), value) != value
            last[minute, host] = value
        assert told.replaced == changes
        assert sorted(value for values in recorded(store).values() for value in values) == sorted(
            map(float, last.values())
        )
