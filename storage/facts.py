"""Facts: what is so at the moment, by name, with who said it."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from storage.engine.protocol import Engine, Followed
from storage.table import Clock, next_number


class FactTable:
    """The `facts` table: switches and small learned values, by name."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine, self._clock = engine, clock
        # One reading serves the dozen names that a turn asks for.
        self._followed = Followed(("facts",), self._read, widen=lambda _: ("",))

    def set(self, name: str, value: Any, actor: str = "loop") -> None:
        """Put a new value in force."""
        self._engine.rows(
            "INSERT INTO facts VALUES ($seq, $name, $now, $actor, $value)",
            {
                "seq": next_number(),
                "name": name,
                "now": self._clock(),
                "actor": actor,
                "value": json.dumps(value, default=str),
            },
        )

    def get(self, name: str, default: Any = None) -> Any:
        """Return the value in force, or the default."""
        value = self._in_force(name).get(name)
        return default if value is None else json.loads(value)

    def matching(self, prefix: str) -> dict[str, Any]:
        """Return the values in force of all names with a prefix, keyed by what follows it."""
        values = self._in_force(prefix)
        return {name[len(prefix) :]: json.loads(value) for name, value in values.items() if name.startswith(prefix)}

    def _in_force(self, prefix: str) -> dict[str, str]:
        """Return as text the values in force of names with a prefix, and perhaps others."""
        return self._engine.follow(self._followed, prefix)

    def _read(self, prefix: str) -> dict[str, str]:
        # Not ORDER BY … LIMIT 1, which takes DuckDB three times as long.
        sql = "SELECT name, arg_max(value, seq) FROM facts WHERE starts_with(name, $prefix) GROUP BY name"
        read = partial(self._engine.rows, sql, {"prefix": prefix})
        return self._engine.recall(("facts",), ("facts", prefix), lambda: dict(read()))
