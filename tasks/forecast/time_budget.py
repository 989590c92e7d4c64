"""How long models that are fitted one series at a time may take in a turn, and where the next turn goes on."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace

SPREAD_SERVES_S = 86_400.0


@dataclass(frozen=True)
class ModelTiming:
    """Where a model stands: the spread it was found to need, when that was, and which row comes first next."""

    spread: float = 1.0
    spread_at_s: float = -math.inf
    next_row: int = 0


@dataclass
class TimeBudget:
    """The seconds that all models together may take in a turn, used up as they run, and the marks of each by name.

    Each model fits at least one series a turn, so that every series gets its turn. A fit is never broken off.
    """

    budget_s: float = math.inf
    now_s: float = 0.0
    marks: dict[str, ModelTiming] = field(default_factory=dict)
    timer: Callable[[], float] = time.perf_counter
    spent_s: float = 0.0
    _since_s: float | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the time inside a `with` against the budget."""
        self._since_s = self.timer()
        try:
            yield
        finally:
            self.spent_s, self._since_s = self._spent_s(), None

    def is_over(self, share: float = 1.0) -> bool:
        """Tell whether a share of the budget is used up."""
        return self._spent_s() >= share * self.budget_s

    def order(self, model: str, rows: int) -> list[int]:
        """Return the rows in the order in which they are served: on from where the last turn stopped."""
        first = self._mark(model).next_row % max(rows, 1)
        return [*range(first, rows), *range(first)]

    def served(self, model: str, order: Sequence[int], count: int) -> None:
        """Remember that the first rows of an order were served; the rest comes first in the next turn."""
        next_row = order[count] if count < len(order) else 0
        self.marks[model] = replace(self._mark(model), next_row=next_row)

    def spread(self, model: str) -> float | None:
        """Return the spread found within the last day; None where there is none."""
        mark = self._mark(model)
        return mark.spread if 0 <= self.now_s - mark.spread_at_s < SPREAD_SERVES_S else None

    def found_spread(self, model: str, spread: float) -> None:
        """Remember a spread for a day."""
        self.marks[model] = replace(self._mark(model), spread=spread, spread_at_s=self.now_s)

    def to_text(self) -> str:
        """Return the marks as JSON."""
        return json.dumps({model: asdict(mark) for model, mark in self.marks.items()})

    def _mark(self, model: str) -> ModelTiming:
        return self.marks.get(model, ModelTiming())

    def _spent_s(self) -> float:
        return self.spent_s + (self.timer() - self._since_s if self._since_s is not None else 0.0)


def read_marks(text: str) -> dict[str, ModelTiming]:
    """Read what `Pace.to_text` wrote; raises ValueError, TypeError or AttributeError for anything else."""
    return {
        str(model): ModelTiming(float(mark["spread"]), float(mark["spread_at_s"]), int(mark["next_row"]))
        for model, mark in json.loads(text).items()
    }
