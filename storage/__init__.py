"""The store: the only code that talks to DuckDB."""

from storage.engine.lock import holder_of, is_reserved, lock_file
from storage.errors import ForeactError, TransientError
from storage.store import Store, open_store, own_store

__all__ = [
    "ForeactError",
    "Store",
    "TransientError",
    "holder_of",
    "is_reserved",
    "lock_file",
    "open_store",
    "own_store",
]
