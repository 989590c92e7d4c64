"""What a folder offers is what lies in it: nobody keeps a list of routes, commands, actions, sources or forecasters."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType


def modules_of(package_name: str) -> list[ModuleType]:
    """Import the modules of a package, in the order of their names."""
    package = importlib.import_module(package_name)
    names = sorted(info.name for info in pkgutil.iter_modules(package.__path__))
    return [importlib.import_module(f"{package_name}.{name}") for name in names]
