"""What comes back, as typed objects; a field that a newer server adds is left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")


@dataclass(frozen=True)
class Metric:
    """One value to record; without a `timestamp` it is of the moment in which it arrives."""

    metric_name: str
    value: float
    timestamp: datetime | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    unit: str = ""


@dataclass(frozen=True)
class Goal:
    """A goal that foreact set; `progress`, `priority` and `probability` are from 0 to 1."""

    goal_id: str
    goal_type: str
    description: str
    state: str
    progress: float
    priority: float
    probability: float
    deadline: datetime
    reason: str
    objective: str | None = None
    series: str | None = None


@dataclass(frozen=True)
class Act:
    """An action that was planned or done; `status` says how it stands."""

    action_id: str
    name: str
    status: str
    goal_id: str
    target: str
    params: Mapping[str, Any]
    due_at: datetime
    needs_approval: bool


@dataclass(frozen=True)
class Breach:
    """How likely an objective breaks, and when it is expected to."""

    objective: str
    series: str
    probability: float
    expected_at: datetime | None = None


@dataclass(frozen=True)
class SeriesForecast:
    """The forecast of one series, soonest first: `low` and `high` hold nine of ten values.

    `refusal` says why there is none, where there is none.
    """

    series: str
    timestamps: tuple[datetime, ...]
    point: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    unit: str = ""
    refusal: str | None = None


@dataclass(frozen=True)
class Predictions:
    """What the newest cycle foretells: the state of the system, likely breaches, and every series."""

    state: str
    state_probability: float | None
    breaches: tuple[Breach, ...]
    series: Mapping[str, SeriesForecast]
    note: str | None = None

    def frame(self, series: str) -> pd.DataFrame:
        """Return the forecast of a series as a pandas frame: `point`, `low` and `high` by time.

        Raises KeyError where the series is not known, ImportError where pandas is not installed.
        """
        import pandas as pd

        one = self.series[series]
        index = pd.to_datetime(list(one.timestamps), utc=True).rename("time")
        return pd.DataFrame({"point": one.point, "low": one.low, "high": one.high}, index=index)


def build(kind: type[T], given: Mapping[str, Any]) -> T:
    """Make a record of what a server sent: moments are read, lists become tuples, unknown fields are left out."""
    names = {each.name: str(each.type) for each in fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: _value(given[name], names[name]) for name in names.keys() & given.keys()})


def _value(value: Any, kind: str) -> Any:
    if isinstance(value, list):
        return tuple(_value(each, kind) for each in value)
    return moment(value) if isinstance(value, str) and "datetime" in kind else value


def moment(text: str) -> datetime:
    """Return a moment as the server writes it, in UTC."""
    at = datetime.fromisoformat(text)
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
