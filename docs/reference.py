"""Write the reference from the code: `python docs/reference.py` fills the blocks marked `<!-- generated: … -->`.

Keys, options, addresses, error codes and figures are told where they are defined; the pages around them say how to use
them. A test fails where a page is not as the code says.
"""

from __future__ import annotations

import ast
import json
import re
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

ROOT = Path(__file__).resolve().parents[1]
PAGES = tuple(ROOT / "docs" / name for name in ("configuration.md", "rest.md", "error-codes.md", "metrics.md"))
MARK = re.compile(r"(<!-- generated: (\w+)(.*?) -->\n).*?(<!-- end -->)", re.DOTALL)
SOURCES = ("api", "cli", "flows", "handlers", "storage", "tasks", "plugins.py", "settings.py")
ONE = re.compile(r"{\w+_id}")
FRAMED = {"block_unusable"}
"""Codes of refusals to which a helper gives the frame and each of its callers the rest of the sentence."""
CODE = re.compile(r"[a-z][a-z0-9_.]+")


def filled(page: str) -> str:
    """Return a page with its generated blocks as the code has them now."""
    return MARK.sub(lambda mark: f"{mark[1]}{BLOCKS[mark[2]](mark[3].split())}\n{mark[4]}", page)


def table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]] | list[tuple[str, ...]]) -> str:
    """Return a table; bars within code would end a cell, so they are escaped."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def told(file: str, class_name: str) -> dict[str, str]:
    """Return what stands below each field of a class."""
    body = next(
        each.body
        for each in ast.parse((ROOT / file).read_text(encoding="utf-8")).body
        if isinstance(each, ast.ClassDef) and each.name == class_name
    )
    return {
        field.target.id: " ".join(text.value.value.split())
        for field, text in pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
    }


def _shown(value: Any) -> str:
    if value in (None, (), {}, "") or value is PydanticUndefined:
        return "none"
    return f"`{json.dumps(value, default=str)}`"


def _default(field: FieldInfo) -> str:
    return "needed" if field.is_required() else _shown(field.get_default(call_default_factory=True))


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield key, default and meaning of every setting below a model."""
    meanings = told("settings.py", model.__name__)
    for name, field in model.model_fields.items():
        if field.exclude:
            continue
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from keys(field.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", _default(field), meanings.get(name, "")


def settings(wanted: list[str]) -> str:
    """Return the settings below some keys."""
    from settings import Settings

    known = {key: (default, meaning) for key, default, meaning in keys(Settings)}
    rows = [(f"`{key}`", *known[key]) for want in wanted for key in known if key == want or key.startswith(f"{want}.")]
    return table(("key", "default", "meaning"), rows)


def traits(_: list[str]) -> str:
    """Return what every action can be told."""
    from handlers.contract.action import ActionTraits

    meanings = told("handlers/contract/action.py", "ActionTraits")
    named = [(re.sub("_s$", "_seconds", each.name), meanings.get(each.name, "")) for each in fields(ActionTraits)]
    return table(("key", "meaning"), [(f"`{key}`", meaning) for key, meaning in named])


def actions(_: list[str]) -> str:
    """Return each action that ships with what it can be told."""
    from handlers import discover_actions

    return "\n\n".join(_action(name, each) for name, each in sorted(discover_actions().items()))


def _action(name: str, action: Any) -> str:
    undo = action.hooks.undo is not None
    back = (
        "can be undone" + (" where its options allow it" if action.hooks.undo_with else "") if undo else "has no undo"
    )
    needs = f" Needs {', '.join(f'`{each}`' for each in action.needs)}." if action.needs else ""
    about = f"{action.summary.rstrip('.')}. Starts at level `{action.level}`, {back}.{needs}"
    return f"### {name}\n\n{about}\n\n{_options(name, action.options)}"


def sources(_: list[str]) -> str:
    """Return each source that ships with what it can be told."""
    from handlers import discover_sources

    return "\n\n".join(
        f"### {name} (source)\n\n{_options(name, each.options)}" for name, each in sorted(discover_sources().items())
    )


def _options(name: str, options: Mapping[str, str]) -> str:
    return table(("option", f"of `{name}`"), [(f"`{key}`", meaning) for key, meaning in options.items()])


def objective(_: list[str]) -> str:
    """Return what an objective can be told."""
    from storage.records import Objective

    meanings = told("storage/records.py", "Objective")
    rows = [(f"`{name}`", _default(field), meanings.get(name, "")) for name, field in Objective.model_fields.items()]
    return table(("key", "default", "meaning"), rows)


def shared(_: list[str]) -> str:
    """Return what can be said of something that several foreacts share."""
    from settings import SharedSettings

    return table(("key", "default", "meaning"), [(f"`{name}`", *rest) for name, *rest in keys(SharedSettings)])


def rest(_: list[str]) -> str:
    """Return every address by what it is about."""
    from api.app import create_app
    from settings import load_settings

    with tempfile.TemporaryDirectory() as folder:
        document = create_app(load_settings(folder)).openapi()
    about: dict[str, list[tuple[str, ...]]] = defaultdict(list)
    for path, methods in document["paths"].items():
        for method, asked in methods.items():
            request = f"`{method.upper()} {ONE.sub('{id}', path)}`"
            about[asked["tags"][0]].append((request, _first(asked), ", ".join(_parameters(asked, document))))
    return "\n\n".join(
        f"## {tag.capitalize()}\n\n{table(('request', 'what it does', 'takes'), rows)}" for tag, rows in about.items()
    )


def _first(asked: Mapping[str, Any]) -> str:
    return " ".join(str(asked.get("description") or asked["summary"]).split("\n\n")[0].split())


def _parameters(asked: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[str]:
    for each in asked.get("parameters", ()):
        if each["in"] == "query":
            yield f"`?{each['name']}=`"
    content = asked.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    schemas = [content, *content.get("anyOf", ()), *content.get("oneOf", ())]
    for name in (str(each["$ref"]).rpartition("/")[2] for each in schemas if "$ref" in each):
        yield from (f"`{key}`" for key in document["components"]["schemas"][name].get("properties", {}))


def codes(_: list[str]) -> str:
    """Return every code of a refusal with its status, what it says and what to do."""
    found: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    for code, *rest_of_it in refusals():
        status, message, remedy = rest_of_it
        if (status, message, remedy) not in found[code]:
            found[code].append((status, message, remedy))
    rows = [
        (
            f"`{code}`",
            ", ".join(sorted({each for status, _, _ in said for each in status.split(", ")})),
            "<br>".join(dict.fromkeys(message for _, message, _ in said if CODE.search(message))),
            "<br>".join(dict.fromkeys(remedy for _, _, remedy in said if CODE.search(remedy))),
        )
        for code, said in sorted(found.items())
    ]
    return table(("code", "status", "what it says", "what to do"), rows)


def refusals() -> Iterator[tuple[str, str, str, str]]:
    """Yield code, status, message and remedy of every refusal in the source; `…` stands for what differs."""
    for file in (path for name in SOURCES for path in sorted(ROOT.glob(f"{name}/**/*.py")) or [ROOT / name]):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        names = list(_assigned(tree))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                for given in _by_callers(node, tree):
                    yield from _of_call(node, [*names, *given])
            elif isinstance(node, ast.Tuple):
                yield from _of_parts(node.elts, names)
            elif isinstance(node, ast.Dict):
                for key, value in zip(node.keys, node.values, strict=True):
                    if key is not None and isinstance(value, ast.Tuple):
                        yield from _of_parts([key, *value.elts], names)


Assigned = tuple[str, int, range, ast.expr]
"""A name that gets a value: its line, the lines in which it counts, and the value; in braces within a sentence too."""


def _by_callers(call: ast.Call, tree: ast.Module) -> list[list[Assigned]]:
    """Return what each caller gives to the helper that a refusal stands in, where a part of the sentence is theirs."""
    if not call.args or not FRAMED & set(map(str, _constants(call.args[0]))):
        return [[]]
    functions = [each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef)]
    helper = next(each for each in functions if each.lineno <= call.lineno <= (each.end_lineno or 0))
    lines, names = range(helper.lineno, call.lineno + 1), [each.arg for each in helper.args.args]
    calls = [each for each in ast.walk(tree) if isinstance(each, ast.Call)]
    callers = [each for each in calls if getattr(each.func, "id", "") == helper.name]
    return [
        [(as_is, helper.lineno, lines, each) for name, each in pairs for as_is in (name, f"{{{name}}}")]
        for pairs in (zip(names, caller.args, strict=True) for caller in callers)
    ]


def _of_call(call: ast.Call, names: list[Assigned]) -> Iterator[tuple[str, str, str, str]]:
    name = getattr(call.func, "id", getattr(call.func, "attr", ""))
    given = {each.arg: each.value for each in call.keywords}
    if name == "ForeactError":
        parts = [*call.args, *(given[key] for key in ("code", "message", "remedy") if key in given)]
        yield from _of_parts([given.get("status", ast.Constant(400)), *parts, ast.Constant("")][:4], names)
    elif name == "_refusal" and len(call.args) == 2:  # a helper that adds the remedy
        yield from _of_parts([ast.Constant(400), *call.args, ast.Constant("")], names)
    elif name in {"problem", "_refuse"}:
        yield from _of_parts(call.args, names)


def _of_parts(parts: list[ast.expr], names: list[Assigned]) -> Iterator[tuple[str, str, str, str]]:
    """Yield the refusal that status, code, message and remedy are, where they are that."""
    if len(parts) < 4:
        return
    statuses = {each for each in _constants(parts[0]) if isinstance(each, int) and 400 <= each < 600}
    for code in _constants(parts[1]):
        if statuses and isinstance(code, str) and CODE.fullmatch(code):
            yield code, ", ".join(map(str, sorted(statuses))), _text(parts[2], names), _text(parts[3], names)


def _constants(node: ast.expr) -> list[Any]:
    if isinstance(node, ast.IfExp):
        return [*_constants(node.body), *_constants(node.orelse)]
    return [node.value] if isinstance(node, ast.Constant) else []


def _assigned(tree: ast.Module) -> Iterator[Assigned]:
    functions = [each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
    spans = [range(0, 1_000_000), *(range(each.lineno, (each.end_lineno or 0) + 1) for each in functions)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            span = min((each for each in spans if node.lineno in each), key=len)
            yield node.targets[0].id, node.lineno, span, node.value
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "append"
            and node.args
        ):
            # Sentences are gathered in a list that is handed around by one name.
            yield f"{{{ast.unparse(node.func.value)}[0]}}", node.lineno, spans[0], node.args[0]


def _text(node: ast.expr, names: list[Assigned], depth: int = 0) -> str:
    """Return a text as far as it stands in the source."""
    if isinstance(node, ast.Constant):
        return str(node.value or "")
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part, names, depth) for part in node.values)
    if isinstance(node, ast.BinOp):
        return _text(node.left, names, depth) + _text(node.right, names, depth)
    if isinstance(node, ast.IfExp):
        return f"{_text(node.body, names, depth)} / {_text(node.orelse, names, depth)}"
    if isinstance(node, ast.Name | ast.FormattedValue) and depth < 3:
        wanted = node.id if isinstance(node, ast.Name) else f"{{{ast.unparse(node.value)}}}"
        meant = [
            (-len(span), line, value)
            for name, line, span, value in names
            if name == wanted and node.lineno in span and (line < node.lineno or span.start == 0)
        ]
        if meant:
            return _text(max(meant, key=lambda each: each[:2])[2], names, depth + 1)
    return "…"


def _kind(figure: Any) -> str:
    return str(figure.kind.__name__.removesuffix("MetricFamily").lower())


def figures(_: list[str]) -> str:
    """Return what `/metrics` shows."""
    from api.queries import telemetry

    rows = [
        (
            f"`{each.shown_name}`",
            _kind(each),
            ", ".join(f"`{label}`" for label in each.labels),
            each.text,
        )
        for each in telemetry.FIGURES
    ]
    return table(("figure", "kind", "labels", "what it tells"), rows)


BLOCKS: dict[str, Callable[[list[str]], str]] = {
    each.__name__: each for each in (settings, traits, actions, sources, objective, shared, rest, codes, figures)
}

if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    for page in PAGES:
        page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")
