"""The vocabulary of the loop, in the order in which data flows through it.

    monitor   Sample, Event                 what was seen
    patterns  Pattern                       what keeps happening
    forecast  Forecast, Breach              what will happen, and when an objective breaks
    goals     Objective, Goal, Transition   what should hold, and what the loop decides to do about it
    plan      Plan, Decision                what to do about it, and what was rejected
    execute   Action, Receipt, Approval     the intent before an act, the receipt after it
    measure   Estimand, Outcome             how an action is measured, and its effect with an interval
    learn     Belief                        the current belief about each action
    always    Cycle, AuditEntry             one turn of the loop; one line of the audit trail

Records are frozen. Times are aware datetimes in UTC. Durations end in `_s` (seconds), shares in `_ratio`.
Objects are for the few (goals, plans, outcomes); samples in bulk travel as columns (`Frame`).
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


def _to_utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


Moment = Annotated[AwareDatetime, AfterValidator(_to_utc)]
"""An aware datetime, kept in UTC."""


@dataclass(frozen=True)
class InColumn:
    """Says that a field has a column of its own beside the record as JSON; by another name than its own, if given."""

    name: str = ""


_T = TypeVar("_T")
Column = Annotated[_T, InColumn()]
"""A field that SQL may search by: its table has a column of its name."""


def stable_id(prefix: str, *parts: object) -> str:
    """Derive an id from what it names, so that a retried step writes the same row and not a second one."""
    text = json.dumps([str(part) for part in parts])
    return f"{prefix}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def series_key(metric: str, labels: Mapping[str, str] | None = None) -> str:
    """Name a series: the metric, then its labels in sorted order, as in `disk_used_ratio{mount="/"}`."""
    if not labels:
        return metric
    inner = ",".join(f'{name}="{labels[name]}"' for name in sorted(labels))
    return f"{metric}{{{inner}}}"


def metric_of(series: str) -> str:
    """Return the metric name of a series key."""
    return series.partition("{")[0]


_LABEL = re.compile(r"""\s*([^\s=,{}"']+)\s*=\s*(?:"([^"]*)"|'([^']*)')\s*(?:,|$)""")


@lru_cache(maxsize=100_000)
def labels_of(series: str) -> Mapping[str, str]:
    """Return the labels of a series key or selector, in any order, spacing and quotes; none where none can be read."""
    inner = series.partition("{")[2].strip().removesuffix("}").strip()
    labels, place = dict[str, str](), 0
    while place < len(inner):
        found = _LABEL.match(inner, place)
        if found is None:
            return MappingProxyType({})
        labels[found[1]] = found[2] if found[2] is not None else found[3]
        place = found.end()
    return MappingProxyType(labels)


def selects(selector: str, series: str) -> bool:
    """Tell whether a selector means a series: its key, its metric, or its metric with these labels among others."""
    metric, _, has_labels = selector.partition("{")
    if not has_labels:
        return selector in {series, metric_of(series)}
    if selector == series:
        return True
    wanted = labels_of(selector)
    return bool(wanted) and metric.strip() == metric_of(series) and wanted.items() <= labels_of(series).items()


class SeriesIndex:
    """Series by name, metric and label: of ten thousand, those that a selector means are found without asking each."""

    def __init__(self, series: Sequence[str]) -> None:
        self.series = series
        self.places = {name: place for place, name in reversed(list(enumerate(series)))}
        self._of_metric: dict[str, list[int]] = defaultdict(list)
        for place, name in enumerate(series):
            self._of_metric[metric_of(name)].append(place)

    def meant(self, selector: str) -> list[int]:
        """Return the places of the series for which `selects` is true, in their order."""
        exact = [self.places[selector]] if selector in self.places else []
        if "{" not in selector:
            return sorted({*exact, *self._of_metric.get(selector, ())})
        metric, wanted = metric_of(selector).strip(), labels_of(selector)
        having = [self._of_label.get((metric, *label), ()) for label in wanted.items()]
        fewest = min(having, key=len, default=())
        return sorted({*exact, *(place for place in fewest if selects(selector, self.series[place]))})

    def meant_by_any(self, selectors: Iterable[str]) -> set[int]:
        """Return the places of the series that one of some selectors means, or several."""
        return {place for selector in set(selectors) for place in self.meant(selector)}

    @cached_property
    def _of_label(self) -> Mapping[tuple[str, str, str], list[int]]:
        places: dict[tuple[str, str, str], list[int]] = defaultdict(list)
        for place, name in enumerate(self.series):
            for label in labels_of(name).items():
                places[metric_of(name), *label].append(place)
        return places


def as_key(selector: str) -> str:
    """Return a selector written as series keys are, so that equal ones are equal texts; unreadable ones as they are."""
    labels = labels_of(selector)
    return series_key(metric_of(selector).strip(), labels) if labels else selector


Selector = Annotated[str, AfterValidator(as_key)]
"""Names series: a metric means all of its series, `metric{label="value"}` those that have that label."""


class Record(BaseModel):
    """A fact that does not change once it is written."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


_GOAL_TYPE = re.compile(r"[A-Z][A-Z0-9_]{0,59}")


class GoalType(StrEnum):
    """What a goal is about: these seven, or the type that a further rule brings, a name in capitals like them."""

    RESOURCE_OPTIMIZATION = "RESOURCE_OPTIMIZATION"
    PERFORMANCE_TARGET = "PERFORMANCE_TARGET"
    CAPACITY_PLANNING = "CAPACITY_PLANNING"
    BOTTLENECK_PREVENTION = "BOTTLENECK_PREVENTION"
    COST_REDUCTION = "COST_REDUCTION"
    SLA_MAINTENANCE = "SLA_MAINTENANCE"
    PATTERN_ADAPTATION = "PATTERN_ADAPTATION"

    @classmethod
    def _missing_(cls, value: object) -> GoalType | None:
        """Return a further type, the same each time, so that goals of a rule that is gone can still be read."""
        if not isinstance(value, str) or _GOAL_TYPE.fullmatch(value) is None:
            return None
        further = str.__new__(cls, value)
        further._name_ = further._value_ = value
        return cls._value2member_map_.setdefault(value, further)  # type: ignore[return-value]

    def __reduce_ex__(self, protocol: object) -> tuple[type[GoalType], tuple[str]]:
        """Return how to make it again, by its value: Python 3.11.2 asks for the name, which a further type lacks."""
        return GoalType, (self.value,)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        shown = handler(schema)
        return {"examples": shown.pop("enum"), "pattern": f"^{_GOAL_TYPE.pattern}$", **shown}


class GoalState(StrEnum):
    """The state of a goal; the last transition decides."""

    PROPOSED = "proposed"
    ACTIVE = "active"
    BLOCKED = "blocked"
    ACHIEVED = "achieved"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"

    @property
    def is_terminal(self) -> bool:
        """Tell whether nothing follows this state."""
        return self not in {GoalState.PROPOSED, GoalState.ACTIVE, GoalState.BLOCKED}


class Strategy(StrEnum):
    """How a plan is carried out over time."""

    IMMEDIATE = "IMMEDIATE"
    SCHEDULED = "SCHEDULED"
    ADAPTIVE = "ADAPTIVE"
    COLLABORATIVE = "COLLABORATIVE"


class Autonomy(StrEnum):
    """What the loop may do with a (goal type, action) pair, in ascending order."""

    OBSERVE = "observe"
    RECOMMEND = "recommend"
    APPROVE = "approve"
    AUTO = "auto"

    @property
    def rank(self) -> int:
        """Return the place in the order: 0 for observe, 3 for auto."""
        return list(Autonomy).index(self)


class ReceiptStatus(StrEnum):
    """How an action ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    SKIPPED = "skipped"
    DRY_RUN = "dry_run"
    UNKNOWN = "unknown"


class Verdict(StrEnum):
    """What an action changed; missing data is never success."""

    IMPROVED = "improved"
    NO_EFFECT = "no effect"
    WORSE = "worse"
    INCONCLUSIVE = "inconclusive"
    CONFOUNDED = "confounded"
    UNKNOWN = "unknown"


FUTURE_S = 300.0
"""So far ahead the moment of a sample or an event may lie, since clocks differ; what lies further is not taken."""


class Sample(Record):
    """One value of one series."""

    metric: str = Field(min_length=1, max_length=200)
    value: float
    ts: Moment
    labels: dict[str, str] = Field(default_factory=dict)
    unit: str = ""

    @property
    def series(self) -> str:
        """Return the series key."""
        return series_key(self.metric, self.labels)


class Event(Record):
    """Something that happened at a moment."""

    event_type: str = Field(min_length=1, max_length=200)
    ts: Moment
    metadata: dict[str, Any] = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=dict)


class Frame(Record):
    """A window of several series on one regular grid: the working form of samples.

    `values` is (series, steps), oldest first, NaN where nothing was recorded; the last column ends at `end`. `units`
    are those that were recorded with the samples, by series.
    `seasons_s` are the cycles in which the system lives: a day and a week unless configured otherwise.
    """

    series: tuple[str, ...]
    values: FloatArray
    end: Moment
    step_s: float
    seasons_s: tuple[float, ...] = (86_400.0, 604_800.0)
    units: Mapping[str, str] = Field(default_factory=dict)

    @property
    def season_lengths(self) -> tuple[int, ...]:
        """Return the seasons in steps."""
        return tuple(max(1, round(season_s / self.step_s)) for season_s in sorted(self.seasons_s))

    def in_seasons(self, seasons_s: tuple[float, ...]) -> Frame:
        """Return the same window of a system that lives in these cycles."""
        return self.model_copy(update={"seasons_s": seasons_s})

    def row(self, series: str) -> FloatArray:
        """Return one series' values, oldest first; KeyError where it is not in the frame."""
        values: FloatArray = self.values[self.index.places[series]]
        return values

    @cached_property
    def index(self) -> SeriesIndex:
        """Return where each series lies."""
        return SeriesIndex(self.series)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Frame:
        """Return a copy, which finds its series anew: they may be others."""
        copied = super().model_copy(update=update, deep=deep)
        if update and "series" in update:
            copied.__dict__.pop("index", None)
        return copied


class Pattern(Record):
    """A pattern found in events or metrics, with its evidence."""

    pattern_id: Column[str]
    kind: Column[str]
    subject: Column[str]
    statement: str
    strength: float = Field(ge=0, le=1)
    p_value: float | None = None
    evidence: dict[str, Any] = Field(default_factory=dict)
    next_at: Moment | None = None
    period_s: float | None = None


class Forecast(Record):
    """What one series will do after `issued_at`: `point` is (steps,), `quantiles` (steps, levels)."""

    series: str
    issued_at: Moment
    step_s: float
    levels: tuple[float, ...]
    point: FloatArray
    quantiles: FloatArray
    method: str
    warnings: tuple[str, ...] = ()
    refusal: str | None = None

    def at_step(self, step: int) -> datetime:
        """Return the moment that step `step` (0 for the first) ends."""
        return self.issued_at + timedelta(seconds=self.step_s * (step + 1))


class Breach(Record):
    """The probability that an objective breaks within its horizon, and when; from the joint paths."""

    objective: Column[str]
    series: Column[str]
    probability: float = Field(ge=0, le=1)
    expected_at: Moment | None = None
    earliest_at: Moment | None = None
    latest_at: Moment | None = None
    is_breached_now: bool = False
    last_value: float | None = None
    raw_probability: float | None = None


def beyond(values: FloatArray, bound: float, side: str) -> BoolArray:
    """Tell which of many values lie beyond a bound, in their shape; one that is missing (NaN) does not."""
    return values > bound if side == "below" else values < bound


class ObjectiveKind(StrEnum):
    """Which evidence decides whether an objective holds, which a rule looks at; what follows from it is said here."""

    BOUND = "bound"
    HEADROOM = "headroom"
    PERCENTILE = "percentile"
    CAPACITY = "capacity"
    BUDGET = "budget"
    SLO = "slo"
    DEADLINE = "deadline"

    @property
    def bounds_each_value(self) -> bool:
        """Tell whether one value beyond the bound is a breach, with a beginning and an end."""
        return self is ObjectiveKind.BOUND

    @property
    def has_breach_forecast(self) -> bool:
        """Tell whether a path that crosses the bound says when it breaks: no share or sum over a window does."""
        return self in {ObjectiveKind.BOUND, ObjectiveKind.CAPACITY, ObjectiveKind.SLO}

    @property
    def limits_values(self) -> bool:
        """Tell whether each value beyond the bound counts against it: peaks leave room for lower values, sums for any.

        So it contradicts an opposite limit, and what is done for another goal must not harm it.
        """
        return self not in {ObjectiveKind.HEADROOM, ObjectiveKind.BUDGET, ObjectiveKind.DEADLINE}

    @property
    def is_drawn_as_line(self) -> bool:
        """Tell whether charts show the bound: that of a budget is a month's sum, that of an SLO sorts events.

        That of a deadline may be a time of day.
        """
        return self not in {ObjectiveKind.BUDGET, ObjectiveKind.SLO, ObjectiveKind.DEADLINE}

    @property
    def needs_hourly_history(self) -> bool:
        """Tell whether it is judged over days or weeks, on hourly means."""
        return self not in {ObjectiveKind.BOUND, ObjectiveKind.DEADLINE}

    @property
    def has_target_ratio(self) -> bool:
        """Tell whether it holds while a share of a window, its `target_ratio`, is within the bound."""
        return self in {ObjectiveKind.PERCENTILE, ObjectiveKind.SLO}

    @property
    def counts_over_window(self) -> bool:
        """Tell whether it sums up a window of days that has to be kept whole."""
        return self in {ObjectiveKind.SLO, ObjectiveKind.BUDGET}

    @property
    def has_error_budget(self) -> bool:
        """Tell whether its good and bad events are counted over several windows."""
        return self is ObjectiveKind.SLO

    @property
    def judges_runs(self) -> bool:
        """Tell whether each run of a deployment is judged by when it will be done, and not a metric by its values."""
        return self is ObjectiveKind.DEADLINE


DONE_BY = re.compile(r"([01]\d|2[0-3]):([0-5]\d)(?: (\S+))?")
"""A time of day as deadlines have it, with its time zone or that of your users: "06:00 Europe/Berlin", "06:00"."""

TARGET_RATIO = 0.99

RUN_AGE = "prefect_run_age_seconds"
"""The metric of a deployment's oldest unfinished run: the seconds since it was due, 0 while none is."""


class ResponseSpec(Record):
    """How a metric follows from its driver and its capacity, if known and not to be fitted.

    `ratio` is base + work × driver / capacity, `queue` the response time service × (1 + ρ^steepness / (1 − ρ)) with
    ρ = work × driver / capacity, `product` is driver × (base + work × capacity), `capacity` the capacity itself.
    `backlog` is what waits because work × driver is more than the capacity, the driver being a rate per `driver_unit_s`
    seconds, and `age` the age of its oldest in seconds. `per` names a series by whose present value the driver is
    divided first: load per server, where something else than the servers is set. What of it was added lately works
    slower: the driver counts 1 + `slow_start_ratio` times, fading with `slow_start_s`.
    """

    form: Literal["ratio", "queue", "product", "capacity", "backlog", "age"]
    work: float | None = Field(default=None, gt=0)
    base: float = 0.0
    service: float | None = Field(default=None, gt=0)
    steepness: float = Field(default=1.0, ge=1)
    driver_unit_s: float = Field(default=1.0, gt=0)
    per: Selector | None = None
    slow_start_ratio: float = Field(default=0.0, ge=0)
    slow_start_s: float = Field(default=60.0, gt=0)

    @model_validator(mode="after")
    def _numbers_fit_the_form(self) -> ResponseSpec:
        if self.form != "capacity" and self.work is None:
            raise ValueError(f"a response of form {self.form} needs `work`, the load of one unit of the driver")
        if self.form == "queue" and self.service is None:
            raise ValueError("a response of form queue needs `service`, the time of a single request")
        if self.slow_start_ratio and self.per is None:
            raise ValueError("slow_start_ratio needs `per`, the series whose increases work slower at first")
        return self


def filled_in(given: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of an objective with what follows from others; raises ValueError where one is missing."""
    return with_deadline(with_events(given))


def with_events(given: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of an objective; of an SLO without a bound it is the target itself, and each event counts."""
    target = given.get("target_ratio", TARGET_RATIO)
    if given.get("kind") != ObjectiveKind.SLO or "bound" in given or not isinstance(target, int | float):
        return given
    bound = target if given.get("side") == "above" else 1 - target
    return {"counts_events": True, "bound": bound, **given}


def with_deadline(given: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of an objective with what follows from its deployment and its time of day, if it has them.

    That is its metric, and a day as the bound where only a time of day is one. Raises ValueError for a deadline that
    lacks either.
    """
    if given.get("kind") != ObjectiveKind.DEADLINE:
        return given
    if not given.get("deployment"):
        raise ValueError('a deadline is that of a deployment: name it, as in deployment = "flow/deployment"')
    filled = {"metric": series_key(RUN_AGE, {"deployment": str(given["deployment"])}), **given}
    if given.get("done_by"):
        filled.setdefault("bound", 86_400.0)
    if "bound" not in filled:
        raise ValueError('say by when: bound = 2400 (seconds from when it is due) or done_by = "06:00 Europe/Berlin"')
    return filled


def _check_time_of_day(done_by: str) -> None:
    match = DONE_BY.fullmatch(done_by)
    if match is None:
        raise ValueError('done_by is a time of day, best with its time zone, as in "06:00 Europe/Berlin"')
    try:
        ZoneInfo(match[3] or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"there is no time zone {match[3]!r}; write it like Europe/Berlin") from None


BudgetUnit = Literal["minutes", "cost an hour"]
_PER_HOUR = {"second": 3_600.0, "minute": 60.0, "hour": 1.0, "day": 1.0 / 24}


class SharedBudget(Record):
    """What the objectives below one may use together: broken minutes in so many days, or running cost per time.

    A minute of an objective with several series counts as much as the share of them that break it. Cost is that of the
    amounts that actions set, in the unit of their `unit_cost`.
    """

    minutes: float | None = Field(default=None, gt=0)
    days: float = Field(default=30.0, gt=0)
    cost: float | None = Field(default=None, gt=0)
    per: Literal["second", "minute", "hour", "day"] = "hour"

    @model_validator(mode="after")
    def _is_of_one_kind(self) -> SharedBudget:
        if (self.minutes is None) == (self.cost is None):
            raise ValueError("a budget is of minutes or of cost: { minutes = 43.2, days = 30 } or { cost = 20 }")
        return self

    @property
    def is_of_minutes(self) -> bool:
        """Tell whether it is an error budget, of broken minutes."""
        return self.minutes is not None

    @property
    def unit(self) -> BudgetUnit:
        """Return in what its amounts are told."""
        return "minutes" if self.is_of_minutes else "cost an hour"

    @property
    def limit(self) -> float:
        """Return the minutes of its window, or the cost of an hour."""
        return self.minutes if self.minutes is not None else float(self.cost or 0.0) * _PER_HOUR[self.per]


class Objective(Record):
    """What a metric should do: a bound or target, its severity, and how far ahead to look.

    `spread` is the distance, in units of the metric, beyond the bound at which a value is half as bad again; by default
    the metric's standard deviation. With a `driver` and a `capacity` the metric is planned on its driver; `response`
    says how it follows from both, and is fitted if not given.

    One of kind deadline is about the runs of a `deployment` ("flow/deployment"): each is to be done within `bound`
    seconds of when it is due, and by the next `done_by` ("06:00 Europe/Berlin") after that where one is given. A time
    of day that names no zone goes by the clocks of the users' zone.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,99}$")
    """unique; goals refer to it. Small letters, digits, `_`, `.` and `-`"""
    metric: Selector = Field(min_length=1)
    """every series of that metric, or one: `'disk_used_ratio{mount="/"}'`"""
    kind: ObjectiveKind = ObjectiveKind.BOUND
    """how it is judged: [kinds](goals.md#objectives)"""
    side: Literal["below", "above"] = "below"
    """on which side of the bound it should stay: below or above"""
    bound: float = Field(allow_inf_nan=False)
    """the bound, in the unit of the metric; of a deadline the seconds from when a run is due. An slo on a share may do
    without: then each event counts
    """
    severity: float = Field(default=0.5, ge=0, le=1)
    """0 to 1: how much it matters; from 0.9 on nothing is tried out while something is known to help"""
    horizon_s: float = Field(default=3_600, gt=0)
    """how far ahead to look, in seconds"""
    window_s: float = Field(default=86_400, gt=0)
    """the window of the kinds percentile, headroom and slo, in seconds"""
    target_ratio: float = Field(default=TARGET_RATIO, gt=0, lt=1)
    """the share of the window that must keep the bound: percentile and slo"""
    counts_events: bool = False
    """an slo on a share of good events (`side` above) or bad ones (below): each event counts, whatever the share of
    its step; so where no bound is given
    """
    probability_threshold: float = Field(default=0.5, gt=0, lt=1)
    """the probability of a breach that raises a goal"""
    description: str = ""
    """what it is about, for people"""
    owner: str = ""
    """who cares for it, for people"""
    cost_weight: float = Field(default=1.0, ge=0)
    """what the cost of each act for it is multiplied with"""
    guards: tuple[Selector, ...] = ()
    """metrics that must not get worse by what is done for it"""
    driver: Selector | None = None
    """the series that drives the metric, such as requests a second:
    [planning.md](planning.md#objectives-with-a-driver)
    """
    capacity: Selector | None = None
    """the series of the amount that serves it, such as servers; named together with `driver`"""
    denominator: Selector | None = None
    """the metric is divided by this one"""
    parent: str | None = None
    """the objective that this one is part of"""
    composition: Literal["and", "or"] = "and"
    """what a parent needs: all its parts (and), or any one (or)"""
    budget: SharedBudget | None = None
    """what its parts share: [shared-goals.md](shared-goals.md)"""
    least: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """the least share of the budget above it: minutes, or cost in an hour"""
    hard: bool = False
    """its goals are met before those of soft objectives, the severest first"""
    spread: float | None = Field(default=None, gt=0)
    """how far beyond the bound a value is half as bad again; the standard deviation of the metric where it is left out
    """
    response: ResponseSpec | None = None
    """how the metric follows from driver and capacity; fitted where it is left out"""
    deployment: str | None = Field(default=None, pattern=r"^[^/\"]+/[^/\"]+$")
    """a deadline is about the runs of this Prefect deployment, flow/deployment"""
    done_by: str | None = None
    """a time of day by which a run is to be done, with its zone: `06:00 Europe/Berlin`; without one by the clocks of
    `forecasting.pattern_recognizer.timezone`
    """

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, given: Any) -> Any:
        return filled_in(given) if isinstance(given, dict) else given

    @model_validator(mode="after")
    def _only_an_slo_counts_events(self) -> Objective:
        if self.counts_events and self.kind is not ObjectiveKind.SLO:
            raise ValueError('counts_events is for objectives of kind = "slo"')
        return self

    @model_validator(mode="after")
    def _deadline_is_complete(self) -> Objective:
        if self.kind is not ObjectiveKind.DEADLINE:
            if self.deployment is not None or self.done_by is not None:
                raise ValueError('deployment and done_by are for objectives of kind = "deadline"')
            return self
        if self.bound <= 0 or self.side != "below":
            raise ValueError("bound is the seconds within which a run is to be done: more than 0, on the side below")
        if self.done_by is not None:
            _check_time_of_day(self.done_by)
        return self

    @model_validator(mode="after")
    def _driver_needs_capacity(self) -> Objective:
        if (self.driver is None) != (self.capacity is None):
            raise ValueError("name both driver and capacity, or neither")
        if self.response is not None and self.driver is None:
            raise ValueError("response needs driver and capacity: name these as well")
        return self

    @property
    def measured(self) -> str:
        """Return what is looked at: of a ratio `metric/denominator` with the labels that the metric is to have."""
        if self.denominator is None:
            return self.metric
        return series_key(f"{metric_of(self.metric)}/{metric_of(self.denominator)}", labels_of(self.metric))

    def matches(self, series: str) -> bool:
        """Tell whether a series is meant: by its metric, or by its labels as well; neither part of a ratio is."""
        return selects(self.measured, series)

    def is_met(self, value: float) -> bool:
        """Tell whether a value keeps the bound."""
        return value <= self.bound if self.side == "below" else value >= self.bound

    def goodness(self, value: float) -> float:
        """Return how good a value is for an SLO, 0 to 1: within the bound or not, of events the share of good ones."""
        if not self.counts_events:
            return float(self.is_met(value))
        share = min(1.0, max(0.0, value))
        return share if self.side == "above" else 1.0 - share

    @property
    def slice_bound(self) -> float | None:
        """Return within which bound a step of an SLO is good; None where each event counts by itself."""
        return None if self.counts_events else self.bound

    def broken_by(self, values: FloatArray) -> BoolArray:
        """Tell which of many values break the bound, in their shape; one that is missing (NaN) does not."""
        return beyond(values, self.bound, self.side)


class Goal(Record):
    """Something the loop set out to do, and because of what; the rule named here set it and judges it.

    One that `informs` says what keeps happening. `members` are the series that it was set for where these are many
    that broke alike, the worst first; `series` is then that one.
    """

    goal_id: Column[str]
    goal_type: Column[GoalType]
    rule: str = ""
    description: str
    cause: Column[str]
    objective: str | None = None
    series: str | None = None
    bound: float | None = None
    side: Literal["below", "above"] = "below"
    baseline: float | None = None
    severity: float = Field(ge=0, le=1)
    probability: float = Field(ge=0, le=1)
    urgency: float = Field(ge=0, le=1)
    priority: float = Field(ge=0, le=1)
    created_at: Moment
    deadline: Moment
    because: dict[str, Any] = Field(default_factory=dict)
    parent_id: str | None = None
    composition: Literal["and", "or"] = "and"
    informs: bool = False
    members: tuple[str, ...] = ()

    def is_about(self, objective: str, series: str) -> bool:
        """Tell whether it is about one of an objective's series: about this one, or about all that break."""
        return self.objective == objective and (self.series in (None, series) or bool(self.members))


class Transition(Record):
    """A goal moved to a state."""

    goal_id: str
    state: GoalState
    at: Moment
    reason: str
    progress: float = Field(default=0, ge=0, le=1)


class GoalView(Record):
    """A goal with its last transition: what people see."""

    goal: Goal
    state: GoalState
    progress: float
    reason: str
    since: Moment

    @property
    def is_open(self) -> bool:
        """Tell whether the goal still asks for something."""
        return not self.state.is_terminal


class Candidate(Record):
    """Something that could be done for a goal: an action with its parameters, or nothing.

    What it is expected to change is a prior that learning corrects: `expected_effect` in standard deviations of each
    metric, `expected_change` in the metric's own unit where the present state tells it; the latter wins.

    With `steps` it is a sequence, and `action` the name of that: each step begins `starts_s` seconds after the whole,
    once the one before it is done. `cost` is that of all steps, `latency_s` when the last of them works.
    """

    action: str
    params: dict[str, Any] = Field(default_factory=dict)
    target: str = ""
    expected_effect: dict[str, float] = Field(default_factory=dict)
    expected_change: dict[str, float] = Field(default_factory=dict)
    cost: float = 0.0
    latency_s: float = 0.0
    evidence: dict[str, Any] = Field(default_factory=dict)
    steps: tuple[Candidate, ...] = ()
    starts_s: tuple[float, ...] = ()


NOTHING = "nothing"
"""The name of doing nothing, which is always a candidate."""


def sequence_name(steps: Iterable[str]) -> str:
    """Return what a sequence of actions is called, here and wherever its outcomes are told: `front, then back`."""
    return ", then ".join(steps)


class Alternative(Record):
    """A candidate with its value, its probability of being drawn, and why it was not taken.

    The value is gain less cost; neither is known of what could not be done at all. `steps` are the actions of a
    sequence, each with its target.
    """

    action: str
    params: dict[str, Any] = Field(default_factory=dict)
    target: str = ""
    value: float
    propensity: float
    slot: int = 0
    reason: str = ""
    gain: float | None = None
    cost: float | None = None
    steps: tuple[str, ...] = ()


class FlipPoint(Record):
    """From where on something else would have been chosen, all else as it was.

    `varied` is what moves, from what it `was` to where the choice is another one; gain and cost are those of an action.
    `instead` is the action that is chosen there, or `nothing`.
    """

    varied: Literal["breach_probability", "gain", "cost"]
    action: str = ""
    target: str = ""
    params: dict[str, Any] = Field(default_factory=dict)
    was: float
    at: float
    instead: str
    sentence: str


class LateChoice(Record):
    """What the policy learned from late effects said of a choice: it would do `instead`, where `usual` is drawn from.

    That is believed to save `gain_h` hours of severity 1 broken, give or take `doubt_h`. It is done where it
    `is_admitted`, else only said.
    """

    instead: str
    gain_h: float
    doubt_h: float
    is_admitted: bool
    usual: dict[str, float]


class Decision(Record):
    """One choice: the action, its probability, the alternatives and the reason."""

    decision_id: Column[str]
    goal_id: Column[str]
    at: Moment
    chosen: Alternative
    alternatives: tuple[Alternative, ...]
    strategy: Strategy
    explanation: str
    seed: int
    blocked_by: tuple[str, ...] = ()
    flip_points: tuple[FlipPoint, ...] = ()
    late: LateChoice | None = None


class Plan(Record):
    """How a goal will be pursued: the strategy and the actions it leads to."""

    plan_id: Column[str]
    goal_id: Column[str]
    decision_id: str
    created_at: Moment
    strategy: Strategy
    action_ids: tuple[str, ...] = ()
    explanation: str = ""


class Action(Record):
    """A planned action, with everything needed to measure it later recorded in advance.

    It is measured for `horizon_s`; with `least_horizon_s` only until the next act on its metric that comes so long
    after it or later. `off_usual_sd` is how far its metric stood beyond its `usual` level, as `PlanProblem` has it.
    `proposed_by` names who proposed it where that was not the loop itself. A step of a sequence is at `position`, from
    0 on, in the names of all `steps`.
    """

    action_id: Column[str]
    name: Column[str]
    goal_id: Column[str]
    goal_type: GoalType
    plan_id: str
    decision_id: str
    params: dict[str, Any] = Field(default_factory=dict)
    target: Column[str] = ""
    strategy: Strategy = Strategy.IMMEDIATE
    level: Autonomy
    created_at: Moment
    due_at: Column[Moment]
    expires_at: Column[Moment]
    series: str | None = None
    side: Literal["below", "above"] = "below"
    guards: tuple[str, ...] = ()
    horizon_s: float = 600
    least_horizon_s: float | None = None
    propensity: float = 1.0
    dry_run: bool = False
    undo_of: Column[str | None] = None
    priority: float = 0.0
    bound: float | None = None
    off_usual_sd: float = 0.0
    usual: float | None = None
    forecast_cycle_id: str = ""
    proposed_by: str = ""
    sequence_id: str = ""
    position: int = 0
    steps: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Return its name, with its target where it has one."""
        return self.name if self.target == self.name else f"{self.name} {self.target}".strip()

    @property
    def is_middle_step(self) -> bool:
        """Tell whether further steps of its sequence follow: what these achieve together is measured with the last."""
        return self.position + 1 < len(self.steps)

    @property
    def measured_as(self) -> str:
        """Return the name under which its outcome counts: its own, or with the last step that of the sequence."""
        return self.name if not self.steps or self.is_middle_step else sequence_name(self.steps)

    @property
    def pair(self) -> str:
        """Return what its outcome tells of, as `GOAL_TYPE:action`."""
        return f"{self.goal_type}:{self.measured_as}"


class Intent(Record):
    """The durable promise to act, written before anything is touched."""

    action_id: Column[str]
    at: Annotated[Moment, InColumn("promised_at")]
    attempt: Column[int] = 1
    flow_run_id: str = ""
    before: dict[str, Any] = Field(default_factory=dict)


class Receipt(Record):
    """How an action ended: written after the act, never overwritten."""

    action_id: Column[str]
    status: Column[ReceiptStatus]
    started_at: Moment
    finished_at: Column[Moment]
    detail: str = ""
    claimed_impact: dict[str, float] = Field(default_factory=dict)
    evidence: dict[str, Any] = Field(default_factory=dict)
    undo: dict[str, Any] | None = None

    @property
    def duration_s(self) -> float:
        """Return how long the act took."""
        return (self.finished_at - self.started_at).total_seconds()


class Approval(Record):
    """A person's answer to an action that waits for one."""

    action_id: Column[str]
    approved: bool
    by: str
    at: Moment
    expires_at: Moment
    params: dict[str, Any] | None = None
    note: str = ""


class HeldAmount(Record):
    """The counterfactual of an action that sets an amount: the old amount under the observed driver.

    The metric of `objective` is measured from `begins_after_s` after the action on, when the addition works.
    """

    objective: str
    capacity: str
    amount: float
    begins_after_s: float = Field(default=0, ge=0)


class Estimand(Record):
    """How an action will be measured, recorded before it so that nobody can choose later.

    The target `series` is compared with the forecast of `forecast_cycle_id`, on the mean of its first `window_steps`
    steps of `horizon_steps`; `better` says which way it is to move, `trigger` whether it stood in the highest or lowest
    fifth of its past values. `guards` and `side_effects` are measured beside it, `controls` explain what moves it
    anyway. `predicted_sd_units` is what the act was believed to achieve, positive toward the goal, with a standard
    deviation of `predicted_doubt_sd_units`; the fan with the act is `fan_widening` times as wide as that and the
    forecast make it, so that it holds as often as past ones should have. `power_ratio` is how likely the believed
    effect is told from nothing, `detectable` the smallest change, in the metric's unit, that is told with a chance of
    .8, `detectable_sd_units` the same in its standard deviations. An action that sets an amount is measured against
    the old amount (`held`) instead of a forecast of the series.
    """

    action_id: Column[str]
    series: Column[str]
    better: Literal["lower", "higher"]
    fixed_at: Moment
    forecast_cycle_id: str
    issued_at: Moment
    step_s: float = Field(gt=0)
    horizon_steps: int = Field(gt=0)
    window_steps: int = Field(gt=0)
    confidence: float = Field(default=0.90, gt=0, lt=1)
    alpha: float = Field(default=0.05, gt=0, lt=1)
    trigger: Literal["", "high", "low"] = ""
    guards: tuple[str, ...] = ()
    side_effects: tuple[str, ...] = ()
    controls: tuple[str, ...] = ()
    predicted_sd_units: float | None = None
    predicted_doubt_sd_units: float | None = None
    fan_widening: float = 1.0
    power_ratio: float | None = None
    detectable: float | None = None
    detectable_sd_units: float | None = None
    held: HeldAmount | None = None

    @model_validator(mode="after")
    def _window_lies_in_horizon(self) -> Estimand:
        if self.window_steps > self.horizon_steps:
            raise ValueError("the measured window cannot be longer than the horizon")
        return self


MOST_SD_UNITS = 2_000.0
"""No effect is larger: a standard deviation is at least a thousandth of the level. Older rows knew no such floor."""


def _at_most(sd_units: float) -> float:
    return sd_units if abs(sd_units) <= MOST_SD_UNITS else math.copysign(MOST_SD_UNITS, sd_units)


SdUnits = Annotated[float, AfterValidator(_at_most)]


class Outcome(Record):
    """The effect of an action on one metric, compared with the forecast issued before it.

    With `steps` it is that of a sequence, whose name is in the place of the action's.
    """

    outcome_id: Column[str]
    action_id: Column[str]
    action: Column[str]
    goal_id: str
    goal_type: Column[GoalType]
    strategy: Strategy
    series: str
    role: Column[Literal["target", "guard", "side_effect"]] = "target"
    measured_at: Column[Moment]
    acted_at: Moment
    horizon_s: float
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    standard_error: float | None = None
    p_value: float | None = None
    effect_sd_units: SdUnits | None = None
    standard_error_sd_units: SdUnits | None = None
    verdict: Column[Verdict]
    reason: str = ""
    propensity: float = 1.0
    claimed: float | None = None
    status: ReceiptStatus = ReceiptStatus.SUCCEEDED
    duration_s: float = 0.0
    evidence: dict[str, Any] = Field(default_factory=dict)
    steps: tuple[str, ...] = ()


class Belief(Record):
    """What is believed about the actions after an outcome; replayable from the outcomes alone."""

    belief_id: Column[str]
    at: Moment
    outcome_count: Column[int]
    state: dict[str, Any]


class Cycle(Record):
    """One turn of the loop."""

    cycle_id: Column[str]
    agent: Column[str]
    tick: Column[Moment]
    kind: Column[Literal["cycle", "tend", "replay", "simulation"]] = "cycle"
    autonomous: bool
    configuration_hash: str
    code_version: str
    seed: int
    flow_run_id: str = ""


class AuditEntry(Record):
    """One line of the audit trail; each carries the hash of the one before."""

    seq: int
    at: Moment
    actor: str
    verb: str
    subject: str
    detail: dict[str, Any] = Field(default_factory=dict)
    previous_hash: str
    entry_hash: str


class StatePrediction(Record):
    """The predicted overall state of the system at a horizon, with the probability of each state."""

    at: Moment
    state: Literal["healthy", "degraded", "critical", "unknown"]
    probabilities: dict[str, float]
    reason: str = ""
