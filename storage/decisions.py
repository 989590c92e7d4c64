"""Decisions and plans: what was chosen, over what, and why; and what was granted of budgets that agents share.

Rows of that ledger are only added, each with a token greater than all before it: that of the lease that it grants.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Literal

from pydantic import Field

from storage.engine.protocol import Engine
from storage.records import NOTHING, Column, Decision, GoalType, InColumn, Moment, Plan, Record
from storage.table import Clock, RecordTable

_ACTS = f"body->'chosen'->>'action' <> '{NOTHING}'"
_OF_GOAL = "WHERE goal_id = $goal_id ORDER BY recorded_at DESC LIMIT $limit"


class DecisionTable:
    """The `decisions` and `plans` tables."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._decisions = RecordTable(engine, clock, "decisions", Decision, first_by=("cycle_id",))
        self._plans = RecordTable(engine, clock, "plans", Plan, first_by=("cycle_id",))

    def append(self, decisions: Sequence[Decision], plans: Sequence[Plan], cycle_id: str) -> None:
        """Record what a cycle decided and planned."""
        self._decisions.append(decisions, cycle_id)
        self._plans.append(plans, cycle_id)

    def get(self, decision_id: str) -> Decision | None:
        """Return one decision, or None."""
        return self._decisions.get(decision_id)

    def of_goal(self, goal_id: str, limit: int = 50) -> list[Decision]:
        """Return the newest decisions taken for a goal, newest first; a goal open for a week has thousands."""
        return self._decisions.select(_OF_GOAL, {"goal_id": goal_id, "limit": limit})

    def plans_of_goal(self, goal_id: str, limit: int = 50) -> list[Plan]:
        """Return the newest plans made for a goal, newest first."""
        return self._plans.select(_OF_GOAL, {"goal_id": goal_id, "limit": limit})

    def of_cycle(self, cycle_id: str) -> list[Decision]:
        """Return what one cycle decided, the newest 200."""
        return self._decisions.select(
            "WHERE cycle_id = $cycle_id ORDER BY decision_id LIMIT 200", {"cycle_id": cycle_id}
        )

    def cycle_of(self, decision_id: str) -> str | None:
        """Return the id of the cycle that took a decision, or None."""
        return self._decisions.cycle_of(decision_id)

    def latest(self, limit: int) -> list[Decision]:
        """Return the newest decisions, newest first."""
        return self._decisions.select("ORDER BY recorded_at DESC LIMIT $limit", {"limit": limit})

    def page(self, text: str, limit: int, offset: int = 0, is_act: bool = False) -> tuple[list[Decision], int]:
        """Return some of the decisions that contain a text, newest first, and how many do; all, or those to act."""
        return self._decisions.page(text, "recorded_at DESC, decision_id", limit, offset, _ACTS if is_act else "TRUE")

    def count_plans(self) -> int:
        """Count all plans."""
        return self._plans.count()


class LoggedChoice(Record):
    """One choice in which chance had a say, the first of a measurement window: the state, the shares, what was drawn.

    `series` stood `excess_sd` beyond its `bound`, in its `sd`, at a local `hour` of day; `recent` counts by action the
    acts on it, each less with every hour since. `drawn` are the probabilities that it was drawn from, `usual` those of
    the planner alone. `cost` is what was charged for what was drawn, as a share of `horizon_s` at severity 1.
    """

    choice_id: Column[str]
    goal_type: Column[GoalType]
    at: Annotated[Moment, InColumn("chosen_at")]
    goal_id: str
    series: str
    bound: float
    side: Literal["below", "above"]
    severity: float
    sd: float = Field(gt=0)
    horizon_s: float
    excess_sd: float
    hour: float
    recent: dict[str, float] = Field(default_factory=dict)
    drawn: dict[str, float]
    usual: dict[str, float]
    chosen: str
    cost: float = 0.0


MOST_CHOICES = 2_000


class ChoiceTable:
    """The `choices` table."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._rows = RecordTable(engine, clock, "choices", LoggedChoice)

    def append(self, choices: Sequence[LoggedChoice]) -> int:
        """Write choices that are not there yet; return how many were new."""
        return self._rows.append(choices)

    def counts(self) -> Mapping[GoalType, int]:
        """Return how many choices were logged for each type of goal."""
        return {kind: count for kind in GoalType if (count := self._rows.count("goal_type = $kind", {"kind": kind}))}

    def newest(self, goal_type: GoalType, since: datetime, limit: int = MOST_CHOICES) -> list[LoggedChoice]:
        """Return the newest choices for a type of goal since a moment, oldest first."""
        tail = "WHERE goal_type = $kind AND chosen_at >= $since ORDER BY chosen_at DESC LIMIT $limit"
        return self._rows.select(tail, {"kind": goal_type, "since": since, "limit": limit})[::-1]


class SharedLease(Record):
    """What a holder was granted of a budget, and all that is known of it since.

    `token` fences the lease: greater than that of every earlier one of the budget. `amount` may be held until
    `expires_at`, `safe` for good. `in_use` is what the holder said it holds, `unconfirmed` and `unconfirmed_safe` the
    most that leases allow it which it may still go by, since it has not said that it knows this one; `acknowledged` is
    the newest it said it knows. `steps` are (amount, value) of what it would make of its share, `asked_safe` what it
    asked for good. A row that `is_released` ends a holder's part.
    """

    budget: Column[str]
    token: Column[int]
    holder: Column[str]
    instance: str
    joined_at: Moment
    granted_at: Moment
    expires_at: Moment
    amount: float
    safe: float
    asked_safe: float = 0.0
    in_use: float = 0.0
    unconfirmed: float = 0.0
    unconfirmed_safe: float = 0.0
    acknowledged: int = 0
    wanted: float = 0.0
    price: float = 0.0
    steps: tuple[tuple[float, float], ...] = ()
    is_released: bool = False

    @property
    def lasts(self) -> timedelta:
        """Return the length of the lease, which its holder counts from before it asked."""
        return self.expires_at - self.granted_at

    def is_live(self, now: datetime) -> bool:
        """Tell whether its holder was heard of within the lease."""
        return now < self.expires_at


_NEWEST = """WHERE budget = $budget
             AND token IN (SELECT max(token) FROM shared_leases WHERE budget = $budget GROUP BY holder)
             ORDER BY holder"""


class SharedLeaseTable:
    """The `shared_leases` table."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._rows = RecordTable(engine, clock, "shared_leases", SharedLease)

    def newest(self, budget: str) -> Mapping[str, SharedLease]:
        """Return the newest row of each holder of a budget, also of those whose part has ended."""
        return {each.holder: each for each in self._rows.select(_NEWEST, {"budget": budget})}

    def append(self, lease: SharedLease) -> bool:
        """Write what was granted; False where its token was just given to another: then nothing was granted."""
        return bool(self._rows.append([lease]))
