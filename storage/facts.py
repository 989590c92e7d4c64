"""Facts: what is so at the moment, each declared here once with its type, who writes it and who reads it.

A fact outlives the turn that wrote it: a word of a person, what one turn leaves for the next, or what people are shown.
What a later stage of the same turn needs is an argument of that stage, and no fact. docs/facts.md shows the list.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar

from pydantic import BeforeValidator, TypeAdapter

from storage.engine.protocol import Engine, Followed
from storage.records import Autonomy, Breach, BudgetUnit, Moment, Objective, Verdict
from storage.table import Clock, next_number

T = TypeVar("T")


@dataclass(frozen=True)
class _Declared(Generic[T]):
    """What a fact is called and holds, and the modules that write and read it."""

    name: str
    json: TypeAdapter[T]
    holds: str
    written_by: tuple[str, ...]
    read_by: tuple[str, ...]


class Fact(_Declared[T]):
    """One value in force."""


class Family(_Declared[T]):
    """A value in force for each key; their names all begin with the family's."""

    def of(self, key: str) -> Fact[T]:
        """Return the fact of a key."""
        return Fact(self.name + key, self.json, self.holds, self.written_by, self.read_by)


class FactTable:
    """The `facts` table: the newest row of a name is in force."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine, self._clock = engine, clock
        # One reading serves the dozen names that a turn asks for.
        self._followed = Followed(("facts",), self._read, widen=lambda _: ("",))

    def set(self, fact: Fact[T], value: T, actor: str = "loop") -> None:
        """Put a new value in force; what is as by default is left out, so that it goes on following the default."""
        self._engine.rows(
            "INSERT INTO facts VALUES ($seq, $name, $now, $actor, $value)",
            {
                "seq": next_number(),
                "name": fact.name,
                "now": self._clock(),
                "actor": actor,
                "value": fact.json.dump_json(value, exclude_defaults=True).decode(),
            },
        )

    def get(self, fact: Fact[T]) -> T | None:
        """Return the value in force; None where there never was one."""
        value = self._in_force(fact.name).get(fact.name)
        return None if value is None else fact.json.validate_json(value)

    def matching(self, family: Family[T]) -> dict[str, T]:
        """Return the values in force of a family, by key."""
        start, read = family.name, family.json.validate_json
        values = self._in_force(start).items()
        return {name.removeprefix(start): read(value) for name, value in values if name.startswith(start)}

    def _in_force(self, prefix: str) -> dict[str, str]:
        """Return as text the values in force of names with a prefix, and perhaps others."""
        return self._engine.follow(self._followed, prefix)

    def _read(self, prefix: str) -> dict[str, str]:
        # Not ORDER BY … LIMIT 1, which takes DuckDB three times as long.
        sql = "SELECT name, arg_max(value, seq) FROM facts WHERE starts_with(name, $prefix) GROUP BY name"
        read = partial(self._engine.rows, sql, {"prefix": prefix})
        return self._engine.recall(("facts",), ("facts", prefix), lambda: dict(read()))


@dataclass(frozen=True)
class Switch:
    """Whether a person lets the loop act by itself, and what the configuration said of it at the time."""

    autonomous: bool
    configured: bool


@dataclass(frozen=True)
class EarnedLevel:
    """The level that a pair earned, and the one that was configured when it did."""

    level: Autonomy
    configured: Autonomy | None


@dataclass(frozen=True)
class ProposerLevel:
    """What the proposals of one may lead to, since when, and why; nothing where that is observe.

    What was proposed under the name up to `forgotten_until` was somebody else's, for its key was revoked then.
    """

    level: Autonomy
    since: Moment
    reason: str
    forgotten_until: Moment | None = None


@dataclass(frozen=True)
class OutOfDepth:
    """Since and until when actions ask first, and why; new trouble moves `until`, and a person's word ends it."""

    since: Moment
    until: Moment
    reason: str
    is_over: bool = False


@dataclass(frozen=True)
class ForecastLooks:
    """How forecasts held of late, at looks an hour apart: those issued at `issued_at` were looked at last.

    By metric: its misses, oldest first, in half-widths of the 90 % interval, and the evidence that they have grown.
    `made_anew_at` is when most series were last found new or gone.
    """

    issued_at: Moment
    misses: dict[str, list[float]]
    evidence: dict[str, float]
    made_anew_at: Moment | None = None


