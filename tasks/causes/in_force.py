"""The causes of goals that are new, as a reader of the store finds them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property, partial

from storage.events import TopConsumers, resource_of
from storage.records import Frame, Goal, beyond, labels_of, metric_of
from tasks.causes.components import component_of, graph_of, in_order, nested
from tasks.causes.consumers import consumers_told, newest_on
from tasks.causes.graph import DependencyGraph
from tasks.causes.in_words import Incident, notes_on, recalled, similar, told
from tasks.causes.moves import Moments, Spans
from tasks.causes.ranking import Histories, rank_causes
from tasks.context import Context
from tasks.objectives.run_history import STATE_OF, run_history
from tasks.stage import explanation

SPANS = Spans(before=6, after=2)
LATELY_STEPS = 12
"""Within so many steps before a goal is set what caused it is looked for."""

MOST_STEPS, MOST_SERIES = 600, 300
REMEMBERED = timedelta(days=90)
MOST_RUNS = 500
NOTED_WITHIN = timedelta(minutes=30)
_DEPLOYMENT = "deployment"


def with_causes(context: Context, goals: Sequence[Goal], frames: Sequence[Frame]) -> tuple[Goal, ...]:
    """Return new goals with what was found to have caused them, in `because` under "causes".

    Goals that only inform and those about no single series are left as they are, as is all where no goal is new.
    """
    search = _Search(context, tuple(frames))
    return tuple(
        search.with_consumers(explanation(f"the cause of {goal.description}", partial(search.explained, goal), goal))
        for goal in goals
    )


@dataclass(frozen=True)
class _Search:
    """What the goals of one turn share; nothing is read before a goal asks."""

    context: Context
    frames: tuple[Frame, ...]

    def explained(self, goal: Goal) -> Goal:
        frame = next((each for each in self.frames if goal.series in each.index.places), None)
        if frame is None or goal.series is None or goal.informs:
            return goal
        labels = self.context.settings.topology.labels
        near = _nearest(frame, goal.series, self._graph, labels)
        named = [component_of(each, labels) for each in near.series]
        components = tuple(component for component, _ in named)
        histories = Histories(
            near.series,
            near.values,
            components,
            tuple(metric for _, metric in named),
            self.context.settings.topology.traffic,
        )
        last = near.values.shape[1] - SPANS.after
        if last < 0:
            return goal
        moments = range(max(0, last - LATELY_STEPS + 1), last + 1)
        ranking = rank_causes(
            histories, goal.series, self._graph, spans=SPANS, moments=moments, troubled=_troubled(near, goal)
        )
        origin, _ = component_of(goal.series, labels)
        notes = notes_on(
            self._graph, origin, graph_of(self.context.settings.topology.depends_on).components, self._known
        )
        causes = told(ranking, near, origin, notes)
        if ranking.causes:
            causes["similar"] = similar(ranking.causes[0].component, goal, self._past(goal))
            causes["sentence"] = f"{causes['sentence']} {recalled(causes['similar'])}".strip()
        return goal.model_copy(update={"because": {**goal.because, "causes": causes}})

    def with_consumers(self, goal: Goal) -> Goal:
        """Return a goal on a metric of this host with who used most of it when it last stood out, if that was noted."""
        resource = resource_of(metric_of(goal.series)) if goal.series else None
        noted = newest_on(self._noted, resource) if resource is not None else None
        if noted is None:
            return goal
        return goal.model_copy(update={"because": {**goal.because, "top_consumers": consumers_told(noted)}})

    @cached_property
    def _noted(self) -> list[TopConsumers]:
        return self.context.store.consumers.between(self.context.tick - NOTED_WITHIN, self.context.tick)

    @cached_property
    def _known(self) -> frozenset[str]:
        labels = self.context.settings.topology.labels
        return frozenset(component_of(series, labels)[0] for frame in self.frames for series in frame.series)

    @cached_property
    def _graph(self) -> DependencyGraph:
        topology = self.context.settings.topology
        series = [name for frame in self.frames for name in frame.series]
        return graph_of(topology.depends_on, [*nested(series, topology.labels), *self._order_of_runs(series)])

    def _order_of_runs(self, series: Iterable[str]) -> Iterable[tuple[str, str]]:
        if not any(_DEPLOYMENT in labels_of(name) for name in series):
            return ()
        since = self.context.tick - REMEMBERED
        events = self.context.store.events.newest(tuple(STATE_OF), since, self.context.tick, MOST_RUNS)
        runs = run_history(events, {}).by_deployment
        return in_order({name: [(run.start_s, run.end_s) for run in each] for name, each in runs.items()})

    def _past(self, goal: Goal) -> list[Incident]:
        store = self.context.store
        closed = store.goals.recent(self.context.tick - REMEMBERED)
        mine = [view for view in closed if view.goal.objective == goal.objective and view.goal.because.get("causes")]
        outcomes = store.outcomes.targets(since=self.context.tick - REMEMBERED) if mine else []
        return [Incident(view, [each for each in outcomes if each.goal_id == view.goal.goal_id]) for view in mine]


def _troubled(frame: Frame, goal: Goal) -> Moments | None:
    if goal.series is None or goal.bound is None:
        return None
    return beyond(frame.row(goal.series), goal.bound, goal.side)


def _nearest(frame: Frame, series: str, graph: DependencyGraph, labels: Sequence[str]) -> Frame:
    """Return the last steps of the series to compare: those below the target's component, or those most alike it."""
    origin, _ = component_of(series, labels)
    own = labels_of(series).items()
    below = frozenset(graph.below(origin)) if origin in graph.components else frozenset()
    others = [each for each in frame.series if not below or component_of(each, labels)[0] in below]
    nearest = sorted(others, key=lambda each: (each != series, -len(own & labels_of(each).items())))[:MOST_SERIES]
    values = frame.values[[frame.index.places[each] for each in nearest], -MOST_STEPS:]
    return frame.model_copy(update={"series": tuple(nearest), "values": values})
