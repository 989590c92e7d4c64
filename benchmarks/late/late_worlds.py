"""Worlds in which what an act does at once tells little of what it does, and one in which it tells all."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from benchmarks.worlds.acts import HOUR_S, ActsWorld
from benchmarks.worlds.simulated_world import State, WorldCommand, WorldStep, hump, wander
from storage.records import NOTHING, FloatArray


class LateWorld(ActsWorld):
    """A latency that rises over its bound for some hours a day, and two acts, `quick` and `slow`."""

    goals: ClassVar = (("latency", 250.0, 0.6),)
    names: ClassVar[tuple[str, ...]] = ("quick", "slow")
    believed: ClassVar[str] = "quick"
    """What an act's first hour says is best."""

    longest_s: ClassVar[float] = 6 * HOUR_S
    turn_s: ClassVar[float] = HOUR_S
    base: dict[str, FloatArray]

    def draw(self, rng: np.random.Generator) -> None:
        """Draw a load that is high from nine to six."""
        load = 185 + 75 * hump(self.hours, 13.5, 4.5) + wander(rng, self.count, 20, 0.97)
        self.base = {"latency": load * rng.lognormal(0, 0.02, self.count)}

    def configuration(self) -> dict[str, Any]:
        """Return acts that last an hour, as far as anybody knows."""
        made = super().configuration()
        for action in made["actions"].values():
            action["duration_seconds"] = HOUR_S
        return made


class Regretted(LateWorld):
    """`quick` takes a twelfth off for an hour and then adds a twelfth for three; `slow` does nothing."""

    name: ClassVar[str] = "helps at once, harms later"

    def factor(self, series: str, command: WorldCommand, age_s: float, i: int) -> float:
        """Return the truth."""
        if command.name == "slow":
            return 1.0
        return 0.92 if age_s < HOUR_S else 1.08 if age_s < 4 * HOUR_S else 1.0


class HelpsLater(LateWorld):
    """`quick` takes a twentieth off for an hour; `slow` nothing for one hour, and a seventh for the four after it."""

    name: ClassVar[str] = "helps hours later"

    def factor(self, series: str, command: WorldCommand, age_s: float, i: int) -> float:
        """Return the truth."""
        if command.name == "quick":
            return 0.95 if age_s < HOUR_S else 1.0
        return 0.85 if HOUR_S <= age_s < 5 * HOUR_S else 1.0


class AddsUp(LateWorld):
    """`quick` takes a twentieth off for an hour; `slow` a fifth while it was done twice in four hours."""

    name: ClassVar[str] = "helps when repeated"

    def step(self, state: State, i: int) -> WorldStep:
        """Let repeated acts work."""
        state.acts = [each for each in state.acts if (i - each[0]) * self.step_s <= self.longest_s]
        ages = [((i - at) * self.step_s, command.name) for at, _, command in state.acts]
        repeated = sum(name == "slow" and age_s < 4 * HOUR_S for age_s, name in ages)
        quick = any(name == "quick" and age_s < HOUR_S for age_s, name in ages)
        value = self.base["latency"][i] * (0.80 if repeated >= 2 else 0.95 if quick else 1.0)
        return WorldStep({"latency": value}, self.broken({"latency": value}))

    def factor(self, series: str, command: WorldCommand, age_s: float, i: int) -> float:
        """Return 1: what acts do is no product here."""
        return 1.0


class AtOnce(LateWorld):
    """`quick` takes a tenth off for an hour, `slow` nothing; nothing comes later."""

    name: ClassVar[str] = "all at once"

    def factor(self, series: str, command: WorldCommand, age_s: float, i: int) -> float:
        """Return the truth."""
        return 0.90 if command.name == "quick" and age_s < HOUR_S else 1.0


class NoEffect(LateWorld):
    """Neither act does anything."""

    name: ClassVar[str] = "no act does anything"
    believed: ClassVar[str] = NOTHING

    def factor(self, series: str, command: WorldCommand, age_s: float, i: int) -> float:
        """Return 1."""
        return 1.0


WORLDS: dict[str, type[LateWorld]] = {kind.name: kind for kind in (Regretted, HelpsLater, AddsUp, AtOnce, NoEffect)}