class LongSearch(NamedTuple):
    """The cycle that last searched whole windows for patterns, and when each of these was searched, in unix seconds.

    `at_s` is that of the earliest, `frames` holds each by name; older releases wrote one name for all.
    """

    cycle_id: str
    at_s: float
    frames: Annotated[dict[str, float], BeforeValidator(lambda known: known if isinstance(known, dict) else {})]


class FoundDriver(NamedTuple):
    """A series that was found to drive an objective's metric, and the amount that is set for it."""

    driver: str
    capacity: str
    metric: str


class DriverSearch(NamedTuple):
    """When drivers were last searched for, in unix seconds, those found so far, and those found once, by objective."""

    at_s: float
    found: dict[str, FoundDriver]
    once: dict[str, FoundDriver]


@dataclass(frozen=True)
class DrivenBreaches:
    """The breaches that drivers foretell, in the place of those that a cycle recorded for the same objectives."""

    cycle_id: str
    breaches: tuple[Breach, ...]


SequenceHow = Literal["done", "stopped", "undone", "left"]


@dataclass(frozen=True)
class SequenceEnd:
    """How a sequence of actions ended: all done, stopped as its goal was met, undone, or something of it left."""

    how: SequenceHow
    at: Moment
    name: str
    goal_id: str
    reason: str


DrillFinding = Literal["passed", "failed", "no target"]


@dataclass(frozen=True)
class BacktestProgress:
    """How far a backtest of the last `days` has come; where it is over without a report, `trouble` says why."""

    started_at: datetime
    days: float
    turns_done: int = 0
    turns: int = 0
    is_over: bool = False
    trouble: str = ""


@dataclass(frozen=True)
class Drill:
    """How a drill of one action went; `no target` where there is nothing here to practise on safely."""

    action: str
    at: str
    finding: DrillFinding
    detail: str
    act_s: float = 0.0
    undo_s: float = 0.0


@dataclass(frozen=True)
class PlaceboRate:
    """How often what was never done was taken for an effect, and how often its 90 % interval held zero."""

    count: int = 0
    false_alarms: int = 0
    covered: int = 0

    @property
    def false_alarm_ratio(self) -> float | None:
        """Return the share of false alarms; None of nothing."""
        return self.false_alarms / self.count if self.count else None

    @property
    def coverage_ratio(self) -> float | None:
        """Return the share of intervals that hold zero; None of nothing."""
        return self.covered / self.count if self.count else None


@dataclass(frozen=True)
class PlaceboFigures:
    """What the newest placebo check found on the own metrics, at random moments and right after a metric went high.

    Every interval must be `widening` times as wide to hold as often as it says, 1 where it does. `shared_ratio` is the
    error that all outcomes on one metric have in common, over their standard error. `undecided` placebos had too short
    a past.
    """

    at: Moment
    series: int
    random: PlaceboRate
    after_high: PlaceboRate
    undecided: int
    widening: float
    shared_ratio: float
    sentence: str


@dataclass(frozen=True)
class ChildShare:
    """What one part gets of the budget above it, until the horizon: `share`, of the `foreseen` need if nothing is done.

    `used` is what it took in the budget's window, or what it costs now, `least` what is set aside for it whatever
    comes. Its goals count `weight` times. `lost` says why nothing can be done for it, where that is so.
    """

    name: str
    share: float
    foreseen: float
    used: float
    least: float = 0.0
    weight: float = 1.0
    lost: str = ""


@dataclass(frozen=True)
class BudgetShares:
    """How a budget is shared: its `limit`, what is `used` of it and what is `left`, all in `unit`.

    `price` is what one more unit would save, on the scale of costs; `over` what is foreseen beyond what is left.
    Nothing was shared where there is a `trouble`.
    """

    budget: str
    unit: BudgetUnit
    limit: float
    used: float = 0.0
    left: float = 0.0
    price: float = 0.0
    over: float = 0.0
    parts: tuple[ChildShare, ...] = ()
    sentence: str = ""
    trouble: str = ""
    cycle_id: str = ""


