"""The loop's own figures in the Prometheus format, read off the store when they are asked for."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily as Counter
from prometheus_client.core import GaugeMetricFamily as Gauge
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from api import queries
from api.facade import Facade
from handlers.drills import DrillReport
from storage.facts import DRILLS
from storage.records import Cycle
from tasks.drivers.in_force import breaches_in_force

COVERAGE_LAST = 500


class LoopCollector(Collector):
    """Reads every figure anew at each scrape; labels are states, statuses, stages and objectives, which are few."""

    def __init__(self, facade: Facade) -> None:
        self._facade = facade

    def describe(self) -> Iterable[Metric]:
        """Return nothing, so that registering asks the store nothing."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Return all figures."""
        store, counters = self._facade.store, self._facade.counters
        goals = store.goals.counts()
        yield Counter("foreact_goals_created", "Goals set so far.", value=sum(goals.values()))
        yield _by("foreact_goals", "Goals in each state.", "state", goals)
        yield _by("foreact_actions", "Receipts of each status.", "status", store.actions.counts_by_status(), Counter)
        yield Counter("foreact_cycles", "Whole cycles so far.", value=store.cycles.count())
        for name, text in (
            ("samples", "Samples received over HTTP since the start."),
            ("events", "Events received over HTTP since the start."),
            ("tends", "Runs of tend started by the facade."),
        ):
            yield Counter(f"foreact_{name}", text, value=counters.get(name))
        yield from self._now()
        yield from self._newest()

    def _now(self) -> Iterable[Metric]:
        waiting = len(queries.goals.awaiting(self._facade, self._facade.clock()))
        yield Gauge("foreact_pending_approvals", "Actions that wait for approval.", value=waiting)
        acts = queries.agent.mode(self._facade).acts
        yield Gauge("foreact_autonomous", "1 while foreact may act automatically.", value=float(acts))
        coverage, resolved = self._facade.store.forecasts.coverage(COVERAGE_LAST)
        if coverage is not None:
            text = "Share of observations inside the 90 % interval of the last verified forecasts."
            yield Gauge("foreact_forecast_coverage_ratio", text, value=coverage)
        ratio = DrillReport.of_facts(self._facade.store.facts.matching(DRILLS)).success_ratio
        if ratio is not None:
            yield Gauge("foreact_drill_success_ratio", "Share of actions whose newest undo drill passed.", value=ratio)
        yield Gauge("foreact_forecasts_resolved", "Verified forecasts behind that share.", value=resolved)

    def _newest(self) -> Iterable[Metric]:
        store = self._facade.store
        for newest in store.cycles.latest(1, whole=True):
            yield from self._stages(newest)
            state = store.forecasts.state(newest.cycle_id)
            if state is not None:
                text = "Probability of each predicted overall state."
                yield _by("foreact_predicted_state_probability", text, "state", state.probabilities)
            worst: dict[str, float] = {}
            for breach in breaches_in_force(store, newest.cycle_id):
                worst[breach.objective] = max(breach.probability, worst.get(breach.objective, 0.0))
            text = "Highest probability that an objective breaks within its horizon, over its series."
            yield _by("foreact_breach_probability", text, "objective", worst)

    def _stages(self, newest: Cycle) -> Iterable[Metric]:
        age_s = (self._facade.clock() - newest.tick).total_seconds()
        yield Gauge("foreact_cycle_age_seconds", "Time since the tick of the newest cycle.", value=age_s)
        stages = {each["stage"]: each["duration_s"] for each in self._facade.store.cycles.stages(newest.cycle_id)}
        total_s = sum(stages.values())
        yield Gauge("foreact_cycle_duration_seconds", "Length of the newest cycle.", value=total_s)
        yield _by("foreact_stage_duration_seconds", "Length of each stage of the newest cycle.", "stage", stages)


def registry(facade: Facade) -> CollectorRegistry:
    """Return a registry of this facade's own, with the figures of its process."""
    own = CollectorRegistry(auto_describe=False)
    own.register(LoopCollector(facade))
    ProcessCollector(registry=own)
    return own


def _by(
    name: str,
    text: str,
    label: str,
    values: dict[str, float] | dict[str, int],
    kind: type[Gauge] | type[Counter] = Gauge,
) -> Gauge | Counter:
    family = kind(name, text, labels=[label])
    for key, value in sorted(values.items()):
        family.add_metric([key], value)
    return family
