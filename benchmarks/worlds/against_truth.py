"""One run of the loop in a world, held against the world's truth and against the other policies."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.worlds.policies import play, run_out
from benchmarks.worlds.simulated_world import Done, State, SteppedWorld, WorldCommand
from flows.reports.results import SimulationReport
from flows.simulate import simulate
from settings import Settings, load_settings
from storage.facts import INSIGHTS
from storage.records import NOTHING, Decision, Outcome, Verdict

LOOP = "foreact"
NEAR = timedelta(minutes=90)
STOPPED = timedelta(hours=12)
FEWEST_FOR_INSIGHT = 3
AS_GOOD_H = 0.02
"""By how much, in hours of severity 1, a decision may be worse than the best and still count as such."""

RUSH_H = 3
"""Whatever begins within these hours of one world is judged by the same weather."""

HARM_SD = 0.1
MEASURED = frozenset({Verdict.IMPROVED, Verdict.NO_EFFECT, Verdict.WORSE, Verdict.INCONCLUSIVE})
Costs = tuple[float, float]
"""What the first day and the days after cost."""


@dataclass
class Share:
    """So many of so many; shares add up. `together` counts those apart, by name, that hit and miss together."""

    hits: int = 0
    of: int = 0
    together: dict[str, tuple[int, int]] = field(default_factory=dict)

    def count(self, is_hit: bool, together: str = "") -> None:
        """Count one more."""
        self.hits, self.of = self.hits + bool(is_hit), self.of + 1
        if together:
            hits, of = self.together.get(together, (0, 0))
            self.together[together] = hits + bool(is_hit), of + 1

    def __add__(self, other: Share) -> Share:
        together = dict(self.together)
        for name, (hits, of) in other.together.items():
            before = together.get(name, (0, 0))
            together[name] = before[0] + hits, before[1] + of
        return Share(self.hits + other.hits, self.of + other.of, together)

    @property
    def ratio(self) -> float:
        """Return the share, NaN of nothing."""
        return self.hits / self.of if self.of else math.nan

    @property
    def independent(self) -> float:
        """Return how many independent ones tell as much of the share as these (the design effect of Kish 1965)."""
        groups = len(self.together)
        if groups < 2 or not 0 < self.hits < self.of:
            return float(self.of)
        squares = sum((hits - self.ratio * of) ** 2 for hits, of in self.together.values()) * groups / (groups - 1)
        return self.of * min(1.0, self.of * self.ratio * (1 - self.ratio) / squares) if squares else float(self.of)


@dataclass
class Figures:
    """What one seed of a world came to; `costs` by policy, in hours of an objective of severity 1 broken."""

    world: str
    seed: int
    reference: str
    days: float
    costs: dict[str, Costs]
    breach_h: float = 0.0
    lead_s: list[float] = field(default_factory=list)
    breaches: int = 0
    missed: int = 0
    false_goals: int = 0
    goals: int = 0
    acts: int = 0
    harmless_undone: Share = field(default_factory=Share)
    harmful_ended: Share = field(default_factory=Share)
    covered: Share = field(default_factory=Share)
    covered_near: Share = field(default_factory=Share)
    insights: Share = field(default_factory=Share)
    best: Share = field(default_factory=Share)
    regret_h: float = 0.0
    unsafe: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def oracle(self) -> str:
        """Return who knew the future best."""
        knowing = [name for name in self.costs if name.startswith(("oracle", "foresight"))]
        return min(knowing, key=lambda name: sum(self.costs[name]))

    def to_record(self) -> dict[str, Any]:
        """Return all of it, ready for JSON."""
        return asdict(self) | {"oracle": self.oracle}


def added(runs: list[Figures]) -> Figures:
    """Return the figures of several seeds as one: sums, and all that was unsafe."""
    first = runs[0]
    costs = {
        name: (sum(run.costs[name][0] for run in runs), sum(run.costs[name][1] for run in runs)) for name in first.costs
    }
    summed = {
        each.name: sum((getattr(run, each.name) for run in runs[1:]), getattr(first, each.name))
        for each in fields(Figures)
        if each.name not in {"world", "seed", "reference", "days", "costs"}
    }
    return Figures(first.world, first.seed, first.reference, sum(run.days for run in runs), costs, **summed)


def run_world(kind: type[SteppedWorld], seed: int, days: float) -> Figures:
    """Run the loop and every other policy in a world, and judge them."""
    began = time.process_time()
    world = kind(seed, days)
    with tempfile.TemporaryDirectory() as folder:
        report = simulate(world, plain_settings(world, Path(folder)), world.ticks)
    run_out(world)
    costs = {LOOP: _split(world)} | {
        name: _split(play(other := kind(seed, days), other.policies()[name])) for name in world.policies()
    }
    figures = Figures(world.name, seed, world.reference, days, costs)
    judge(figures, world, report)
    figures.seconds = time.process_time() - began
    return figures


def plain_settings(world: SteppedWorld, folder: Path) -> Settings:
    """Return what a new user configures: objectives and actions, and how often to look."""
    agent = {"analysis_interval_minutes": world.turn_s / 60}
    return load_settings(folder, home=folder, use_default_objectives=False, agent=agent, **world.configuration())


def _split(world: SteppedWorld) -> Costs:
    costs, day = world.costs(), round(86_400 / world.step_s)
    return float(costs[:day].sum()), float(costs[day:].sum())


def judge(figures: Figures, world: SteppedWorld, report: SimulationReport) -> None:
    """Fill in what the report and the truth say of the loop."""
    steps = world.steps[world.first :]
    figures.breach_h = sum(bool(step.broken > 0) for step in steps) * world.step_s / 3_600
    figures.lead_s = [each.lead_time_s for each in report.episodes if each.lead_time_s is not None]
    figures.breaches, figures.missed = len(report.episodes), len(report.missed)
    figures.false_goals, figures.goals = len(report.false_alarms), len(report.goals)
    figures.acts = sum(done.undo_of is None for done in world.done)
    figures.unsafe = world.unsafe(report)
    acts = {done.action_id: done for done in world.done if done.undo_of is None}
    _judge_undos(figures, world, acts)
    truths = _judge_outcomes(figures, world, report, acts)
    _judge_insights(figures, report, truths)
    _judge_decisions(figures, world, report)


def _judge_undos(figures: Figures, world: SteppedWorld, acts: Mapping[str, Done]) -> None:
    undone = {done.undo_of for done in world.done if done.undo_of}
    for key, done in acts.items():
        if not _is_harmful(world, done):
            figures.harmless_undone.count(key in undone)
            continue
        at, ends = world.moment(done.at), world.moment(done.at) + STOPPED
        if any(at < world.moment(other.at) <= ends and world.takes_back(done, other) for other in acts.values()):
            figures.harmful_ended.count(is_hit=True)
            continue
        again = any(
            at < world.moment(other.at) <= ends and other.command.name == done.command.name for other in acts.values()
        )
        if key in undone or again or ends <= world.end:
            figures.harmful_ended.count(key in undone or not again)


def _is_harmful(world: SteppedWorld, done: Done) -> bool:
    """Tell whether an act, if it is left alone, makes a metric with an objective worse and saves nothing."""
    look = math.ceil(world.look_s / world.step_s)
    with_it, without = world.left_alone(done, look), world.without(done, look)
    if world.cost_of(without) - world.cost_of(with_it) > world.act_cost:
        return False
    return any(
        np.nanmean([a.values[name] - b.values[name] for a, b in zip(with_it, without, strict=True)])
        > HARM_SD * np.nanstd([step.values[name] for step in world.steps[: world.first]])
        for name in _wanted_low(world, with_it[0].values)
    )


def _wanted_low(world: SteppedWorld, values: Mapping[str, float]) -> list[str]:
    metrics = {each["metric"] for each in world.configuration()["objectives"]}
    return [name for name in values if name.partition("{")[0] in metrics]


Truths = dict[tuple[str, str], list[float]]


def _judge_outcomes(
    figures: Figures, world: SteppedWorld, report: SimulationReport, acts: Mapping[str, Done]
) -> Truths:
    """Hold every interval against what the act really changed; return these changes by action and series."""
    moments = [world.moment(done.at - 1) for done in acts.values()]
    truths: Truths = {}
    for outcome in _measured(report):
        truth = 0.0 if outcome.action == NOTHING else _truth(world, acts.get(outcome.action_id), outcome)
        if truth is None or math.isnan(truth):
            continue
        truths.setdefault((outcome.action, outcome.series), []).append(truth)
        if outcome.role == "side_effect":
            continue
        assert outcome.low is not None
        assert outcome.high is not None
        slack = 1e-9 * max(1.0, abs(truth))
        is_inside = outcome.low - slack <= truth <= outcome.high + slack
        rush = _rush(world, outcome.acted_at)
        figures.covered.count(is_inside, rush)
        if any(timedelta(0) < outcome.acted_at - moment <= NEAR for moment in moments):
            figures.covered_near.count(is_inside, rush)
    return truths


def _rush(world: SteppedWorld, moment: datetime) -> str:
    """Return a name for some hours of a world's weather, the same in worlds that differ by their acts alone."""
    return f"{type(world).draw.__qualname__} {world.seed} {moment:%d} {moment.hour // RUSH_H}"