@dataclass(frozen=True)
class HeldShare:
    """What this agent may hold of a scarce thing that several share, as it last heard from whoever grants it.

    `token` is that of the lease, 0 before the first; `amount` may be held for `lasts_s` seconds from `asked_at` on, by
    our own clock, and `safe` for good. `instance` tells this agent from another of its name, `in_use` is what it last
    said it holds, `wanted` what would be best for all together, `price` what one more would be worth. `sets` is the
    amount that is shared, None where acts are. `trouble` says why the last question was not answered, "" where it was,
    `note` what people should know of an answer; `is_lost` tells that people know of the end of the lease.
    """

    instance: str
    token: int = 0
    amount: float = 0.0
    safe: float = 0.0
    asked_at: Moment | None = None
    lasts_s: float = 0.0
    in_use: float = 0.0
    wanted: float = 0.0
    price: float = 0.0
    sets: str | None = None
    trouble: str = ""
    note: str = ""
    is_lost: bool = False


@dataclass(frozen=True)
class LateStanding:
    """What was learned of what comes late, for a type of goal, and whether it may choose.

    With so many `choices` it was looked at last, and `looks` of those that can admit are spent. `since` it is admitted,
    or a shadow. `mean_h` is how much less a choice would cost, in hours of severity 1 broken, `low_h` the bound that
    was asked; None where too little tells. `differing` and `followed` count choices in which it would do otherwise, and
    those of them in which that was done. `weights` and `covariance` are the policy's, over `arms`.
    """

    at: Moment
    choices: int
    looks: int
    is_admitted: bool
    since: Moment | None
    mean_h: float | None
    low_h: float | None
    differing: int
    followed: int
    sentence: str
    arms: tuple[str, ...] = ()
    weights: list[float] = field(default_factory=list)
    covariance: list[list[float]] = field(default_factory=list)


@dataclass(frozen=True)
class DurationLook:
    """What the newest look at how long an action works found, with so many acts.

    `duration_s` is None where that cannot be told, or its effect `stays`.
    """

    acts: int
    at: Moment
    duration_s: float | None = None
    stays: bool = False


