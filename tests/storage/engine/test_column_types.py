"""The type of a column does not hang on which of its values are missing, nor on how many rows there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from storage import open_store
from storage.table import insert_of

MANY = 5_003
"""Of so many rows DuckDB looks at every second or fifth by default: what is told of one in between it never sees."""


def only_one(value: Any, missing: Any = None) -> list[Any]:
    return [value if row == MANY - 2 else missing for row in range(MANY)]


@pytest.mark.parametrize(
    ("type_", "column", "expected"),
    [
        ("VARCHAR", only_one("too short"), ["too short"]),
        ("VARCHAR", only_one(None), []),
        ("DOUBLE", only_one(0.25), [0.25]),
        ("DOUBLE", only_one(0.25, 1), [0.25]),
        ("FLOAT[]", only_one(np.array([0.5, 1.0], dtype=np.float32)), [[0.5, 1.0]]),
        ("FLOAT[]", only_one(np.array([0.5], dtype=np.float32), np.array([], dtype=np.float32)), [[0.5]]),
        ("VARCHAR[]", only_one(["a warning"], []), [["a warning"]]),
        ("BLOB", only_one(b"\x00\x01"), [b"\x00\x01"]),
    ],
)
def test_a_column_of_thousands_of_rows_keeps_the_one_value_that_it_has(
    type_: str, column: Sequence[Any], expected: list[Any]
) -> None:
    with open_store(":memory:") as store:
        store.engine.rows(f"CREATE TABLE probe (number BIGINT, told {type_})")
        store.engine.append("probe", {"number": list(range(MANY)), "told": column})
        found = store.engine.rows(f"SELECT told FROM probe WHERE number = {MANY - 2} AND told IS NOT NULL")
        assert [told for (told,) in found] == expected
        assert store.engine.rows("SELECT count(*) FROM probe") == [(MANY,)]


def test_a_list_of_whole_and_broken_numbers_is_written_as_broken_ones() -> None:
    with open_store(":memory:") as store:
        store.engine.rows("CREATE TABLE probe (told DOUBLE)")
        store.engine.rows(*insert_of("probe", {"told": [1, None, 2.5]}))
        assert store.engine.rows("SELECT told FROM probe ORDER BY told NULLS LAST") == [(1.0,), (2.5,), (None,)]
