"""What an action is: the function that acts, the hooks that make it safe, and the facts by which it is chosen.

This module is imported by the process that runs a handler, so it imports nothing heavy: the records, which
bring numpy and pydantic, are imported where a record is made.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from handlers.contract.parameters import Parameters, checked, schema_of
from handlers.contract.results import ActionResult, CallFailedError, explain, resolve, to_result

if TYPE_CHECKING:
    from storage.records import Candidate, Goal, ReceiptStatus

logger = logging.getLogger(__name__)

Params = Mapping[str, Any]
MOST_MEASURED_S = 7_200.0
UNSAID_RATIO, MOST_UNSAID_S = 6.0, 3_600.0
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
HoldsHook = Callable[[ActionContext], "Collection[str]"]
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
    holds: HoldsHook | None = None
    undo_permitted: Callable[[], bool] | None = None
    undo_with: Callable[[Params], bool] | None = None


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
    parameter `amount`, one of `amounts`, and declares what one unit more changes; `unit_cost` is what one unit costs
    in an hour, 1 being an objective of severity 1 broken for that hour (a small cost is assumed where it is left out,
    none where it is 0), `most_up` the largest increase at a time. `requires` and `provides` are facts by name, from
    which sequences of actions are found; `not x` says that x does not hold.
    """

    enabled: bool = True
    """whether it may be used at all"""
    level: LevelName = "approve"
    """its starting autonomy level: observe, recommend, approve or auto"""
    highest_level: LevelName | None = None
    """the highest level that good results may earn"""
    dry_run: bool = False
    """only say what it would do"""
    cooldown_s: float = field(default=300.0, metadata=NOT_NEGATIVE)
    """pause after each run"""
    timeout_s: float = field(default=30.0, metadata=POSITIVE)
    """when it is ended"""
    memory_mb: float = field(default=2_000.0, metadata=POSITIVE)
    """most memory that it, and each process it starts, may take beside what it begins with; 2000 (Linux)"""
    rate_limits: tuple[RateLimit, ...] = ("6/hour", "30/day")
    """several at once: `["3/hour", "7/day"]`; those of an action that sets an amount hold only if set here"""
    goal_types: tuple[GoalTypeName, ...] = ()
    """the goals it serves, `["BOTTLENECK_PREVENTION"]`; empty: all"""
    metrics: Names = ()
    """the metrics it can affect, as patterns; empty: any"""
    controls: Names = ()
    """metrics it does not touch: [measuring.md](measuring.md)"""
    expected_effect: Mapping[str, float] = field(default_factory=dict)
    """the same in standard deviations of the metric: `{ "*latency*" = -0.5 }`"""
    expected_change: Mapping[str, float] = field(default_factory=dict)
    """its effect on a metric in its unit: `{ queue_length = -40 }`, per unit of an amount; outcomes correct it"""
    latency_s: float = field(default=5.0, metadata=NOT_NEGATIVE)
    """time until it works"""
    cost: float = field(default=0.0, metadata=NOT_NEGATIVE)
    """cost of one run; 1 is an objective of severity 1 broken all the time"""
    duration_s: float | None = field(default=None, metadata=POSITIVE)
    """how long its effect lasts; where it is left out, its acts may [teach it](measuring.md)"""
    sets: str | None = None
    """the series whose amount it sets, through its parameter `amount`"""
    amounts: Amounts = ()
    """the allowed amounts: `{ least = 1, most = 12, step = 1 }`"""
    unit_cost: float = field(default=0.0, metadata=NOT_NEGATIVE)
    """cost of one unit for an hour; 1 is an objective of severity 1 broken for that hour. Left out: a twentieth for
    all that can be set together; 0: nothing is [given back](planning.md#what-was-scaled-out-comes-in-again)
    """
    most_up: float = field(default=float("inf"), metadata=POSITIVE)
    """largest increase at a time"""
    requires: Names = ()
    """facts that must hold before it may begin, such as `["standby up"]`: [composed-plans.md](composed-plans.md)"""
    provides: Names = ()
    """facts that hold while it works; `not x` ends x"""


