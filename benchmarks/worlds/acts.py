"""Metrics that wander over their bounds, and acts of which some help: to be found, timed, dropped, undone.

Truth: each world's `factor` says by how much an act multiplies a metric, so many seconds after it began.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any, ClassVar

import numpy as np

from benchmarks.worlds.policies import Oracle, Policy, SuccessRatePolicy, at_random, nothing, threshold
from benchmarks.worlds.simulated_world import DAY, State, SteppedWorld, WorldCommand, WorldStep, hump, wander
from flows.reports.results import SimulationReport
from storage.records import FloatArray

HOUR_S = 3_600.0
Goal = tuple[str, float, float]
"""A metric, its upper bound, its severity."""


class ActsWorld(SteppedWorld):
    """A world whose metrics are what they would be anyway, times what the acts in force make of them."""

    goals: ClassVar[tuple[Goal, ...]]
    names: ClassVar[tuple[str, ...]]
    longest_s: ClassVar[float] = 2 * HOUR_S
    reference: ClassVar[str] = "success rate"
    declared: ClassVar[dict[str, dict[str, Any]]] = {}
    base: dict[str, FloatArray]

    def begin(self) -> State:
        """Return a state in which nothing is in force."""
        return State()

    def factor(self, series: str, command: WorldCommand, age_s: float, i: int) -> float:
        """Return what an act makes of a series at an age, in step `i`."""
        raise NotImplementedError

    def step(self, state: State, i: int) -> WorldStep:
        """Multiply what would be by what was done."""
        state.acts = [each for each in state.acts if (i - each[0]) * self.step_s <= self.longest_s]
        values = {
            series: row[i]
            * math.prod(self.factor(series, command, (i - at) * self.step_s, i) for at, _, command in state.acts)
            for series, row in self.base.items()
        }
        return WorldStep(self.shown(values, i), float(self.broken(values)))

    def shown(self, values: dict[str, float], i: int) -> dict[str, float]:
        """Return what is reported of what is."""
        return values

    def broken(self, values: dict[str, float]) -> float:
        """Return the severities of what is broken; of a metric with several series their mean."""
        total = 0.0
        for metric, bound, severity in self.goals:
            own = [value > bound for series, value in values.items() if series.partition("{")[0] == metric]
            total += severity * sum(own) / len(own)
        return total

    def commands(self, series: str | None = None) -> list[WorldCommand]:
        """Return every action."""
        return [WorldCommand(name, series=series) for name in self.names]

    def configuration(self) -> dict[str, Any]:
        """Return a bound for each metric with a goal, and actions that say how long they last."""
        objectives = [
            {
                "name": metric.replace("_", "-"),
                "metric": metric,
                "bound": bound,
                "severity": severity,
                "horizon_s": 7_200,
            }
            for metric, bound, severity in self.goals
        ]
        plain = {
            "goal_types": ["BOTTLENECK_PREVENTION"],
            "metrics": [metric for metric, _, _ in self.goals],
            "candidates": [{}],
            "duration_seconds": HOUR_S,
        }
        return {"objectives": objectives, "actions": {name: plain | self.declared.get(name, {}) for name in self.names}}

    def bounds(self) -> dict[str, float]:
        """Return the bound of each series that has one."""
        meant = {metric: bound for metric, bound, _ in self.goals}
        return {series: meant[name] for series in self.base if (name := series.partition("{")[0]) in meant}

    def policies(self) -> dict[str, Policy]:
        """Return the rules of the comparison."""
        bounds = self.bounds()
        return {
            "nothing": nothing,
            "threshold": threshold(bounds, self.names),
            "random": at_random(bounds, self.names, self.seed),
            "success rate": SuccessRatePolicy(bounds, self.names, self.seed),
            "oracle": Oracle(self),
        }


def without_duration(configuration: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration that does not say how long acts last."""
    for action in configuration["actions"].values():
        del action["duration_seconds"]
    return configuration


class OneCure(ActsWorld):
    """A world of which the first action alone mends what is wrong; that stays, so nobody says how long it lasts."""

    def configuration(self) -> dict[str, Any]:
        """Return the same; without how long an act lasts."""
        return without_duration(super().configuration())

    def policies(self) -> dict[str, Policy]:
        """Return the rules of the comparison."""
        return {"nothing": nothing, "threshold": threshold(self.bounds(), self.names[:1]), "oracle": Oracle(self)}


