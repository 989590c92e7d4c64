"""What an action is: the function that acts, the hooks that make it safe, and the facts by which it is chosen.

This module is imported by the process that runs a handler, so it imports nothing heavy: the records, which
bring numpy and pydantic, are imported where a record is made.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from handlers.contract.results import ActionResult, explain, resolve, to_result

if TYPE_CHECKING:
    from storage.records import Candidate, Goal, ReceiptStatus

logger = logging.getLogger(__name__)

Params = Mapping[str, Any]
AMOUNT = "amount"
"""The parameter by which an action that sets an amount is told how many."""

State = dict[str, Any]
Risk = Literal["low", "medium", "high"]
LevelName = Literal["observe", "recommend", "approve", "auto"]
GoalTypeName = str
RateLimit = str
Names = tuple[str, ...]
Amounts = tuple[float, ...]
"""Of these four the settings check more than the type: CHECKED there."""

CheckAnswer = Literal["succeeded", "skipped", "unknown"]
"""What a check found: the effect is in place, it certainly did not happen, or neither can be said."""


@dataclass(frozen=True, kw_only=True)
class ActionContext:
    """What a handler is told besides its parameters; it can be pickled, so that a child process gets it too.

    `options` is the action's section of the configuration, `action_id` the key under which a repeated call is
    the same call. `memo` may be shared by the contexts of one cycle, so that what several proposals need, such
    as a look at all processes, is done once; it stays in this process.
    """

    tick: datetime
    options: Mapping[str, Any] = field(default_factory=dict)
    goal_id: str = ""
    action_id: str = ""
    dry_run: bool = False
    series: str | None = None
    memo: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        """Return what goes along when the context is pickled: all but the memo."""
        return {**self.__dict__, "memo": {}}


def amount_in(params: Params) -> dict[str, float]:
    """Return the amount that the planner chose, by its parameter's name; a whole one as a whole number."""
    amount = params.get(AMOUNT)
    if not isinstance(amount, int | float) or isinstance(amount, bool):
        return {}
    return {AMOUNT: int(amount) if float(amount).is_integer() else amount}


RunHook = Callable[[Params, ActionContext], Any]
CaptureHook = Callable[[Params, ActionContext], State]
CheckHook = Callable[[Params, Params, ActionContext], "CheckAnswer | ReceiptStatus"]
UndoHook = Callable[[Params, Params, ActionContext], ActionResult]
ProposeHook = Callable[["Goal", ActionContext], "list[Candidate]"]
DrillHook = Callable[[ActionContext], "State | None"]
ClearHook = Callable[[Params, ActionContext], None]
HookT = TypeVar("HookT", bound=Callable[..., Any])


@dataclass(frozen=True)
class Hooks:
    """The functions of one action; all but `run` may be missing."""

    run: RunHook
    capture: CaptureHook | None = None
    check: CheckHook | None = None
    undo: UndoHook | None = None
    propose: ProposeHook | None = None
    drill: DrillHook | None = None
    clear: ClearHook | None = None
    undo_permitted: Callable[[], bool] | None = None


NOT_NEGATIVE, POSITIVE = {"ge": 0}, {"gt": 0}


