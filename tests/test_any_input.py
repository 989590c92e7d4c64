"""Whatever a file holds, who reads it either takes it or refuses it in one line; no reader falls over."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cli.history_file import bring_in
from handlers.sources.csv_file import csv_file
from settings import CONFIG_NAME, Settings, load_settings, settings_in_force
from storage import ForeactError, Store, open_store
from storage.records import Sample
from tests import sized

UNTIL = datetime(2026, 3, 2, 12, tzinfo=UTC)

texts = st.text(st.characters(codec="utf-8"), max_size=8)
moments = st.one_of(
    st.datetimes(timezones=st.one_of(st.none(), st.timezones())).map(datetime.isoformat),
    st.floats().map(str),
    st.integers(-(10**20), 10**20).map(str),
    st.sampled_from(["", "now", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "20260301", "1e400", "-0"]),
)
values = st.one_of(st.floats().map(str), texts, st.sampled_from(["", "NA", "1_0", "0x1", "1e999", "−1"]))
names = st.one_of(st.sampled_from(["cpu", "a,b", '"', "{}", " ", "x" * 300]), texts)
labels = st.one_of(st.sampled_from(["", "{}", '{"a": 1}', "[]", "null", '{"a": {"b": "}"}}']), texts)
rows = st.lists(st.tuples(moments, names, values, labels), max_size=6)
heads = st.sampled_from(["ts,metric,value,labels", "ts,cpu,mem,x", "time;name;value;labels", "ts,ts,value,metric", ""])


def table(head: str, cells: list[tuple[str, ...]], comma: str) -> str:
    return "\n".join([head, *(comma.join(row) for row in cells)])


written = st.builds(table, heads, rows, st.sampled_from([",", ";", ', "'])).map(str.encode)
contents = st.one_of(written, st.binary(max_size=300), st.text(max_size=300).map(lambda text: text.encode("utf-16")))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("any") / "any.csv"


@pytest.fixture(scope="module")
def store() -> Store:
    return open_store()


def taken(read: Callable[[], Any]) -> Any:
    """Return what a reader makes of its input; None where it refuses it in one line."""
    refusals = []
    try:
        return read()
    except ForeactError as refusal:
        refusals.append(refusal)
    assert [each for each in refusals if not each.code or not each.message or "\n" in str(each)] == []
    return None


@settings(max_examples=sized(60, 150), deadline=None)
@given(content=contents)
def test_any_csv_source_is_read_or_refused(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    for options in ({}, {"on_bad_row": "skip"}, {"label_columns": ["labels"], "timezone": "Europe/Berlin"}):
        seen = taken(lambda options=options: list(csv_file.pull({"path": file, **options}, None, UNTIL)))  # type: ignore[misc]
        for sample in seen or ():
            assert isinstance(sample, Sample)
            assert math.isfinite(sample.value)
            assert sample.ts <= UNTIL


@settings(max_examples=sized(30, 60), deadline=None)
@given(content=contents)
def test_any_file_is_imported_or_refused(file: Path, store: Store, content: bytes) -> None:
    file.write_bytes(content)
    done = taken(lambda: bring_in(store, file))
    assert done is None or min(done.recorded, done.known, done.replaced, done.left_out) >= 0


def keys() -> dict[str, list[str]]:
    """Return the keys of the configuration by section; its own under none."""
    sections = {name: field.annotation for name, field in Settings.model_fields.items()}
    nested = {name: [*kind.model_fields] for name, kind in sections.items() if hasattr(kind, "model_fields")}
    return {
        "": [*sections],
        **nested,
        "sources.own": ["url", "queries"],
        "actions.notify": ["level", "amounts", "urls"],
    }


plain = st.one_of(
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=12),
    st.sampled_from(
        ["../x", "127.0.0.1", "0.0.0.0", "::1", "auto", "3/hour", "Europe/Berlin", "BOTTLENECK_PREVENTION"]
    ),
)
nested = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
)


def inline(value: Any) -> str:
    """Write a value as TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)} = {inline(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(inline, value)) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


@st.composite
def configurations(draw: st.DrawFn) -> str:
    lines = []
    for section, names in keys().items():
        own = draw(st.dictionaries(st.sampled_from(names), nested, max_size=2)) if draw(st.booleans()) else {}
        lines += [f"[{section}]"] * bool(section and own) + [f"{name} = {inline(each)}" for name, each in own.items()]
    return "\n".join(lines)


@settings(max_examples=sized(60, 150), deadline=None)
@given(text=st.one_of(configurations(), st.text(max_size=100)))
def test_any_configuration_is_used_or_refused_naming_the_file(file: Path, text: str) -> None:
    encoded = text.encode("utf-8", "replace")
    (file.parent / CONFIG_NAME).write_bytes(encoded)
    usable = taken(lambda: load_settings(file.parent))
    assume(usable is None or "\x00" not in str(usable.home))
    assert usable is None or usable.hash
    if usable is None:
        in_force = taken(lambda: settings_in_force(file.parent))
        assert in_force is None or in_force.trouble