class FourActs(ActsWorld):
    """`shed` takes a fifth off and costs throughput, `warm` a quarter at night alone, `stir` nothing though its handler
    says so, and `churn` adds a fifth from half an hour after it on.
    """

    name: ClassVar[str] = "four acts"
    goals: ClassVar = (("latency", 250.0, 0.6),)
    names: ClassVar[tuple[str, ...]] = ("shed", "warm", "stir", "churn")
    declared: ClassVar = {"churn": {"duration_seconds": 1.5 * HOUR_S}}
    claims: ClassVar = {"stir": {"latency": -0.3}}
    late_s: ClassVar[float] = 0.0
    lasts_s: ClassVar[float] = HOUR_S
    lingers_s: ClassVar[float] = 0.0
    flips: ClassVar[bool] = False

    def draw(self, rng: np.random.Generator) -> None:
        """Draw a latency with a rush by day, a batch at night and a wander; a throughput and a temperature."""
        load = 185 + 50 * hump(self.hours, 14, 2.5) + 50 * hump(self.hours, 2, 2)
        self.base = {
            "latency": (load + wander(rng, self.count, 22, 0.97)) * rng.lognormal(0, 0.03, self.count),
            "throughput": 200 + wander(rng, self.count, 6, 0.8) + rng.normal(0, 2, self.count),
            "temperature": 40 + wander(rng, self.count, 1, 0.9),
        }
        self.flips_at = self.first + (self.count - self.first) // 2

    def factor(self, series: str, command: WorldCommand, age_s: float, i: int) -> float:
        """Return the truth of the four."""
        name = command.name
        if self.flips and i >= self.flips_at:
            name = {"shed": "churn", "churn": "shed"}.get(name, name)
        if name == "churn":
            return 1.2 if series == "latency" and HOUR_S / 2 <= age_s < 1.5 * HOUR_S else 1.0
        share = self._share(age_s)
        if series == "latency":
            is_night = not 6 <= self.hours[i] % 24 < 22
            return 1 - share * {"shed": 0.20, "warm": 0.25 * is_night}.get(name, 0.0)
        return 1 - share * 0.04 if (series, name) == ("throughput", "shed") else 1.0

    def _share(self, age_s: float) -> float:
        """Return how much of an act's effect is there at an age."""
        if age_s < self.late_s:
            return 0.0
        over_s = age_s - self.late_s - self.lasts_s
        if over_s < 0:
            return 1.0
        return math.exp(-over_s / self.lingers_s) if self.lingers_s else 0.0


class Flip(FourActs):
    """The one that helps and the one that harms change places half-way."""

    name: ClassVar[str] = "four acts, flip"
    flips: ClassVar[bool] = True


class Unsaid(FourActs):
    """The four, of which nobody says how long they last."""

    name: ClassVar[str] = "four acts, unsaid"

    def configuration(self) -> dict[str, Any]:
        """Return the same without it."""
        return without_duration(super().configuration())


class Late(FourActs):
    """Acts that work from twenty minutes after them on; that is declared."""

    name: ClassVar[str] = "four acts, late"
    late_s: ClassVar[float] = 1_200.0
    declared: ClassVar = {
        **{name: {"latency_seconds": 1_200.0} for name in ("shed", "warm", "stir")},
        **FourActs.declared,
    }


class Lingering(FourActs):
    """Acts whose effect fades for hours after the hour they are said to last."""

    name: ClassVar[str] = "four acts, lingering"
    lingers_s: ClassVar[float] = HOUR_S
    longest_s: ClassVar[float] = 5 * HOUR_S
    look_s: ClassVar[float] = 4 * HOUR_S


class Outlasting(FourActs):
    """Acts that work for three hours, as is declared: far longer than they are measured."""

    name: ClassVar[str] = "four acts, outlasting"
    lasts_s: ClassVar[float] = 3 * HOUR_S
    longest_s: ClassVar[float] = 4 * HOUR_S
    look_s: ClassVar[float] = 4 * HOUR_S
    declared: ClassVar = {
        **{name: {"duration_seconds": 3 * HOUR_S} for name in ("shed", "warm", "stir")},
        **FourActs.declared,
    }


