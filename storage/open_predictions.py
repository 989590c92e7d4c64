"""What is open of a table of predictions: what matures in the future need not be looked for in every turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from storage.engine.protocol import Columns, Engine, Followed

NEVER = datetime(1970, 1, 1, tzinfo=UTC)
LAST = datetime(9999, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class OpenPredictions:
    """When the newest resolved prediction matured, and the columns of those that mature later, each with that moment.

    Predictions are resolved in the order in which they mature: so the newest parts those that are open from the rest.
    """

    newest: datetime
    rows: Sequence[tuple[Any, ...]]

    def due(self, until: datetime) -> list[tuple[Any, ...]]:
        """Return what matures up to a moment, the first first."""
        return sorted((row for row in self.rows if row[0] <= until), key=lambda row: row[0])


def open_predictions(
    engine: Engine, predictions: str, resolved: str, *, marker: str, is_filled: bool, columns: Sequence[str] = ()
) -> Followed[OpenPredictions]:
    """Return how the open rows of a table are followed, whose results lie in `resolved`; asked for up to a moment.

    Only rows are meant in which the column `marker` is filled, or is not.
    """
    names = ("matures_at", *columns)
    sql = f"""SELECT DISTINCT {", ".join(names)} FROM {predictions}
              WHERE matures_at > $newest AND matures_at <= $until AND ({marker} IS NOT NULL) = $is_filled"""

    def read(until: datetime) -> OpenPredictions:
        newest = engine.rows(f"SELECT max(matures_at) FROM {resolved}")[0][0] or NEVER
        rows = engine.rows(sql, {"newest": newest, "until": until, "is_filled": is_filled})
        return OpenPredictions(newest, rows)

    def apply(known: OpenPredictions, table: str, new: Columns) -> OpenPredictions:
        if table == resolved:
            newest = max(known.newest, *new["matures_at"])
            return OpenPredictions(newest, [row for row in known.rows if row[0] > newest])
        rows = zip(*(new[name] for name in names), strict=True)
        meant = {row for row, mark in zip(rows, new[marker], strict=True) if (mark is not None) == is_filled}
        return OpenPredictions(known.newest, [*known.rows, *(row for row in meant if row[0] > known.newest)])

    return Followed((predictions, resolved), read, apply, widen=lambda until: (LAST,))