MODE = Fact(
    "mode.autonomous",
    TypeAdapter(Switch),
    "Whether the loop may act by itself, as last switched",
    written_by=("tasks.authority",),
    read_by=("tasks.authority",),
)
EARNED_LEVELS = Family(
    "level:",
    TypeAdapter(EarnedLevel),
    "What a pair, as `GOAL_TYPE:action`, may do as it earned",
    written_by=("tasks.authority",),
    read_by=("tasks.authority",),
)
HELD_SHARES = Family(
    "shared:",
    TypeAdapter(HeldShare),
    "What this agent may hold of a scarce thing that several share, by its name",
    written_by=("tasks.sharing.task",),
    read_by=("tasks.shared_limits",),
)
OUT_OF_DEPTH = Family(
    "depth:",
    TypeAdapter(OutOfDepth),
    "What is out of its depth and asks first: `action:GOAL_TYPE:NAME`, `metric:NAME` or `world`",
    written_by=("tasks.authority",),
    read_by=("tasks.authority",),
)
FORECAST_LOOKS = Fact(
    "depth.looks",
    TypeAdapter(ForecastLooks),
    "How forecasts of the objectives' metrics held of late, and when most series last changed",
    written_by=("tasks.learn.depth_watch",),
    read_by=("tasks.learn.depth_watch",),
)
DOUBTS = Fact(
    "depth.doubts",
    TypeAdapter(list[str]),
    "The pairs, as `GOAL_TYPE:action`, that seem to harm, so that their last acts are measured before the next",
    written_by=("tasks.learn.depth_watch",),
    read_by=("tasks.interventions.matured", "tasks.learn.depth_watch"),
)
PROPOSERS = Family(
    "proposer:",
    TypeAdapter(ProposerLevel),
    "What the proposals of one may lead to as their acts were measured, by name",
    written_by=("tasks.authority",),
    read_by=("tasks.authority",),
)
OBJECTIVES: Family[Objective | None] = Family(
    "objective:",
    TypeAdapter(Objective | None),
    "An objective set by hand, by name; null removes the one of the file or the default",
    written_by=("api.commands.objectives",),
    read_by=("tasks.objectives.in_force",),
)
SOURCES: Family[datetime] = Family(
    "source:",
    TypeAdapter(Moment),
    "How far a source, or one query of it as `prometheus/requests`, was read; from there it is asked again",
    written_by=("tasks.monitor.task",),
    read_by=("flows.wiring",),
)
TROUBLES = Fact(
    "monitor.troubles",
    TypeAdapter(tuple[str, ...]),
    "What could not be read or was left out at the last turn, in words, so that it is shown, and audited once",
    written_by=("tasks.monitor.task",),
    read_by=("api.queries.agent", "cli.checks", "tasks.monitor.task"),
)
SEARCHED = Fact(
    "patterns.searched",
    TypeAdapter(LongSearch),
    "The last search of whole windows; what it found holds for a while",
    written_by=("tasks.patterns.task",),
    read_by=("tasks.learn.publish", "tasks.patterns.in_force", "tasks.patterns.task"),
)
WRONG_METHODS = Fact(
    "forecast.wrong_methods",
    TypeAdapter(dict[str, str]),
    "What is wrong with the method configured for a metric, so that it is audited once",
    written_by=("tasks.forecast.model_store",),
    read_by=("tasks.forecast.model_store",),
)
DRIVEN = Fact(
    "breaches.driven",
    TypeAdapter(DrivenBreaches),
    "The breaches that drivers foretell, as the goals went by them",
    written_by=("tasks.goals.task",),
    read_by=("tasks.drivers.in_force",),
)
DRIVER_SEARCH = Fact(
    "drivers.found",
    TypeAdapter(DriverSearch),
    "What was found to drive objectives that name no driver",
    written_by=("tasks.drivers.in_force",),
    read_by=("tasks.drivers.in_force", "tasks.objectives.in_force"),
)
STANDINGS = Fact(
    "goals.standings",
    TypeAdapter(dict[str, str]),
    "How each open goal stood at the last turn, in words, by its id",
    written_by=("tasks.goals.task",),
    read_by=("api.dashboard.list_pages", "api.dashboard.page_data", "api.queries.goals", "tasks.goals.task"),
)


BUDGET_SHARES = Fact(
    "plan.shares",
    TypeAdapter(tuple[BudgetShares, ...]),
    "How each budget was shared among the parts of its objective at the last turn",
    written_by=("tasks.plan.task",),
    read_by=("api.queries.shares", "tasks.plan.task"),
)


LATE_POLICIES = Family(
    "late:",
    TypeAdapter(LateStanding),
    "What was learned of effects that come late, and whether it may choose, by type of goal",
    written_by=("tasks.learn.late_review",),
    read_by=("api.queries.late_effects", "tasks.learn.late_review"),
)


class WaitCode(StrEnum):
    """What holds an action that is due."""

    KILL_SWITCH = "kill_switch"
    APPROVAL = "approval"
    MODE_OFF = "mode_off"
    RECOMMENDATION = "recommendation"
    MAINTENANCE = "maintenance"
    SILENCE = "silence"
    UNDO_FAILED = "undo_failed"
    DOUBT = "doubt"
    FAILURES = "failures"
    COOLDOWN = "cooldown"
    ACTION_LIMIT = "action_limit"
    LIMIT_OF_ALL = "limit_of_all"
    BLAST_RADIUS = "blast_radius"
    BLAST_RADIUS_LABELS = "blast_radius_labels"
    CONCURRENT_GOALS = "concurrent_goals"
    EARLIER_STEP = "earlier_step"
    FACTS = "facts"


@dataclass(frozen=True)
class Wait:
    """What an action waits for, as people read it; earlier releases kept no code."""

    reason: str
    code: WaitCode | None = None


@dataclass(frozen=True)
class ToldEarly:
    """A verdict that was clear before the window was over: since when, after how many steps of it, and in words."""

    verdict: Verdict
    at: Moment
    steps: int
    sentence: str


def _of_older_release(kept: Any) -> Any:
    return {"reason": kept} if isinstance(kept, str) else kept


