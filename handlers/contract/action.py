"""What an action is: the function that acts, the hooks that make it safe, and the facts by which it is chosen.

This module is imported by the process that runs a handler, so it imports nothing heavy: the records, which
bring numpy and pydantic, are imported where a record is made.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from handlers.contract.results import ActionResult, explain, resolve, to_result

if TYPE_CHECKING:
    from storage.records import Autonomy, Candidate, Goal, GoalType, ReceiptStatus

logger = logging.getLogger(__name__)

Params = Mapping[str, Any]
AMOUNT = "amount"
"""The parameter by which an action that sets an amount is told how many."""

State = dict[str, Any]
Risk = Literal["low", "medium", "high"]
LevelName = Literal["observe", "recommend", "approve", "auto"]
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


@dataclass(frozen=True)
class ActionHandler:
    """One registered action.

    `goal_type_names` empty means every goal type, `metrics` empty any metric (otherwise glob patterns of metric
    names). `expected_effect` is the prior effect per metric pattern in standard deviations of the metric, negative
    where it lowers it, `expected_change` the same in the metric's own unit, which goes before; it lasts
    `duration_s`, for good where that is None. An action that sets an amount names the series that it `sets`, the
    amount being its parameter `amount`; `unit_cost` is the running cost of one unit (1 for as bad as a broken
    objective of severity 1), `most_up` the largest increase at a time.
    `informs_only` marks actions that report and change no metric. `options` says
    what each key of the action's configuration means, `needs` names those of which one must be set before the action
    proposes anything. With `runs_in_process` the action shares this process's
    memory and cannot be ended from outside. `source` is the "module:name" under which a child process finds the
    action, empty where it must be pickled.
    """

    name: str
    summary: str
    hooks: Hooks
    goal_type_names: frozenset[str] = frozenset()
    metrics: tuple[str, ...] = ()
    risk: Risk = "medium"
    default_level_name: LevelName = "approve"
    timeout_s: float = 30.0
    cooldown_s: float = 300.0
    rate_limits: tuple[str, ...] = ("6/hour", "30/day")
    latency_s: float = 5.0
    cost: float = 0.0
    expected_effect: Mapping[str, float] = field(default_factory=dict)
    expected_change: Mapping[str, float] = field(default_factory=dict)
    duration_s: float | None = None
    sets: str | None = None
    unit_cost: float = 0.0
    most_up: float = float("inf")
    informs_only: bool = False
    explains_dry_run: bool = False
    runs_in_process: bool = False
    example_params: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    source: str = ""

    @property
    def goal_types(self) -> frozenset[GoalType]:
        """Return the goal types it serves; empty means every type."""
        from storage.records import GoalType

        return frozenset(GoalType(name) for name in self.goal_type_names)

    @property
    def default_level(self) -> Autonomy:
        """Return the autonomy level it starts at."""
        from storage.records import Autonomy

        return Autonomy(self.default_level_name)

    @property
    def reversible(self) -> bool:
        """Tell whether it can be undone by this process, with the permissions it has."""
        permitted = self.hooks.undo_permitted
        return self.hooks.undo is not None and (permitted is None or permitted())

    @property
    def effects(self) -> dict[str, Any]:
        """Return what it declares to change, by the names that a candidate has for it."""
        return {"expected_effect": dict(self.expected_effect), "expected_change": dict(self.expected_change)}

    def is_ready(self, options: Mapping[str, Any]) -> bool:
        """Tell whether the configuration gives it what it cannot do without."""
        return not self.needs or any(options.get(name) for name in self.needs)

    def serves(self, goal: Goal) -> bool:
        """Tell whether it is meant for the goal's type and can move the goal's metric."""
        from storage.records import metric_of

        if self.goal_type_names and goal.goal_type.value not in self.goal_type_names:
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
        """Return the concrete ways in which it would serve the goal now; empty where there is none.

        A hook that fails proposes nothing and leaves a line in the log: it must not stop the planning.
        """
        from storage.records import Candidate

        if not self.serves(goal):
            return []
        if self.hooks.propose is None:
            return [self._with_priors(Candidate(action=self.name))]
        try:
            return [self._with_priors(candidate) for candidate in resolve(self.hooks.propose(goal, context))]
        except Exception as error:
            logger.warning("%s proposes nothing for goal %s: %s", self.name, goal.goal_id, explain(error))
            return []

    def drill(self, context: ActionContext) -> State | None:
        """Return parameters for a target on which it may be practised safely, or None."""
        return None if self.hooks.drill is None else resolve(self.hooks.drill(context))

    def clear(self, params: Params, context: ActionContext) -> State:
        """Clear away the target that a drill was given."""
        if self.hooks.clear is not None:
            resolve(self.hooks.clear(params, context))
        return {}

    def _with_priors(self, candidate: Candidate) -> Candidate:
        priors = self.effects | {"cost": self.cost, "latency_s": self.latency_s}
        return candidate.model_copy(update={name: own for name, own in priors.items() if not getattr(candidate, name)})
