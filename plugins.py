"""What a folder offers is what lies in it: nobody keeps a list of routes, commands, actions, sources or forecasters."""

from __future__ import annotations

import ast
import hashlib
import importlib
import logging
import pkgutil
import re
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

logger = logging.getLogger(__name__)

PluginT = TypeVar("PluginT")

_DECORATORS = {"action", "source"}
_MENTIONS_US = re.compile(r"^\s*(from|import)\s+handlers\b", re.MULTILINE)


def modules_of(package_name: str) -> list[ModuleType]:
    """Import the modules of a package, in the order of their names."""
    package = importlib.import_module(package_name)
    names = sorted(info.name for info in pkgutil.iter_modules(package.__path__))
    return [importlib.import_module(f"{package_name}.{name}") for name in names]


def own_plugins(
    kind: type[PluginT], group: str, folder: Path | None, troubles: list[str] | None = None
) -> Iterator[tuple[str, PluginT]]:
    """Yield what users wrote, with where it is from: files of a folder, then entry points of installed packages.

    A folder gives all objects of the kind that its files define; an entry point names one object or a module. What
    cannot be imported leaves a sentence in `troubles`, in the log where that is None.
    """
    files = sorted(folder.glob("[!_.]*.py")) if folder is not None and folder.is_dir() else []
    for file in files:
        try:
            found = _members(own_module(file), kind) if _is_ours(file.read_text(encoding="utf-8")) else []
        except (Exception, SystemExit) as error:
            tell(f"{file} cannot be imported ({type(error).__name__}: {error}). Correct it, or move it away.", troubles)
            continue
        yield from ((str(file), each) for each in found)
    for point in _entry_points(group):
        try:
            loaded = point.load()
        except (Exception, SystemExit) as error:
            what = f"The entry point {point.name} of {group}, {point.value},"
            tell(f"{what} cannot be loaded ({type(error).__name__}: {error}). Correct or uninstall it.", troubles)
            continue
        for each in _members(loaded, kind) if isinstance(loaded, ModuleType) else [loaded]:
            if isinstance(each, kind):
                yield point.value, each
            else:
                tell(f"The entry point {point.name} of {group} is no {kind.__name__}. Decorate it.", troubles)


def own_module(file: Path) -> ModuleType:
    """Import a file that lies in no package, anew where it changed; it reaches its neighbours by `from .other import`.

    Raises what importing it raises.
    """
    package = f"foreact_own_{hashlib.sha256(str(file.parent).encode()).hexdigest()[:12]}"
    if package not in sys.modules:
        sys.modules[package] = ModuleType(package)
        sys.modules[package].__path__ = [str(file.parent)]
    name, state = f"{package}.{file.stem}", (file.stat().st_mtime_ns, file.stat().st_size)
    if getattr(sys.modules.get(name), "__foreact_state__", None) != state:
        sys.modules.pop(name, None)
        importlib.invalidate_caches()
        vars(importlib.import_module(name))["__foreact_state__"] = state
    return sys.modules[name]


def tell(sentence: str, troubles: list[str] | None) -> None:
    """Leave a sentence about what is left out in the list of who asked for one, in the log otherwise."""
    text = " ".join(sentence.split())[:600]
    if troubles is None:
        logger.warning("%s", text)
    else:
        troubles.append(text)


def _is_ours(text: str) -> bool:
    """Tell, without running it, whether a file decorates a function with our `action` or `source`.

    A project may have a folder of that name, and a package called `handlers`, for other ends: its files are not run.
    """
    try:
        nodes = list(ast.walk(ast.parse(text)))
    except (SyntaxError, ValueError):
        return bool(_MENTIONS_US.search(text))  # importing it runs nothing, and says where it is wrong
    names = {
        alias.asname or alias.name
        for node in nodes
        if isinstance(node, ast.ImportFrom) and not node.level and _is_our_module(node.module or "")
        for alias in node.names
        if alias.name in _DECORATORS
    }
    modules = {
        alias.asname or alias.name
        for node in nodes
        if isinstance(node, ast.Import)
        for alias in node.names
        if _is_our_module(alias.name)
    }
    ours = names | {f"{module}.{name}" for module in modules for name in _DECORATORS}
    functions = (node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    decorators = (each for function in functions for each in function.decorator_list)
    return any(ast.unparse(each.func if isinstance(each, ast.Call) else each) in ours for each in decorators)


def _is_our_module(name: str) -> bool:
    return name == "handlers" or name.startswith("handlers.contract")


def _members(module: ModuleType, kind: type[PluginT]) -> list[PluginT]:
    found = {id(value): value for value in vars(module).values() if isinstance(value, kind)}
    return [value for value in found.values() if _module_of(value) in {"", module.__name__}]


def _module_of(plugin: Any) -> str:
    """Return the module whose function a plugin was made of, so that what is only imported there is not found twice."""
    function = getattr(plugin, "pull", None) or plugin.handler.hooks.run
    return str(getattr(function, "__module__", ""))


@lru_cache(maxsize=8)
def _entry_points(group: str) -> tuple[EntryPoint, ...]:
    from importlib.metadata import entry_points  # takes longer to load than all else here

    return tuple(entry_points(group=group))
