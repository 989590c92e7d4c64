"""The form in which a person changes what was planned: the fields of an action's own schema, filled as planned."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from api.facade import Facade
from storage.records import Action
from tasks.configured_actions import configured_actions

_KINDS = {"integer": "number", "number": "number", "boolean": "boolean", "string": "text"}


@dataclass(frozen=True)
class FormField:
    """One parameter: its name, how it is asked for (number, boolean, text, choice, json), and its planned value.

    `written` is the planned value as JSON, by which the page tells whether it was changed.
    """

    name: str
    label: str
    kind: str
    written: str
    help: str = ""
    step: str = "any"
    least: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """Return the planned value as it stands in its field."""
        planned = json.loads(self.written)
        return planned if isinstance(planned, str) else "" if planned is None else self.written


def fields_of(facade: Facade, action: Action) -> list[FormField]:
    """Return the fields for the parameters of a planned action: those of its schema, then others that were planned."""
    handler = configured_actions(facade.in_force).get(action.name)
    properties: Mapping[str, Any] = {}
    if handler is not None:
        try:
            properties = handler.parameter_schema.get("properties", {})
        except ValueError:  # its configuration does not say what it takes: then what was planned does
            properties = {}
    names = list(dict.fromkeys([*properties, *action.params]))
    return [form_field(name, properties.get(name, {}), action.params.get(name)) for name in names]


def form_field(name: str, schema: Mapping[str, Any], planned: Any) -> FormField:
    """Return the field of a parameter from its JSON schema and its planned value."""
    kinds = [schema.get("type"), *(each.get("type") for each in schema.get("anyOf", ()) if isinstance(each, Mapping))]
    named = [name for each in kinds for name in (each if isinstance(each, list) else [each])]
    kind = next((each for each in named if each in _KINDS), _kind_of(planned))
    choices = tuple(json.dumps(each) for each in schema.get("enum", ()))
    value = planned if planned is not None else schema.get("default")
    return FormField(
        name=name,
        label=str(schema.get("title") or name.replace("_", " ").capitalize()),
        kind="choice" if choices else _KINDS.get(str(kind), "json"),
        written=json.dumps(value),
        help=str(schema.get("description") or ""),
        step="1" if kind == "integer" else "any",
        least=schema.get("minimum"),
        most=schema.get("maximum"),
        choices=choices,
    )


def _kind_of(planned: Any) -> str:
    if isinstance(planned, bool):
        return "boolean"
    if isinstance(planned, int | float):
        return "number"
    return "string" if isinstance(planned, str) else "object"
