"""What every world here is: steps that follow from a seed and from what was done, so that its truth can be asked.

All chance is drawn before the first step. So the same acts less one show what would have happened without it, and a
copy of the state, run ahead, shows what each act would be worth now.
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import numpy as np

from flows.reports.results import SimulationReport
from storage.records import Action, Event, FloatArray, Receipt, ReceiptStatus, Sample

THURSDAY = datetime(2026, 3, 5, tzinfo=UTC)
DAY = timedelta(days=1)


@dataclass(frozen=True)
class WorldCommand:
    """Something to do: an action, its amount where it sets one, and the series that it is done for."""

    name: str
    amount: float | None = None
    series: str | None = None


@dataclass(frozen=True)
class WorldStep:
    """What one step came to: the value of each series (NaN where nothing was reported), and how much was broken.

    `broken` is the sum of the severities of the objectives that were broken, `running` what the amounts in use cost;
    both for as long as the step lasts, an objective of severity 1 broken all the time being 1.
    """

    values: Mapping[str, float]
    broken: float
    running: float = 0.0


@dataclass
class Done:
    """An act as it was carried out in step `at`, with the state just before it."""

    command: WorldCommand
    at: int
    before: Any
    key: str
    action_id: str = ""
    undo_of: str | None = None


@dataclass
class State:
    """What a world carries from step to step; worlds add to it. `acts` are those still in force: step, key, command."""

    acts: list[tuple[int, str, WorldCommand]] = field(default_factory=list)

    def copy(self) -> State:
        """Return a copy that can be run ahead."""
        made = copy.copy(self)
        for name, value in vars(made).items():
            if isinstance(value, (list, dict)):
                setattr(made, name, value.copy())
        return made


class SteppedWorld(ABC):
    """A world with the two methods that the loop needs, and the truth for those who judge it.

    Subclasses say how it moves (`begin`, `step`, `carry_out`), what can be done (`commands`) and how a new user
    describes it (`configuration`). The loop takes its first turn `history` after `start`.
    """

    name: ClassVar[str]
    reference: ClassVar[str]
    """The rule that scores 0."""

    start: ClassVar[datetime] = THURSDAY
    usual_days: ClassVar[float] = 3.0
    step_s: ClassVar[float] = 300.0
    turn_s: ClassVar[float] = 1_200.0
    history: ClassVar[timedelta] = 4 * DAY
    look_s: ClassVar[float] = 7_200.0
    act_cost: ClassVar[float] = 0.03
    """What an act costs, in hours of an objective of severity 1 broken."""

    claims: ClassVar[Mapping[str, Mapping[str, float]]] = {}

    def __init__(self, seed: int, days: float) -> None:
        self.seed, self.days = seed, days
        self.first = round(self.history.total_seconds() / self.step_s)
        look = math.ceil(self.look_s / self.step_s)
        self.count = self.first + round(days * 86_400 / self.step_s) + look
        self.hours: FloatArray = np.arange(1, self.count + 1) * self.step_s / 3_600 + self.start.hour
        self.draw(np.random.default_rng([seed, 20]))
        self.state, self.now = self.begin(), 0
        self.steps: list[WorldStep] = []
        self.done: list[Done] = []
        self.seen_at: dict[datetime, tuple[int, State]] = {}

    @abstractmethod
    def draw(self, rng: np.random.Generator) -> None:
        """Draw all chance: arrays of `count` steps."""

    @abstractmethod
    def begin(self) -> Any:
        """Return the state before the first step."""

    @abstractmethod
    def step(self, state: Any, i: int) -> WorldStep:
        """Move a state through step `i`."""

    @abstractmethod
    def commands(self, series: str | None = None) -> list[WorldCommand]:
        """Return all that can be done, or all that can be done for a series."""

    @abstractmethod
    def configuration(self) -> dict[str, Any]:
        """Return the objectives and actions as a new user declares them; all else stays at its default."""

    @abstractmethod
    def policies(self) -> dict[str, Any]:
        """Return the rules of the comparison by name; those called `oracle` or `foresight …` know the future."""

    def unsafe(self, report: SimulationReport) -> list[str]:
        """Return what the loop did here that it must never do, a sentence each."""
        return []

    def carry_out(self, state: Any, i: int, command: WorldCommand, key: str) -> None:
        """Change a state by an act; one that ends by itself is found among `acts` by the steps after it."""
        state.acts.append((i, key, command))

    def take_back(self, state: Any, i: int, done: Done) -> None:
        """Change a state by undoing an act."""
        state.acts = [each for each in state.acts if each[1] != done.key]

    def takes_back(self, done: Done, later: Done) -> bool:
        """Tell whether a later act that is no undo takes an act back: of amounts, one that goes back to before."""
        return False

    def by_hand(self, i: int) -> list[WorldCommand]:
        """Return what people did in step `i` before the loop came."""
        return []

    def events(self, i: int) -> list[str]:
        """Return the events of step `i`."""
        return []

    # What the loop sees and does.

    def observe(self, tick: datetime) -> Iterator[Sample | Event]:
        """Run up to `tick` and return what was shown."""
        while self.moment(self.now) <= tick and self.now < self.count:
            if self.now < self.first:
                for command in self.by_hand(self.now):
                    self._do(Done(command, self.now, None, f"by hand {self.now}"))
            made = self.step(self.state, self.now)
            self.steps.append(made)
            at = self.moment(self.now)
            yield from (_sample(name, value, at) for name, value in made.values.items() if not math.isnan(value))
            yield from (Event(event_type=name, ts=at) for name in self.events(self.now))
            self.now += 1
        self.seen_at[tick] = (self.now, self.state.copy())

    def act(self, action: Action, tick: datetime) -> Receipt:
        """Carry out an action, or undo one."""
        status, detail = ReceiptStatus.SUCCEEDED, "done"
        names = {each.name for each in self.commands()}
        amount = action.params.get("amount")
        command = WorldCommand(action.name, None if amount is None else float(amount), action.series)
        if action.name not in names:
            status, detail = ReceiptStatus.FAILED, f"there is no action {action.name}"
        else:
            self._do(Done(command, self.now, self.state.copy(), action.action_id, action.action_id, action.undo_of))
        return Receipt(
            action_id=action.action_id,
            status=status,
            started_at=tick,
            finished_at=tick,
            detail=detail,
            claimed_impact=dict(self.claims.get(action.name, {})),
        )

    def obey(self, command: WorldCommand) -> None:
        """Carry out what a rule wants."""
        self._do(Done(command, self.now, self.state.copy(), f"rule {len(self.done)}"))

    def _do(self, done: Done) -> None:
        self._replay(self.state, self.now, done)
        if done.before is not None:
            self.done.append(done)

    def _replay(self, state: Any, i: int, done: Done) -> None:
        if done.undo_of is None:
            self.carry_out(state, i, done.command, done.key)
        elif (undone := next((each for each in self.done if each.action_id == done.undo_of), None)) is not None:
            self.take_back(state, i, undone)

    # The truth.

    def moment(self, i: int) -> datetime:
        """Return when step `i` ends."""
        return self.start + timedelta(seconds=(i + 1) * self.step_s)

    def step_at(self, moment: datetime) -> int:
        """Return the step that ends at a moment, or the first after it."""
        return math.ceil((moment - self.start).total_seconds() / self.step_s - 1e-6) - 1

    @property
    def end(self) -> datetime:
        """Return when the last turn is over."""
        return self.start + self.history + timedelta(days=self.days)

    @property
    def ticks(self) -> list[datetime]:
        """Return when the loop takes its turns."""
        turns = int(self.days * 86_400 / self.turn_s)
        return [self.start + self.history + timedelta(seconds=n * self.turn_s) for n in range(turns)]

    def ahead(self, state: State, i: int, count: int, then: Mapping[int, Sequence[Done]]) -> list[WorldStep]:
        """Run a copy of a state through `count` steps from `i` on, doing what `then` says before each of them."""
        state, costs = state.copy(), []
        for step in range(i, min(i + count, self.count)):
            for done in then.get(step, ()):
                self._replay(state, step, done)
            costs.append(self.step(state, step))
        return costs

    def without(self, done: Done, count: int) -> list[WorldStep]:
        """Return the `count` steps from an act on as they would have been without it, all else done as it was."""
        return self.ahead(done.before, done.at, count, self._after(done))

    def left_alone(self, done: Done, count: int) -> list[WorldStep]:
        """Return the `count` steps from an act on as they would have been had nobody undone it."""
        then = self._after(done)
        return self.ahead(done.before, done.at, count, then | {done.at: [done, *then.get(done.at, [])]})

    def _after(self, done: Done) -> dict[int, list[Done]]:
        """Return what was done after an act, by step, but for its own undo."""
        then: dict[int, list[Done]] = {}
        for other in self.done[self.done.index(done) + 1 :]:
            if other.undo_of is None or other.undo_of != done.action_id:
                then.setdefault(other.at, []).append(other)
        return then

    def effect(self, done: Done, series: str, first: int, count: int) -> float:
        """Return what an act really changed on a series, as a mean over `count` steps from step `first` on."""
        last = min(first + count, len(self.steps))
        instead = self.without(done, last - done.at)
        changes = [self.steps[i].values[series] - instead[i - done.at].values[series] for i in range(first, last)]
        return float(np.nanmean(changes)) if changes and not np.all(np.isnan(changes)) else math.nan

    def cost_of(self, steps: Sequence[WorldStep]) -> float:
        """Return what steps cost, in hours of an objective of severity 1 broken."""
        return sum(each.broken + each.running for each in steps) * self.step_s / 3_600

    def worth_of(self, state: State, i: int, offer: Sequence[WorldCommand], wait: int = 0) -> float:
        """Return what the time ahead costs if an offer is carried out `wait` steps from now, and nothing else."""
        then = {i + wait: [Done(command, i + wait, None, f"tried {n}") for n, command in enumerate(offer)]}
        price = self.act_cost * len(offer)
        return price + self.cost_of(self.ahead(state, i, math.ceil(self.look_s / self.step_s), then))

    def costs(self) -> FloatArray:
        """Return what each step since the first turn cost, acts included, in hours of severity 1 broken."""
        steps = self.steps[self.first :]
        costs = np.array([each.broken + each.running for each in steps]) * self.step_s / 3_600
        for done in self.done:
            if done.at - self.first < len(costs):
                costs[done.at - self.first] += self.act_cost
        return costs


def _sample(name: str, value: float, at: datetime) -> Sample:
    metric, _, rest = name.partition("{")
    labels = {"host": rest.removeprefix('host="').removesuffix('"}')} if rest else {}
    return Sample(metric=metric, value=value, ts=at, labels=labels)


def wander(rng: np.random.Generator, count: int, sd: float, kept: float) -> FloatArray:
    """Return a first-order autoregression with standard deviation `sd`, of which `kept` is left a step later."""
    shocks = rng.normal(0, sd * math.sqrt(1 - kept**2), count)
    values, value = np.empty(count), float(rng.normal(0, sd))
    for i in range(count):
        value = kept * value + shocks[i]
        values[i] = value
    return values


def hump(hours: FloatArray, at: float, width: float) -> FloatArray:
    """Return a bell around an hour of the day, one high."""
    away = (hours - at + 12) % 24 - 12
    return np.exp(-0.5 * (away / width) ** 2)