class TwoActs(FourActs):
    """Two acts on one metric, each worth an eighth for two hours: often in force at once."""

    name: ClassVar[str] = "two acts, one metric"
    names: ClassVar = ("shed", "trim")
    claims: ClassVar = {}
    declared: ClassVar = {name: {"duration_seconds": 2 * HOUR_S} for name in ("shed", "trim")}
    longest_s: ClassVar[float] = 3 * HOUR_S

    def factor(self, series: str, command: WorldCommand, age_s: float, i: int) -> float:
        """Return an eighth off for two hours."""
        return 0.875 if series == "latency" and age_s < 2 * HOUR_S else 1.0


class OpposedActs(ActsWorld):
    """`shed` takes a fifth off a latency of little weight and doubles the errors, which weigh three times as much."""

    name: ClassVar[str] = "two objectives, undeclared"
    goals: ClassVar = (("latency", 250.0, 0.3), ("errors", 5.0, 0.9))
    names: ClassVar = ("shed",)
    reference: ClassVar[str] = "threshold"
    most_acts: ClassVar[int] = 3

    def draw(self, rng: np.random.Generator) -> None:
        """Draw a latency that is often too high, and errors that are few."""
        load = 190 + 55 * hump(self.hours, 14, 3)
        self.base = {
            "latency": (load + wander(rng, self.count, 22, 0.97)) * rng.lognormal(0, 0.03, self.count),
            "errors": np.maximum(0, 3 + wander(rng, self.count, 0.3, 0.9) + rng.normal(0, 0.2, self.count)),
        }

    def factor(self, series: str, command: WorldCommand, age_s: float, i: int) -> float:
        """Return what it helps and what it harms, for an hour."""
        return {"latency": 0.8, "errors": 2.2}[series] if age_s < HOUR_S else 1.0

    def unsafe(self, report: SimulationReport) -> list[str]:
        """Return whether it acted more often than it takes to know the harm, or although it had measured it twice."""
        acts = [done for done in self.done if done.undo_of is None]
        harm = self.harm_known(report)
        late = [done for done in acts if self.moment(done.at - 1) >= harm]
        found = {
            f"{len(late)} acts whose known harm to a graver objective outweighs the gain": bool(late),
            f"{len(acts)} acts that harm a graver objective": len(acts) > self.most_acts,
        }
        return [said for said, is_found in found.items() if is_found]

    def harm_known(self, report: SimulationReport) -> datetime:
        """Return when the second outcome had said for sure that the errors rise."""
        outcomes = [each for done in self.done for each in report.store.outcomes.of_action(done.action_id)]
        sure = sorted(each.measured_at for each in outcomes if each.series == "errors" and (each.low or 0) > 0)
        return sure[1] if len(sure) > 1 else self.end

    def configuration(self) -> dict[str, Any]:
        """Return both objectives, and the action as what helps the latency."""
        plain = super().configuration()
        plain["actions"]["shed"] |= {"metrics": ["latency"]}
        return plain


class DeclaredConflict(OpposedActs):
    """The same, with both effects declared."""

    name: ClassVar[str] = "two objectives, declared"
    most_acts: ClassVar[int] = 0

    def harm_known(self, report: SimulationReport) -> datetime:
        """Return the start: it is declared."""
        return self.start

    def configuration(self) -> dict[str, Any]:
        """Return the same with what the action changes."""
        plain = super().configuration()
        plain["actions"]["shed"] |= {"metrics": [], "expected_change": {"latency": -45.0, "errors": 3.6}}
        return plain


HOSTS = tuple(f'host_load{{host="h{n}"}}' for n in range(10))
GOOD_HOSTS = frozenset(HOSTS[:3])


