"""A form asks for what an action's schema says, and shows what was planned."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from api.dashboard.answer_form import form_field
from tests.api.dashboard.test_pages import lived

__all__ = ["lived"]

planned = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(planned)
def test_any_planned_value_stands_in_its_field_unchanged(value: Any) -> None:
    field = form_field("amount", {}, value)
    assert json.loads(field.written) == value
    if isinstance(value, str):
        assert (field.kind, field.shown) == ("text", value)
    elif value is not None:
        assert json.loads(field.shown) == value


@pytest.mark.parametrize(
    ("schema", "value", "kind", "step", "choices"),
    [
        ({"type": "integer", "minimum": 1}, 3, "number", "1", ()),
        ({"anyOf": [{"type": "number"}, {"type": "null"}]}, None, "number", "any", ()),
        ({"type": "boolean"}, True, "boolean", "any", ()),
        ({"type": ["string", "null"]}, None, "text", "any", ()),
        ({"enum": ["fast", 2]}, "fast", "choice", "any", ('"fast"', "2")),
        ({"type": "array"}, [1], "json", "any", ()),
        ({}, {"a": 1}, "json", "any", ()),
    ],
)
def test_the_schema_decides_how_a_parameter_is_asked_for(
    schema: dict[str, Any], value: Any, kind: str, step: str, choices: tuple[str, ...]
) -> None:
    field = form_field("amount", schema, value)
    assert (field.kind, field.step, field.choices) == (kind, step, choices)


@pytest.mark.usefixtures("lived")
def test_an_action_that_waits_has_a_field_for_each_planned_parameter(client: TestClient) -> None:
    text = client.get("/actions/action-1").text
    assert 'data-name="pid"' in text
    assert 'data-name="nice"' in text
    assert 'data-form="parameters"' in text
    assert "data-name" not in client.get("/actions/action-2").text
