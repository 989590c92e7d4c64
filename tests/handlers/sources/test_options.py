"""Whatever stands in an option, a source takes it or says in a sentence what is wrong with it."""

from __future__ import annotations

import contextlib
import json
import math
import sqlite3
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from handlers import SourceHandler, discover_sources
from handlers.contract.source_options import headers_in, option
from storage.errors import ForeactError, TransientError
from tests.handlers.conftest import TICK, Request, Server

SOURCES = discover_sources()
VALUES = ["1m", -1, math.nan, 1e300, True, [1], {1: "a"}, {"a": "\0"}, {"é": "x\n"}, "\0", "Europe", object()]
ADDRESSES = ["http://", "http://[::1", "http://a b", "http://h:port", "x://y"]


def answer(request: Request) -> tuple[int, str]:
    """Answer as an empty Prefect does to what is posted, as an empty Prometheus to the rest."""
    if request.method == "POST":
        return 200, "[]"
    return 200, json.dumps({"status": "success", "data": {"resultType": "matrix", "result": []}})


@pytest.fixture
def working(server: Server, tmp_path: Path) -> dict[str, dict[str, Any]]:
    """Return options with which each source gives something or nothing, but no trouble."""
    server.answer = answer
    (tmp_path / "x.csv").write_text(f"ts,value\n{TICK.isoformat()},1\n")
    with sqlite3.connect(tmp_path / "x.db"):
        pass
    return {
        "csv_file": {"path": f"{tmp_path}/x.csv"},
        "files": {"path": f"{tmp_path}/x.csv"},
        "host": {"pause_s": 0},
        "prefect_runs": {"api_url": f"{server.url}/api"},
        "prometheus": {"url": server.url, "queries": {"up": "up"}},
        "sql": {"url": f"sqlite:///{tmp_path}/x.db", "queries": {"one": "SELECT 1 AS value"}},
    }


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES.keys())
def test_no_value_of_an_option_is_more_than_a_refusal(
    source: SourceHandler, working: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handlers.support.prefect_reader.BUSY_PAUSES_S", ())
    given = working[source.name]
    assert refusal_of(source, given) is None
    for name in source.options:
        for value in [*VALUES, *(ADDRESSES if name.endswith(("url", "path")) else ())]:
            with contextlib.suppress(TransientError):
                said = refusal_of(source, {**given, name: value})
                assert said is None or (said.remedy and "\n" not in str(said)), f"{name} = {value!r}: {said}"


def refusal_of(source: SourceHandler, options: dict[str, Any]) -> ForeactError | None:
    """Pull once and return what was refused, if anything was."""
    try:
        list(source.pull(options, None, TICK + timedelta(minutes=1)))
    except ForeactError as refusal:
        return refusal
    return None


@pytest.mark.parametrize(
    ("default", "given", "said"),
    [
        (60.0, "1m", "x = '1m' is not a number from 0 to 1,000,000,000. Write it as in x = 60."),
        (60.0, True, "x = True is not a number"),
        (1_000, 2.5, "x = 2.5 is not a whole number"),
        ("", 5, 'x is not text. Write it as in x = "…".'),
        ((), "etl/*", 'x is not a list of texts. Write it as in x = ["…"].'),
        ({}, {"secret-word": 5}, 'x is not a table of texts. Write it as in x = { name = "…" }.'),
    ],
)
def test_an_option_of_another_type_is_refused_by_name_with_the_remedy(default: Any, given: Any, said: str) -> None:
    with pytest.raises(ForeactError) as refusal:
        option({"x": given}, "x", default)
    assert refusal.value.code == "option_invalid"
    assert str(refusal.value).startswith(said)
    assert "secret-word" not in str(refusal.value)


@pytest.mark.parametrize(
    ("default", "given", "taken"), [(60.0, "90", 90.0), (10, 20.0, 20), ((), ["a"], ("a",)), (1.5, None, 1.5)]
)
def test_what_can_be_read_as_the_type_is(default: Any, given: Any, taken: Any) -> None:
    assert option({"x": given}, "x", default) == taken
    assert type(option({"x": given}, "x", default)) is type(taken)


def test_a_header_that_cannot_be_sent_is_refused() -> None:
    with pytest.raises(ForeactError, match="headers is not a table of plain ASCII"):
        headers_in({"headers": {"Authorization": "Bearer é"}})
