"""A count that an action sets: `amount` says how many there shall be, without it `by` says how many more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import BaseModel


@dataclass(frozen=True)
class CountRange:
    """The fewest and the most that may be set."""

    least: int
    most: int

    @classmethod
    def of(cls, options: Mapping[str, Any], least: int, most: int) -> CountRange:
        """Return the range that is configured, or these where nothing is said."""
        return cls(int(options.get("least", least)), int(options.get("most", most)))

    def model(self, name: str, amount_means: str, by_means: str) -> type[BaseModel]:
        """Return the parameters of such an action."""
        from pydantic import Field, create_model

        return create_model(
            name,
            amount=(int | None, Field(None, ge=self.least, le=self.most, description=amount_means)),
            by=(int | None, Field(None, description=by_means)),
        )

    def moved(self, now: int, by: int) -> int:
        """Return a count moved within the range; one that stands outside was put there, and is not moved into it."""
        return max(min(now + by, max(self.most, now)), min(self.least, now))


def step_of(options: Mapping[str, Any]) -> dict[str, int]:
    """Return the parameters that are proposed where no amounts are planned."""
    return {"by": int(options["by"])} if options.get("by") else {}
