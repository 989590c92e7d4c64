"""The loop's own figures in the Prometheus format, read off the store when they are asked for.

A figure is one function here: its name and help stand above it, and what it returns is shown. Names of counters get
`_total` at their end by themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily as Counter
from prometheus_client.core import GaugeMetricFamily as Gauge
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from api import queries
from api.facade import Facade
from api.queries.ahead import predicted
from handlers.drills import DrillReport
from storage import Store
from storage.facts import DRILLS
from storage.records import Cycle
from tasks.drivers.in_force import breaches_in_force
from tasks.objectives.in_force import objectives_in_force

COVERAGE_LAST = 500


@dataclass(frozen=True)
class Scrape:
    """One reading of all figures, with what several of them rest on."""

    facade: Facade

    @property
    def store(self) -> Store:
        """Return the store that is read."""
        return self.facade.store

    @cached_property
    def newest(self) -> Cycle | None:
        """Return the newest whole cycle."""
        return next(iter(self.store.cycles.latest(1, whole=True)), None)

    @cached_property
    def stages_s(self) -> Mapping[str, float]:
        """Return how long each stage of the newest cycle took, in seconds."""
        stages = self.store.cycles.stages(self.newest.cycle_id) if self.newest else []
        return {each["stage"]: each["duration_s"] for each in stages}

    @cached_property
    def coverage(self) -> tuple[float | None, int]:
        """Return the share of observations inside the 90 % interval, and over how many forecasts."""
        return self.store.forecasts.coverage(COVERAGE_LAST)


Value = float | Mapping[Any, float] | None
"""A number, or one for each value of a label, or of several; None leaves the figure out."""
Read = Callable[[Scrape], Value]


@dataclass(frozen=True)
class Figure:
    """One figure: what it is called and tells, its labels, and how it is read off the store."""

    kind: type[Gauge] | type[Counter]
    name: str
    text: str
    labels: tuple[str, ...]
    read: Read

    @property
    def shown_name(self) -> str:
        """Return the name under which it is shown."""
        return f"{self.name}_total" if self.kind is Counter else self.name

    def family(self, scrape: Scrape) -> Metric | None:
        """Return it with its values now; None where there is none to show."""
        value = self.read(scrape)
        if value is None:
            return None
        shown = self.kind(self.name, self.text, labels=self.labels or None)
        for said, amount in sorted(value.items()) if isinstance(value, Mapping) else [((), value)]:
            shown.add_metric([said] if isinstance(said, str) else list(said), amount)
        return shown


FIGURES: list[Figure] = []


def figure(
    kind: type[Gauge] | type[Counter], name: str, text: str, by: str | tuple[str, ...] = ()
) -> Callable[[Read], Read]:
    """Show what a function returns as a figure; `by` is its label or labels, whose values must be few."""
    labels = () if not by else (by,) if isinstance(by, str) else by

    def declare(read: Read) -> Read:
        FIGURES.append(Figure(kind, name, text, labels, read))
        return read

    return declare


@figure(
    Gauge,
    "foreact_whatif_coverage_ratio",
    "Share of observations after acts inside the 90 % band that was foretold with them.",
)
def _whatif_coverage(scrape: Scrape) -> Value:
    return queries.whatif.past(scrape.facade).coverage_90


@figure(Counter, "foreact_goals_created", "Goals set so far.")
def _goals_created(scrape: Scrape) -> Value:
    return sum(scrape.store.goals.counts().values())


@figure(Gauge, "foreact_goals", "Goals in each state.", by="state")
def _goals(scrape: Scrape) -> Value:
    return scrape.store.goals.counts()


@figure(Counter, "foreact_actions", "Receipts of each status.", by="status")
def _actions(scrape: Scrape) -> Value:
    return scrape.store.actions.counts_by_status()


@figure(Counter, "foreact_cycles", "Whole cycles so far.")
def _cycles(scrape: Scrape) -> Value:
    return scrape.store.cycles.count()


@figure(Counter, "foreact_samples", "Samples received over HTTP since the start.")
def _samples(scrape: Scrape) -> Value:
    return scrape.facade.counters.get("samples")


@figure(Counter, "foreact_events", "Events received over HTTP since the start.")
def _events(scrape: Scrape) -> Value:
    return scrape.facade.counters.get("events")


@figure(Counter, "foreact_samples_refused", "Pushed samples that were refused since the start.")
def _samples_refused(scrape: Scrape) -> Value:
    return scrape.facade.counters.get("samples_refused")


@figure(Counter, "foreact_tends", "Runs of tend started by the facade.")
def _tends(scrape: Scrape) -> Value:
    return scrape.facade.counters.get("tends")


@figure(Gauge, "foreact_pending_approvals", "Actions that wait for approval.")
def _pending_approvals(scrape: Scrape) -> Value:
    return len(queries.goals.awaiting(scrape.facade, scrape.facade.clock()))


@figure(Gauge, "foreact_autonomous", "1 while foreact may act automatically.")
def _autonomous(scrape: Scrape) -> Value:
    return queries.agent.mode(scrape.facade).acts


@figure(
    Gauge,
    "foreact_forecast_coverage_ratio",
    "Share of observations inside the 90 % interval of the last verified forecasts.",
)
def _coverage(scrape: Scrape) -> Value:
    return scrape.coverage[0]


@figure(Gauge, "foreact_drill_success_ratio", "Share of actions whose newest undo drill passed.")
def _drills(scrape: Scrape) -> Value:
    return DrillReport.of_facts(scrape.store.facts.matching(DRILLS)).success_ratio


@figure(Gauge, "foreact_forecasts_resolved", "How many forecasts that coverage rests on.")
def _resolved(scrape: Scrape) -> Value:
    return scrape.coverage[1]


@figure(Gauge, "foreact_cycle_age_seconds", "Time since the tick of the newest cycle.")
def _cycle_age(scrape: Scrape) -> Value:
    return (scrape.facade.clock() - scrape.newest.tick).total_seconds() if scrape.newest else None


@figure(Gauge, "foreact_cycle_duration_seconds", "Length of the newest cycle.")
def _cycle_duration(scrape: Scrape) -> Value:
    return sum(scrape.stages_s.values()) if scrape.newest else None


@figure(Gauge, "foreact_stage_duration_seconds", "Length of each stage of the newest cycle.", by="stage")
def _stage_durations(scrape: Scrape) -> Value:
    return scrape.stages_s if scrape.newest else None


@figure(Gauge, "foreact_predicted_state_probability", "Probability of each predicted overall state.", by="state")
def _predicted_state(scrape: Scrape) -> Value:
    state = scrape.store.forecasts.state(scrape.newest.cycle_id) if scrape.newest else None
    return state.probabilities if state else None


@figure(
    Gauge,
    "foreact_breach_probability",
    "Highest probability that an objective breaks within its horizon, over its series.",
    by="objective",
)
def _breaches(scrape: Scrape) -> Value:
    worst: dict[str, float] = {}
    for breach in breaches_in_force(scrape.store, scrape.newest.cycle_id) if scrape.newest else ():
        worst[breach.objective] = max(breach.probability, worst.get(breach.objective, 0.0))
    return worst if scrape.newest else None


@figure(
    Gauge,
    "foreact_predicted_value",
    "Quantile of what is foretold of an objective's series, so many seconds after the newest cycle.",
    by=("objective", "series", "level", "ahead_seconds"),
)
def _predicted(scrape: Scrape) -> Value:
    return predicted(scrape.facade)


@figure(Gauge, "foreact_objective_bound", "The bound of each objective.", by=("objective", "side"))
def _bounds(scrape: Scrape) -> Value:
    known = objectives_in_force(scrape.facade.in_force, scrape.store)
    return {(each.name, each.side): each.bound for each in known}


class LoopCollector(Collector):
    """Reads every figure anew at each scrape; labels are states, statuses, stages and objectives, which are few."""

    def __init__(self, facade: Facade) -> None:
        self._facade = facade

    def describe(self) -> Iterable[Metric]:
        """Return nothing, so that registering asks the store nothing."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Return all figures."""
        scrape = Scrape(self._facade)
        return (shown for each in FIGURES if (shown := each.family(scrape)) is not None)


def registry(facade: Facade) -> CollectorRegistry:
    """Return a registry of this facade's own, with the figures of its process."""
    own = CollectorRegistry(auto_describe=False)
    own.register(LoopCollector(facade))
    ProcessCollector(registry=own)
    return own