@dataclass(frozen=True, kw_only=True)
class ActionTraits:
    """What an action says of itself and the configuration may say otherwise, under `[actions.NAME]`.

    Each field is a key there, `_s` written out as `_seconds`; its type is checked, and its metadata are limits as
    pydantic has them. So a new trait is a field here and a row in docs/configuration.md.

    `level` is where its autonomy starts, `highest_level` how far results may raise it. `goal_types` empty means every
    goal type, `metrics` empty any metric (otherwise glob patterns of metric names); `controls` are metrics that it does
    not touch. `expected_effect` is the prior effect per metric pattern in standard deviations of the metric, negative
    where it lowers it, `expected_change` the same in the metric's own unit, which goes before; it works after
    `latency_s` and lasts `duration_s`, for good where that is None. `cost` is that of one act; 1 is as bad as a broken
    objective of severity 1. An action that sets an amount names the series that it `sets`, the amount being its
    parameter `amount`, one of `amounts`; `unit_cost` is what one unit costs in an hour, 1 being an objective of
    severity 1 broken for that hour (a small cost is assumed where it is left out, none where it is 0), `most_up` the
    largest increase at a time.
    """

    enabled: bool = True
    level: LevelName = "approve"
    highest_level: LevelName | None = None
    dry_run: bool = False
    cooldown_s: float = field(default=300.0, metadata=NOT_NEGATIVE)
    timeout_s: float = field(default=30.0, metadata=POSITIVE)
    rate_limits: tuple[RateLimit, ...] = ("6/hour", "30/day")
    goal_types: tuple[GoalTypeName, ...] = ()
    metrics: Names = ()
    controls: Names = ()
    expected_effect: Mapping[str, float] = field(default_factory=dict)
    expected_change: Mapping[str, float] = field(default_factory=dict)
    latency_s: float = field(default=5.0, metadata=NOT_NEGATIVE)
    cost: float = field(default=0.0, metadata=NOT_NEGATIVE)
    duration_s: float | None = field(default=None, metadata=POSITIVE)
    sets: str | None = None
    amounts: Amounts = ()
    unit_cost: float = field(default=0.0, metadata=NOT_NEGATIVE)
    most_up: float = field(default=float("inf"), metadata=POSITIVE)