class Targets(ActsWorld):
    """`redeploy` takes a quarter off a queue and adds a fifth to a latency; `restart` helps three hosts of ten."""

    name: ClassVar[str] = "one deployment, ten targets"
    goals: ClassVar = (("queue", 60.0, 0.6), ("latency", 250.0, 0.6), ("host_load", 75.0, 0.6))
    names: ClassVar = ("redeploy", "restart")

    def draw(self, rng: np.random.Generator) -> None:
        """Draw a queue and a latency that take turns, and ten hosts."""
        self.base = {
            "queue": 42 + 16 * hump(self.hours, 11, 2.5) + wander(rng, self.count, 5, 0.96),
            "latency": 190 + 50 * hump(self.hours, 20, 2.5) + wander(rng, self.count, 15, 0.96),
        }
        for n, host in enumerate(HOSTS):
            self.base[host] = 55 + 14 * hump(self.hours, (3 + 5 * n) % 24, 2.5) + wander(rng, self.count, 6, 0.96)

    def factor(self, series: str, command: WorldCommand, age_s: float, i: int) -> float:
        """Return the truth per metric and host."""
        if age_s >= HOUR_S:
            return 1.0
        if command.name == "redeploy":
            return {"queue": 0.75, "latency": 1.2}.get(series, 1.0)
        return 0.75 if series == command.series and series in GOOD_HOSTS else 1.0

    def commands(self, series: str | None = None) -> list[WorldCommand]:
        """Return what can be done for a series, or for each."""
        if series is None:
            return [WorldCommand("redeploy"), *(WorldCommand("restart", series=host) for host in HOSTS)]
        return [WorldCommand("restart" if series in HOSTS else "redeploy", series=series)]

    def configuration(self) -> dict[str, Any]:
        """Return three objectives, and two actions with the metrics that they are for."""
        plain = super().configuration()
        plain["actions"]["redeploy"] |= {"metrics": ["queue", "latency"]}
        plain["actions"]["restart"] |= {"metrics": ["host_load"]}
        return plain

    def policies(self) -> dict[str, Policy]:
        """Return the rules of the comparison; the pooled belief is a success rate an action, for all it is done to."""
        bounds = self.bounds()
        return {
            "nothing": nothing,
            "threshold": _for_each(bounds),
            "success rate": PooledRate(bounds, self.seed),
            "oracle": Oracle(self),
        }


def _name_for(series: str) -> str:
    return "restart" if series in HOSTS else "redeploy"


def _for_each(bounds: dict[str, float]) -> Policy:
    by_name = {name: {s: b for s, b in bounds.items() if _name_for(s) == name} for name in Targets.names}
    rules = [threshold(own, [name]) for name, own in by_name.items()]
    return lambda seen, tick: [command for rule in rules for command in rule(seen, tick)]


class PooledRate:
    """Acts while more than half of an action's acts were followed by a fall, whatever they were done to."""

    def __init__(self, bounds: dict[str, float], seed: int) -> None:
        by_name = {name: {s: b for s, b in bounds.items() if _name_for(s) == name} for name in Targets.names}
        self.rules = [SuccessRatePolicy(own, ["nothing at all", name], seed) for name, own in by_name.items()]

    def __call__(self, seen: Any, tick: datetime) -> list[WorldCommand]:
        """Ask the rate of each action."""
        commands = [command for rule in self.rules for command in rule(seen, tick)]
        return [command for command in commands if command.name in Targets.names]