WAITS = Fact(
    "execute.waits",
    TypeAdapter(dict[str, Annotated[Wait, BeforeValidator(_of_older_release)]]),
    "What each action waits for that is due and may not be done yet, by its id",
    written_by=("api.commands.operator", "tasks.execute.task"),
    read_by=("api.commands.operator", "api.queries.goals", "cli.checks", "tasks.execute.task"),
)
SEQUENCE_ENDS = Family(
    "sequence:",
    TypeAdapter(SequenceEnd),
    "How a sequence of actions ended, by its id",
    written_by=("tasks.execute.task",),
    read_by=("api.queries.goals", "tasks.execute.task"),
)
EARLY_VERDICTS = Fact(
    "measure.early",
    TypeAdapter(dict[str, ToldEarly]),
    "What was clear of an act before its window is over, by its id; it goes into the outcome when that comes",
    written_by=("tasks.measure.task",),
    read_by=("api.queries.goals", "tasks.learn.depth_watch", "tasks.measure.judge", "tasks.measure.task"),
)
INSIGHTS = Fact(
    "insights",
    TypeAdapter(dict[str, Any]),
    "What outcomes taught, as `tasks.learn.insights` returns it",
    written_by=("tasks.learn.publish",),
    read_by=("api.queries.agent", "tasks.learn.knowledge", "tasks.learn.publish"),
)
DURATIONS = Fact(
    "actions.durations",
    TypeAdapter(dict[str, DurationLook]),
    "How long actions work of which nobody says, as their acts taught, by action",
    written_by=("tasks.learn.durations",),
    read_by=("tasks.configured_actions", "tasks.learn.durations"),
)
CONSIDERED = Fact(
    "outcomes.considered",
    TypeAdapter(int),
    "How many outcomes there were when insights and levels were last gone through",
    written_by=("tasks.learn.task",),
    read_by=("tasks.learn.task",),
)
PLACEBOS = Fact(
    "placebo.check",
    TypeAdapter(PlaceboFigures),
    "The figures of the newest `foreact evaluate --placebo`, which widen the intervals of the insights",
    written_by=("cli.placebos",),
    read_by=("api.queries.agent", "tasks.learn.publish"),
)
DRILLS = Family(
    "drill:",
    TypeAdapter(Drill),
    "The newest undo drill of each action",
    written_by=("cli.checks",),
    read_by=("api.queries.agent", "api.queries.telemetry", "api.routes.actions"),
)
BACKTEST = Fact(
    "backtest",
    TypeAdapter(dict[str, Any]),
    "The figures of the newest backtest, and where its page is",
    written_by=("flows.backtest",),
    read_by=("api.queries.backtests",),
)
BACKTEST_PROGRESS = Fact(
    "backtest.progress",
    TypeAdapter(BacktestProgress),
    "How far the newest backtest has come, or why it ended without a report",
    written_by=("flows.backtest",),
    read_by=("api.queries.backtests",),
)
LINE_TOLD_TO_PEOPLE = Fact(
    "herald.alerts",
    TypeAdapter(int),
    "The last line of the audit trail of which people were told",
    written_by=("api.background.alerts",),
    read_by=("api.background.alerts",),
)
LINE_TOLD_TO_PREFECT = Fact(
    "herald.events",
    TypeAdapter(int),
    "The last line of the audit trail that Prefect has as an event",
    written_by=("api.background.notifier",),
    read_by=("api.background.notifier",),
)
CLOSED_GOALS = Fact(
    "herald.closed",
    TypeAdapter(list[str]),
    "The goals that ended of late and were told of, by id",
    written_by=("api.background.alerts",),
    read_by=("api.background.alerts",),
)
KILL_SWITCH = Fact(
    "herald.stopped",
    TypeAdapter(bool),
    "Whether the kill-switch file was there at the last look, so that its coming and going is audited",
    written_by=("api.background.alerts", "api.commands.operator"),
    read_by=("api.background.alerts",),
)
CONFIGURATION_TROUBLE = Fact(
    "herald.trouble",
    TypeAdapter(str),
    "Why foreact.toml could not be used at the last look, so that it is audited once",
    written_by=("api.background.notifier",),
    read_by=("api.background.notifier",),
)
