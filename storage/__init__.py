"""The store: the only code that talks to DuckDB."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from storage.engine.local import end_threads
    from storage.engine.lock import holder_of, is_reserved, lock_file
    from storage.errors import ForeactError, TransientError
    from storage.store import Store, address_file, open_store, own_store

__all__ = [
    "ForeactError",
    "Store",
    "TransientError",
    "address_file",
    "end_threads",
    "holder_of",
    "is_reserved",
    "lock_file",
    "open_store",
    "own_store",
]
_PLACES = {
    "storage.engine.local": ("end_threads",),
    "storage.engine.lock": ("holder_of", "is_reserved", "lock_file"),
    "storage.errors": ("ForeactError", "TransientError"),
    "storage.store": ("Store", "address_file", "open_store", "own_store"),
}
_PLACE_OF = {name: place for place, names in _PLACES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import what is asked for only then: the process of an act wants a small module of this room, and no database."""
    if name not in _PLACE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = getattr(import_module(_PLACE_OF[name]), name)
    return globals()[name]
