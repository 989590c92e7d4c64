"""Everything that is kept: the only code that talks to DuckDB."""

from storage.errors import ForeactError, TransientError
from storage.store import Store, open_store, own_store

__all__ = ["ForeactError", "Store", "TransientError", "open_store", "own_store"]