@dataclass(frozen=True, kw_only=True)
class ActionHandler(ActionTraits):
    """One action: its code and traits, as it was registered or, where a stage asks, as it is configured.

    `informs_only` marks actions that report and change no metric. `options` says what each key of the action's
    configuration means, `needs` names those of which one must be set before the action proposes anything;
    `option_values` are the values configured. `configured` names the traits that the configuration sets. Without a hook
    that proposes, `candidates` are the sets of parameters that it offers, for `target`. With `runs_in_process` the
    action shares this process's memory and cannot be ended from outside. `source` is the "module:name" under which a
    child process finds the action, empty where it must be pickled.
    """

    name: str
    summary: str
    hooks: Hooks
    risk: Risk = "medium"
    candidates: tuple[Params, ...] = ()
    target: str = ""
    informs_only: bool = False
    explains_dry_run: bool = False
    runs_in_process: bool = False
    example_params: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    source: str = ""
    option_values: Mapping[str, Any] = field(default_factory=dict)
    configured: frozenset[str] = frozenset()

    @property
    def configured_level(self) -> LevelName | None:
        """Return the level at which the configuration has it start; None where it says nothing of it."""
        return self.level if "level" in self.configured else None

    @property
    def reversible(self) -> bool:
        """Tell whether it can be undone by this process, with the permissions it has."""
        permitted = self.hooks.undo_permitted
        return self.hooks.undo is not None and (permitted is None or permitted())

    @property
    def may_be_explored(self) -> bool:
        """Tell whether it may be tried in order to learn."""
        return self.risk == "low" and self.reversible

    @property
    def is_ready(self) -> bool:
        """Tell whether the configuration gives it what it cannot do without."""
        return not self.needs or any(self.option_values.get(name) for name in self.needs)

    def serves(self, goal: Goal) -> bool:
        """Tell whether it is meant for the goal's type and can move the goal's metric, or sets that very metric."""
        from storage.records import metric_of

        if self.sets is not None and goal.series is not None and self.sets in {goal.series, metric_of(goal.series)}:
            return True
        if self.goal_types and goal.goal_type not in self.goal_types:
            return False
        if not self.metrics or goal.series is None:
            return True
        metric = metric_of(goal.series)
        return any(fnmatchcase(metric, pattern) for pattern in self.metrics)

    def run(self, params: Params, context: ActionContext) -> ActionResult:
        """Act; whatever goes wrong inside is a failed result. In a dry run nothing is touched."""
        if context.dry_run and not self.explains_dry_run:
            return ActionResult(success=True, detail=f"Dry run: would call {self.name} with {dict(params)}.")
        try:
            return to_result(resolve(self.hooks.run(params, context)))
        except (Exception, SystemExit) as error:
            return ActionResult(success=False, detail=explain(error))

    def capture(self, params: Params, context: ActionContext) -> State:
        """Return the state before the act, which `undo` restores; it may raise where there is no such target."""
        if self.hooks.capture is None:
            return {}
        return dict(resolve(self.hooks.capture(params, context)))

    def check(self, params: Params, before: Params, context: ActionContext) -> ReceiptStatus:
        """Find out after a crash whether the effect is in place, without acting; UNKNOWN where it fails."""
        from storage.records import ReceiptStatus

        if self.hooks.check is None:
            return ReceiptStatus.UNKNOWN
        try:
            return ReceiptStatus(resolve(self.hooks.check(params, before, context)))
        except Exception:
            return ReceiptStatus.UNKNOWN

    def undo(self, params: Params, before: Params, context: ActionContext) -> ActionResult:
        """Restore the captured state; a second call changes nothing more."""
        if self.hooks.undo is None:
            return ActionResult(success=False, detail=f"{self.name} cannot be undone.")
        if context.dry_run and not self.explains_dry_run:
            return ActionResult(success=True, detail=f"Dry run: would undo {self.name}.")
        try:
            return to_result(resolve(self.hooks.undo(params, before, context)))
        except (Exception, SystemExit) as error:
            return ActionResult(success=False, detail=explain(error))

    def propose(self, goal: Goal, context: ActionContext) -> list[Candidate]:
        """Return the concrete ways in which it would serve the goal now; empty where there is none, or it is off.

        A hook that fails proposes nothing and leaves a line in the log: it must not stop the planning.
        """
        from storage.records import Candidate

        if not self.enabled or not self.serves(goal):
            return []
        if self.hooks.propose is None:
            offers = self.candidates or ({},)
            return [Candidate(action=self.name, params=dict(params), target=self.target) for params in offers]
        try:
            return [Candidate.model_validate(offer) for offer in resolve(self.hooks.propose(goal, context))]
        except Exception as error:
            logger.warning("%s proposes nothing for goal %s: %s", self.name, goal.goal_id, explain(error))
            return []

    def variants(self, candidate: Candidate) -> tuple[Candidate, ...]:
        """Return a candidate with all that is known of its action, once for each amount unless it names one itself.

        What is configured goes before what the candidate says, and that before what the action says of itself.
        """
        shared = [each.name for each in fields(ActionTraits) if each.name in type(candidate).model_fields]
        used = [name for name in shared if name in self.configured or not getattr(candidate, name)]
        meant = candidate.model_copy(update={name: getattr(self, name) for name in used})
        if not self.amounts or AMOUNT in candidate.params:
            return (meant,)
        amounts = ({**meant.params, AMOUNT: amount} for amount in self.amounts)
        return tuple(meant.model_copy(update={"params": params}) for params in amounts)

    def drill(self, context: ActionContext) -> State | None:
        """Return parameters for a target on which it may be practised safely, or None."""
        return None if self.hooks.drill is None else resolve(self.hooks.drill(context))

    def clear(self, params: Params, context: ActionContext) -> State:
        """Clear away the target that a drill was given."""
        if self.hooks.clear is not None:
            resolve(self.hooks.clear(params, context))
        return {}


class ActionsByName(dict[str, ActionHandler]):
    """Actions by name; of one that is not among them is known what `elsewhere` says."""

    def __missing__(self, name: str) -> ActionHandler:
        """Return what must be assumed of an action that is neither registered here nor configured."""
        return _unknown(name)


def elsewhere(name: str, *, reversible: bool = False, **facts: Any) -> ActionHandler:
    """Return an action that no code here carries out, but its world or another process; `facts` are further fields."""
    hooks = Hooks(run=_not_here, undo=_not_here if reversible else None)
    assumed = {"summary": name, "cooldown_s": 0.0, "timeout_s": 0.0, "rate_limits": (), "latency_s": 0.0}
    return ActionHandler(name=name, hooks=hooks, **{**assumed, **facts})


@lru_cache(maxsize=1_000)
def _unknown(name: str) -> ActionHandler:
    return elsewhere(name)


def _not_here(*arguments: Any) -> Any:
    raise NotImplementedError("no code here carries this action out: that is for its world")