def _measured(report: SimulationReport) -> Iterator[Outcome]:
    for view in report.actions:
        for outcome in report.store.outcomes.of_action(view.action.action_id):
            if outcome.verdict in MEASURED and outcome.low is not None and outcome.high is not None:
                yield outcome


def _truth(world: SteppedWorld, done: Done | None, outcome: Outcome) -> float | None:
    evidence = outcome.evidence
    if done is None or not evidence.get("first_at") or outcome.series not in world.steps[0].values:
        return None
    begins = datetime.fromisoformat(evidence["first_at"]) - timedelta(seconds=evidence["step_s"])
    first = max(done.at, world.step_at(begins) + 1)
    return world.effect(
        done, outcome.series, first, max(1, round(evidence["window_steps"] * evidence["step_s"] / world.step_s))
    )


def _judge_insights(figures: Figures, report: SimulationReport, truths: Truths) -> None:
    insights = report.store.facts.get(INSIGHTS) or {}
    for each in insights.get("contributions", ()):
        truth = truths.get((each["action"], each["series"]))
        if truth and each["count"] >= FEWEST_FOR_INSIGHT and each["low"] is not None:
            figures.insights.count(each["low"] - 1e-9 <= float(np.mean(truth)) <= each["high"] + 1e-9)


def _judge_decisions(figures: Figures, world: SteppedWorld, report: SimulationReport) -> None:
    series = {view.goal.goal_id: view.goal.series for view in report.goals}
    for decision in report.store.decisions.latest(100_000):
        if decision.at not in world.seen_at:
            continue
        i, state = world.seen_at[decision.at]
        own = series.get(decision.goal_id)
        best, waiting = _worths(world, i, state, own if own in world.steps[0].values else None)
        chosen = _chosen(decision, own)
        lost = (world.worth_of(state, i, chosen) if chosen else waiting) - min(best, waiting)
        figures.best.count(lost <= AS_GOOD_H)
        figures.regret_h += float(max(0.0, lost))


def _worths(world: SteppedWorld, i: int, state: State, series: str | None) -> tuple[float, float]:
    """Return what the best act would cost now, and what waiting would: doing nothing, or the best act a turn later."""
    offers, turn = world.commands(series), round(world.turn_s / world.step_s)
    now, later = ([world.worth_of(state, i, [offer], wait) for offer in offers] for wait in (0, turn))
    return min(now), min(*later, world.worth_of(state, i, []))


def _chosen(decision: Decision, series: str | None) -> list[WorldCommand]:
    chosen = decision.chosen
    if chosen.action == NOTHING or chosen.slot > 0:
        return []
    amount = chosen.params.get("amount")
    return [WorldCommand(chosen.action, None if amount is None else float(amount), series)]
