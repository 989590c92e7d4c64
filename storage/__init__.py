"""The store: the only code that talks to DuckDB."""

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
