"""Which parameters an action takes: checked before it acts, and shown as the JSON schema of a form.

Actions are imported where pydantic is not needed, so it is imported where a model is used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import BaseModel

    Model = type[BaseModel]
    Parameters = Model | Mapping[str, Any] | Callable[[Mapping[str, Any]], Model]
else:
    Parameters = Any

_JSON_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}


def checked(parameters: Parameters | None, given: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters as their model has them, with its defaults; what it does not know is left as it is.

    Raises ValueError, which names what is wrong but not the values: they may be secret.
    """
    model = _model_of(parameters, options)
    if model is None:
        return dict(given)
    from pydantic import ValidationError

    try:
        return {**given, **model.model_validate(dict(given)).model_dump()}
    except ValidationError as trouble:
        raise ValueError(_in_words(trouble)) from None


def schema_of(parameters: Parameters | None, options: Mapping[str, Any], example: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON schema of type object; one made of the example where an action says no more of itself.

    Raises ValueError where what the action says is no JSON schema.
    """
    if isinstance(parameters, Mapping):
        return object_schema(parameters)
    model = _model_of(parameters, options)
    if model is not None:
        return model.model_json_schema()
    properties = {name: _by_example(name, value) for name, value in example.items()}
    return {"type": "object", "properties": properties}


def object_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON schema as one of type object, whose every parameter has a schema that is an object as well.

    Raises ValueError where it is no JSON schema.
    """
    # Loaded where it is needed: it takes 0.1 s.
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as trouble:
        raise ValueError(f"{trouble.json_path} of the schema of its parameters: {trouble.message}") from None
    # JSON Schema knows two that are no object: True, which takes anything, and False, which takes nothing.
    known = schema.get("properties", {}).items()
    properties = {name: {} if each is True else each for name, each in known if each is not False}
    return {"type": "object", **schema, "properties": properties}


def _by_example(name: str, value: Any) -> dict[str, Any]:
    kind = _JSON_TYPES.get(type(value))
    told = {"title": name.replace("_", " ").capitalize(), "examples": [value]}
    return told | ({"type": kind} if kind else {})


def _model_of(parameters: Parameters | None, options: Mapping[str, Any]) -> Model | None:
    """Return the model, made of the options where they decide; None where nothing here checks the parameters."""
    if parameters is None or isinstance(parameters, Mapping):
        return None
    if isinstance(parameters, type):
        return parameters
    made: Model = parameters(options)
    return made


def _in_words(trouble: Any) -> str:
    errors = trouble.errors(include_input=False, include_url=False, include_context=False)
    told = (f"{'.'.join(map(str, each['loc'])) or 'the parameters'}: {_lower(each['msg'])}" for each in errors[:5])
    return f"{'; '.join(told)}."


def _lower(message: str) -> str:
    text = message.removeprefix("Value error, ")
    return text[:1].lower() + text[1:]
