"""The REST interface as a page, read off the OpenAPI document."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

METHODS = ("get", "post", "put", "delete")
Document = Mapping[str, Any]


@dataclass(frozen=True)
class Parameter:
    """A path, query or header parameter."""

    name: str
    place: str
    kind: str
    description: str


@dataclass(frozen=True)
class Operation:
    """One method of one address."""

    method: str
    path: str
    summary: str
    description: str
    parameters: list[Parameter]
    fields: list[Parameter]
    curl: str
    status: str
    answer: str


@dataclass(frozen=True)
class Group:
    """The operations of one noun."""

    name: str
    operations: list[Operation]


def sections(document: Document, base_url: str) -> list[Group]:
    """Return the operations by tag, in the order of the document."""
    groups: dict[str, list[Operation]] = {}
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                operation = item[method]
                shown = _operation(document, method, path, operation, base_url)
                groups.setdefault(operation.get("tags", ["other"])[0], []).append(shown)
    return [Group(name, operations) for name, operations in groups.items()]


def _operation(document: Document, method: str, path: str, operation: Document, base_url: str) -> Operation:
    body = _body(document, operation)
    status, answer = _answer(document, operation)
    return Operation(
        method=method.upper(),
        path=path,
        summary=operation.get("summary", ""),
        description=operation.get("description", ""),
        parameters=[_parameter(document, each) for each in operation.get("parameters", [])],
        fields=_fields(document, body),
        curl=_curl(method, base_url + path, _example(document, body)),
        status=status,
        answer=answer,
    )


def _parameter(document: Document, parameter: Document) -> Parameter:
    schema = parameter.get("schema", {})
    text = parameter.get("description") or schema.get("description", "")
    return Parameter(parameter["name"], parameter["in"], _kind(document, schema, parameter.get("required")), text)


def _fields(document: Document, schema: Document) -> list[Parameter]:
    resolved = _resolved(document, schema)
    required = resolved.get("required", ())
    return [
        Parameter(name, "body", _kind(document, each, name in required), each.get("description", ""))
        for name, each in resolved.get("properties", {}).items()
    ]


def _kind(document: Document, schema: Document, is_required: bool | None = False) -> str:
    """Return a type with its limits and default, in a few words."""
    schema = _resolved(document, schema)
    parts = [" or ".join(str(each) for each in schema.get("enum", [])) or str(schema.get("type", "value"))]
    limits = (("exclusiveMinimum", ">"), ("minimum", "≥"), ("exclusiveMaximum", "<"), ("maximum", "≤"))
    parts += [f"{sign} {schema[key]:g}" for key, sign in limits if key in schema]
    if is_required:
        parts.append("required")
    elif schema.get("default") is not None:
        parts.append(f"default {json.dumps(schema['default'])}")
    return ", ".join(parts)


def _body(document: Document, operation: Document) -> Document:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    examples: list[Document] = list(content.get("examples", {}).values())
    example = examples[0]["value"] if examples else None
    schema = _resolved(document, content.get("schema", {}))
    return {**schema, "examples": [example]} if example else schema


def _answer(document: Document, operation: Document) -> tuple[str, str]:
    """Return the status and the example of the good answer."""
    for status, response in operation["responses"].items():
        if status.startswith("2"):
            schema = response.get("content", {}).get("application/json", {}).get("schema", {})
            example = _example(document, schema)
            return status, json.dumps(example, indent=2, ensure_ascii=False) if example is not None else ""
    return "", ""


def _example(document: Document, schema: Document) -> Any:
    examples = _resolved(document, schema).get("examples")
    return examples[0] if examples else None


def _resolved(document: Document, schema: Document) -> Document:
    """Follow references, and take the first real alternative of several."""
    if "$ref" in schema:
        document_part: Document = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        return document_part
    for alternatives in (schema.get("anyOf"), schema.get("oneOf")):
        real = [each for each in alternatives or () if each.get("type") != "null"]
        if real:
            return {**_resolved(document, real[0]), **{k: v for k, v in schema.items() if k in ("default", "title")}}
    return schema


def _curl(method: str, url: str, example: Any) -> str:
    parts = ["curl"] if method == "get" else ["curl", "-X", method.upper()]
    if example is not None:
        body = json.dumps(example, ensure_ascii=False)
        parts += ["-H", "Content-Type: application/json", "-d", body]
    return " ".join(shlex.quote(part) for part in [*parts, url])