class Shifts(ActsWorld):
    """A response that a release lifts for good, a meter that goes silent, and an office that lives by local time.

    None of the first two breaks its bound; the office does by day, and `relieve` works from a quarter of an hour on.
    """

    name: ClassVar[str] = "shift, silence, clock change"
    start: ClassVar[datetime] = datetime(2026, 3, 21, tzinfo=UTC)
    history: ClassVar = 7 * DAY
    goals: ClassVar = (("response", 260.0, 0.6), ("meter", 90.0, 0.6), ("office_load", 80.0, 0.6))
    names: ClassVar = ("relieve",)
    declared: ClassVar = {"relieve": {"latency_seconds": 900.0}}
    reference: ClassVar[str] = "threshold"

    def draw(self, rng: np.random.Generator) -> None:
        """Draw the three; the clock goes forward on the 29th at one, the first night after the first turn."""
        steps = np.arange(self.count)
        self.released_at = self.first + 96
        local = self.hours + 1 + (self.hours >= 8 * 24 + 1)
        is_open = 1 / (1 + np.exp(-4 * (local % 24 - 9))) / (1 + np.exp(4 * (local % 24 - 17)))
        self.base = {
            "response": np.where(steps < self.released_at, 120, 200) + rng.normal(0, 10, self.count),
            "meter": 60 + 12 * hump(self.hours, 13, 4) + wander(rng, self.count, 3, 0.95),
            "office_load": 35 + 47 * is_open + wander(rng, self.count, 4, 0.95) + rng.normal(0, 1, self.count),
        }
        self.silent = (steps >= self.first + 120) & (steps < self.first + 192)

    def events(self, i: int) -> list[str]:
        """Return the release."""
        return ["release"] if i == self.released_at else []

    def factor(self, series: str, command: WorldCommand, age_s: float, i: int) -> float:
        """Return a fifth off for an hour, a quarter of an hour after the act."""
        meant = command.series in (None, series)
        return 0.8 if meant and 900 <= age_s < 900 + HOUR_S else 1.0

    def shown(self, values: dict[str, float], i: int) -> dict[str, float]:
        """Leave out the meter while it is silent."""
        return values | {"meter": math.nan} if self.silent[i] else values

    def commands(self, series: str | None = None) -> list[WorldCommand]:
        """Return relief for a series, or for each."""
        return [WorldCommand("relieve", series=each) for each in ([series] if series else self.base)]

    def configuration(self) -> dict[str, Any]:
        """Return the same with the people's time zone."""
        return super().configuration() | {"forecasting": {"pattern_recognizer": {"timezone": "Europe/Berlin"}}}


class Pair(ActsWorld):
    """A latency that the slower of two ways decides: `front` or `back` alone changes nothing, both together do."""

    name: ClassVar[str] = "a pair of acts"
    goals: ClassVar = (("latency", 250.0, 0.6),)
    names: ClassVar[tuple[str, ...]] = ("front", "back")
    reference: ClassVar[str] = "threshold"

    def draw(self, rng: np.random.Generator) -> None:
        """Draw both ways: the same load, and a noise of their own."""
        load = 190 + 55 * hump(self.hours, 14, 3) + wander(rng, self.count, 22, 0.97)
        self.base = {way: load * rng.lognormal(0, 0.015, self.count) for way in self.names}

    def factor(self, series: str, command: WorldCommand, age_s: float, i: int) -> float:
        """Return a fifth off its own way for an hour."""
        return 0.8 if series == command.name and age_s < HOUR_S else 1.0

    def step(self, state: State, i: int) -> WorldStep:
        """Show the slower way."""
        state.acts = [each for each in state.acts if (i - each[0]) * self.step_s <= self.longest_s]
        ways = (
            row[i] * math.prod(self.factor(way, command, (i - at) * self.step_s, i) for at, _, command in state.acts)
            for way, row in self.base.items()
        )
        latency = max(ways)
        return WorldStep({"latency": latency}, self.broken({"latency": latency}))

    def bounds(self) -> dict[str, float]:
        """Return the bound of what is shown."""
        return {"latency": self.goals[0][1]}

    def policies(self) -> dict[str, Policy]:
        """Return single acts, and who knows that it takes both."""
        both = [[WorldCommand("front"), WorldCommand("back")], [WorldCommand("front")], [WorldCommand("back")]]
        return super().policies() | {"oracle": Oracle(self, both)}


class TriedPair(Pair):
    """The same, where pairs may be tried though nothing is declared of them."""

    name: ClassVar[str] = "a pair of acts, tried"

    def configuration(self) -> dict[str, Any]:
        """Return the same with that allowed."""
        return super().configuration() | {"executor": {"try_pairs": True}}


class PairAmongFour(TriedPair):
    """The same with two more acts that do nothing, alone or together: one pair of six is worth finding."""

    name: ClassVar[str] = "a pair among four acts, tried"
    names: ClassVar = ("front", "back", "stir", "wait")

    def draw(self, rng: np.random.Generator) -> None:
        """Draw both ways, the only ones that there are."""
        load = 190 + 55 * hump(self.hours, 14, 3) + wander(rng, self.count, 22, 0.97)
        self.base = {way: load * rng.lognormal(0, 0.015, self.count) for way in ("front", "back")}


class DeclaredPair(Pair):
    """The same, where `back` is declared to require what `front` provides."""

    name: ClassVar[str] = "a pair of acts, declared"
    declared: ClassVar = {"front": {"provides": ["front relieved"]}, "back": {"requires": ["front relieved"]}}