@dataclass(frozen=True, kw_only=True)
class ActionHandler(ActionTraits):
    """One action: its code and traits, as it was registered or, where a stage asks, as it is configured.

    `informs_only` marks actions that report and change no metric. `options` says what each key of the action's
    configuration means, `needs` names those of which one must be set before the action proposes anything;
    `option_values` are the values configured. `configured` names the traits that the configuration sets. Without a hook
    that proposes, `candidates` are the sets of parameters that it offers, for `target`. With `runs_in_process` the
    action shares this process's memory and cannot be ended from outside. `source` is the "module:name" under which a
    child process finds the action, with the path of a file for a module that no import finds, empty where it must be
    pickled. `parameters` says which parameters it takes: a pydantic model, a function of its options that returns one,
    or a JSON schema that somebody else checks.
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
    parameters: Parameters | None = None
    option_values: Mapping[str, Any] = field(default_factory=dict)
    configured: frozenset[str] = frozenset()

    @property
    def configured_level(self) -> LevelName | None:
        """Return the level at which the configuration has it start; None where it says nothing of it."""
        return self.level if "level" in self.configured else None

    @property
    def reversible(self) -> bool:
        """Tell whether it can be undone by this process, with the permissions and as the options have it."""
        permitted, possible = self.hooks.undo_permitted, self.hooks.undo_with
        is_possible = possible is None or possible(self.option_values)
        return self.hooks.undo is not None and is_possible and (permitted is None or permitted())

    @property
    def is_carried_out_here(self) -> bool:
        """Tell whether code here carries it out, rather than a world that is declared."""
        return self.hooks.run is not _not_here

    @property
    def parameter_schema(self) -> dict[str, Any]:
        """Return the JSON schema of its parameters, of which a form can be made."""
        return schema_of(self.parameters, self.option_values, self.example_params)

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

    def measured_for_s(self, least_s: float) -> float:
        """Return how long an act is measured once it works: as long as it does or two hours of that.

        Where nobody says how long that is, six times as long, up to an hour: what takes time to show would be missed.
        """
        works_s = min(UNSAID_RATIO * least_s, MOST_UNSAID_S) if self.may_be_cut else self.duration_s or 0.0
        return max(least_s, min(works_s, MOST_MEASURED_S))

    @property
    def may_be_cut(self) -> bool:
        """Tell whether the next act on the same metric ends its measurement: nobody says how long it works."""
        return self.duration_s is None and self.sets is None

    def cut_after_s(self, latency_s: float, least_s: float) -> float | None:
        """Return how long after an act the next one may end its measurement, for a latency; None where none does."""
        return latency_s + least_s if self.may_be_cut else None

    def run(self, params: Params, context: ActionContext) -> ActionResult:
        """Act; whatever goes wrong inside is a failed result. In a dry run nothing is touched.

        Parameters that its model refuses are a failed result as well, which names them and not their values.
        """
        try:
            params = checked(self.parameters, params, context.options)
        except (Exception, SystemExit) as error:
            return ActionResult(success=False, detail=f"Refused: {error}")
        if context.dry_run and not self.explains_dry_run:
            return ActionResult(success=True, detail=f"Dry run: would call {self.name} with {dict(params)}.")
        try:
            return to_result(resolve(self.hooks.run(params, context)))
        except (Exception, SystemExit) as error:
            return _failed(error)

    def capture(self, params: Params, context: ActionContext) -> State:
        """Return the state before the act, which `undo` restores; it may raise where there is no such target."""
        if self.hooks.capture is None:
            return {}
        return dict(resolve(self.hooks.capture(checked(self.parameters, params, context.options), context)))

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
            return _failed(error)

    def propose(self, goal: Goal, context: ActionContext) -> list[Candidate]:
        """Return the concrete ways in which it would serve the goal now; empty where there is none, or it is off.

        A hook that fails proposes nothing and leaves a line in the log: it must not stop the planning.
        """
        from storage.records import Candidate

        if not self.enabled or not self.serves(goal):
            return []
        if self.hooks.propose is None:
            sets = self.candidates or ({},)
            return [Candidate(action=self.name, params=dict(params), target=self.target) for params in sets]
        try:
            offers = [Candidate.model_validate(offer) for offer in resolve(self.hooks.propose(goal, context))]
            # One that is set up under another name is proposed under that.
            # Of several steps only the planner makes a sequence, out of offers like these.
            return [offer.model_copy(update={"action": self.name, "steps": (), "starts_s": ()}) for offer in offers]
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

    def facts_now(self, context: ActionContext) -> dict[str, bool]:
        """Return which facts hold, as far as it reports any: those that it provides and does not name do not hold.

        A hook that fails leaves a line in the log, and what it provides counts as not holding.
        """
        if self.hooks.holds is None:
            return {}
        own = dict.fromkeys((each for each in self.provides if not each.startswith("not ")), False)
        try:
            return own | dict.fromkeys(map(str, resolve(self.hooks.holds(context))), True)
        except Exception as error:
            logger.warning("%s does not say which facts hold: %s", self.name, explain(error))
            return own

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


def _failed(error: BaseException) -> ActionResult:
    """Return what came of an act that raised: a call that failed has said so itself."""
    return ActionResult(success=False, detail=str(error) if isinstance(error, CallFailedError) else explain(error))


def _not_here(*arguments: Any) -> Any:
    raise NotImplementedError("no code here carries this action out: that is for its world")
