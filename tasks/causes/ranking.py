"""Which component explains that a target moved: the loudest that nothing below it explains.

A fault is loud where it is and less so in what depends on it. So each component is as loud as its loudest series, of
the target's metric first; what the loudest of its own dependencies shows is taken off, on a log scale; and the way
down from the target must have moved as well. How loud the first one has to be to be named is learned from the past:
it must stand out from what the same search finds at the past's own moments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from storage.records import FloatArray
from tasks.causes.graph import DependencyGraph
from tasks.causes.moves import FEWEST_MOMENTS, Moments, Moves, Spans, moves_of

MOST_CAUSES = 3
MOST_ALARMS = 0.03
"""Share of quiet moments at which a cause may be named."""

_OTHER_METRIC = 0.3
_OFF_THE_WAY = 0.3
_AUDIBLE = 1.0


@dataclass(frozen=True)
class Histories:
    """Series over the same steps, oldest first, NaN where nothing was recorded.

    `values` is (series, steps); `components` and `metrics` say of each series what it is of and what it measures.
    `traffic` is the metric that counts a component's requests, where one does.
    """

    series: tuple[str, ...]
    values: FloatArray
    components: tuple[str, ...]
    metrics: tuple[str, ...]
    traffic: str | None = None


@dataclass(frozen=True)
class Cause:
    """A component that may have caused it, and why: what of it moved, by how much, how many steps before the target.

    `loudness` is the change by what is rare for the series, `score` what its rank goes by, `path` the way down to it
    from the target where a graph is given. `change` and `level` are in the unit of the series.
    """

    component: str
    series: str
    score: float
    loudness: float
    level: float
    change: float
    lead_steps: int
    path: tuple[str, ...]


@dataclass(frozen=True)
class Ranking:
    """What was found: causes, the likeliest first, none where nothing stands out.

    `p_value` is the share of past moments at which as much was found, None where the past is too short to tell;
    `moment` is the step at which it began.
    """

    causes: tuple[Cause, ...]
    moment: int
    p_value: float | None


def rank_causes(
    histories: Histories,
    target: str,
    graph: DependencyGraph | None = None,
    *,
    spans: Spans,
    moments: Sequence[int],
    troubled: Moments | None = None,
) -> Ranking:
    """Return what explains that the series `target` moved at one of some steps, at the one where it moved most.

    Without a graph, or where it does not know the target's component, every component is asked, and those come first
    that moved like the target and not after it. `troubled` (steps,) tells when the target was in trouble before: what
    is ordinary is not learned from those. Shapes as in `Histories`; pure, no randomness.
    """
    quiet = _quiet(histories.values.shape[1], spans, min(moments), troubled)
    moves = moves_of(histories.values, spans, quiet)
    scene = _Scene(histories, moves, histories.series.index(target), graph)
    now = _loudest_moment(moves.loudness[scene.target], moments)
    p_value = _share_as_high(scene.best[quiet], float(scene.best[now]), len(moments))
    if p_value is None or p_value > MOST_ALARMS:
        return Ranking((), now, p_value)
    found = [scene.cause(place, now, spans) for place in np.argsort(-scene.scores[:, now], kind="stable")]
    causes = sorted((each for each in found if each.score > 0), key=lambda each: -each.score)
    return Ranking(tuple(causes[:MOST_CAUSES]), now, p_value)


def _quiet(n_steps: int, spans: Spans, first: int, troubled: Moments | None) -> Moments:
    """Return the moments whose spans reach neither into the last ones nor into trouble."""
    quiet = np.zeros(n_steps, dtype=bool)
    quiet[: max(0, first - spans.before - spans.after)] = True
    for step in np.flatnonzero(troubled) if troubled is not None else ():
        quiet[max(0, step - spans.after + 1) : step + spans.before + 2] = False
    return quiet


def _loudest_moment(loudness: FloatArray, moments: Sequence[int]) -> int:
    heard = np.nan_to_num(np.abs(loudness[list(moments)]))
    return int(moments[int(np.argmax(heard))])


def _share_as_high(past: FloatArray, now: float, width: int) -> float | None:
    """Return the share of past stretches of `width` moments whose best score was as high, None where they are few."""
    past = past[np.isfinite(past)]
    if len(past) < FEWEST_MOMENTS:
        return None
    stretches = np.lib.stride_tricks.sliding_window_view(past, min(width, len(past))).max(axis=1)
    return float((1 + (stretches >= now).sum()) / (1 + len(stretches)))


class _Scene:
    """How loud each component is at every moment, and what of that nothing below it explains."""

    def __init__(self, histories: Histories, moves: Moves, target: int, graph: DependencyGraph | None) -> None:
        self._histories, self._moves, self.target = histories, moves, target
        self._origin = histories.components[target]
        self._graph = graph if graph is not None and self._origin in graph.components else None
        self._components = (
            self._graph.below(self._origin) if self._graph else tuple(dict.fromkeys(histories.components))
        )
        self._places = {name: place for place, name in enumerate(self._components)}
        self._rows: dict[str, list[int]] = {}
        for row, component in enumerate(histories.components):
            self._rows.setdefault(component, []).append(row)
        self._weighed = self._weigh()
        self._loud = np.log1p(self._loudest())
        self.scores = (self._unexplained() if self._graph else self._loud) * self._shares()
        heard = np.abs(moves.loudness[target])
        self.best: FloatArray = self.scores.max(axis=0, initial=0.0) * np.minimum(1.0, heard)

    def _weigh(self) -> FloatArray:
        """Return how loud each series is as a reason for the target: its own metric must move the same way."""
        loudness = np.nan_to_num(self._moves.loudness)
        metric = self._histories.metrics[self.target]
        is_same = np.array([each == metric for each in self._histories.metrics])[:, None]
        with_target = np.maximum(0.0, loudness * np.sign(loudness[self.target]))
        weighed: FloatArray = np.where(is_same, with_target, _OTHER_METRIC * np.abs(loudness))
        # How often others are called is the callers' doing; how often the target is, may be what troubles it.
        weighed[[self._is_called(row) for row in range(len(weighed))]] = 0.0
        return weighed

    def _is_called(self, row: int) -> bool:
        is_other = self._histories.components[row] != self._origin
        return is_other and self._histories.metrics[row] == self._histories.traffic

    def _shares(self) -> FloatArray:
        """Return how much of the target's trouble each component is large enough to explain, 0 to 1.

        Trouble is change by number of requests: seconds lost, requests failed. 1 where requests are not counted.
        """
        metric, traffic = self._histories.metrics[self.target], self._histories.traffic
        trouble = np.full(self._loud.shape, np.nan)
        for component, place in self._places.items():
            rows = {self._histories.metrics[row]: row for row in self._rows.get(component, ())}
            if metric in rows and traffic in rows:
                counted = self._moves.level[rows[traffic]] + self._moves.change[rows[traffic]]
                trouble[place] = np.abs(self._moves.change[rows[metric]]) * np.maximum(0.0, counted)
        # Where the target moved no more than it often does, it may be more that was lost in its noise.
        own, heard = trouble[self._places[self._origin]], np.minimum(1.0, np.abs(self._moves.loudness[self.target]))
        of_target = np.divide(own, heard, out=np.full_like(own, np.nan), where=heard > 0)
        share = np.divide(trouble, of_target, out=np.ones_like(trouble), where=of_target > 0)
        return np.where(np.isfinite(share), np.clip(share, 0.0, 1.0), 1.0)

    def _loudest(self, *, alike: bool = False) -> FloatArray:
        """Return how loud each component is; `alike` by the target's metric alone where a component has it."""
        metrics, wanted = self._histories.metrics, self._histories.metrics[self.target]
        loudest = np.zeros((len(self._components), self._weighed.shape[1]))
        for component, place in self._places.items():
            rows = self._rows.get(component, [])
            same = [row for row in rows if metrics[row] == wanted] if alike else []
            if rows:
                loudest[place] = self._weighed[same or rows].max(axis=0)
        return loudest

    def _unexplained(self) -> FloatArray:
        below, loud = np.zeros_like(self._loud), np.log1p(self._loudest(alike=True))
        for component, other in self._edges:
            place = self._places[component]
            np.maximum(below[place], loud[self._places[other]], out=below[place])
        reached = _OFF_THE_WAY + (1 - _OFF_THE_WAY) * self._reached()
        unexplained: FloatArray = np.maximum(0.0, self._loud - below) * reached
        return unexplained

    def _reached(self) -> FloatArray:
        """Return how far each component's way down from the target has moved as well, 0 to 1."""
        passes = np.minimum(1.0, self._loud / np.log1p(_AUDIBLE))
        measured = set(self._histories.components)
        # The target moved, that is why it is asked; and what nobody measures stands in nobody's way.
        for component in self._components:
            if component == self._origin or component not in measured:
                passes[self._places[component]] = 1.0
        reached = np.zeros_like(self._loud)
        reached[0] = 1.0
        for _ in self._components:
            before = reached.copy()
            for component, other in self._edges:
                here, there = self._places[component], self._places[other]
                np.maximum(reached[there], np.minimum(reached[here], passes[here]), out=reached[there])
            if np.array_equal(before, reached):
                break
        return reached

    @property
    def _edges(self) -> list[tuple[str, str]]:
        pairs = self._graph.pairs if self._graph else ()
        return [(component, other) for component, other in pairs if component in self._places]

    def cause(self, place: int, now: int, spans: Spans) -> Cause:
        """Return what is known of one component as a cause."""
        component = self._components[place]
        mine = self._rows.get(component, [])
        row = max(mine, key=lambda each: self._weighed[each, now], default=self.target)
        lead = self._onset(self.target, now, spans) - self._onset(row, now, spans)
        score = float(self.scores[place, now]) if mine else 0.0
        return Cause(
            component=component,
            series=self._histories.series[row],
            score=score if self._graph else score * self._likeness(row, now, spans, lead),
            loudness=float(self._moves.loudness[row, now]),
            level=float(self._moves.level[row, now]),
            change=float(self._moves.change[row, now]),
            lead_steps=lead,
            path=self._graph.path(self._origin, component) if self._graph else (),
        )

    def _onset(self, row: int, now: int, spans: Spans) -> int:
        """Return the first step at which a series had gone half the way."""
        level, change = self._moves.level[row, now], self._moves.change[row, now]
        after = self._histories.values[row, now : now + spans.after]
        gone = np.flatnonzero((after - level) * np.sign(change) >= 0.5 * abs(change))
        return int(gone[0]) if len(gone) else 0

    def _likeness(self, row: int, now: int, spans: Spans, lead: int) -> float:
        """Return how much a series moved like the target, 0 to 1; less where it did so only after it."""
        span = slice(now - spans.before - 1, now + spans.after)
        own, other = self._histories.values[row, span], self._histories.values[self.target, span]
        seen = np.isfinite(own) & np.isfinite(other)
        if seen.sum() < 2:
            return 0.0
        own, other = own[seen] - own[seen].mean(), other[seen] - other[seen].mean()
        size = float(np.sqrt((own**2).sum() * (other**2).sum()))
        alike = abs(float((own * other).sum())) / size if size > 0 else 0.0
        return alike * (0.5 if lead < 0 else 1.0)
