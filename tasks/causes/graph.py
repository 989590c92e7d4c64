"""What depends on what: services on those that they call, a host on what runs on it, a flow on the one before it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from graphlib import CycleError, TopologicalSorter


@dataclass(frozen=True)
class DependencyGraph:
    """What each component depends on, by name; a circle in it does no harm."""

    depends_on: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, str]]) -> DependencyGraph:
        """Return the graph of (component, what it depends on); one that depends on itself says nothing."""
        found: dict[str, dict[str, None]] = {}
        for component, other in pairs:
            if component != other:
                found.setdefault(component, {})[other] = None
        return cls({component: tuple(others) for component, others in found.items()})

    @cached_property
    def components(self) -> frozenset[str]:
        """Return every component that is named."""
        return frozenset(self.depends_on) | {each for others in self.depends_on.values() for each in others}

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Return every (component, what it depends on)."""
        return tuple((component, other) for component, others in self.depends_on.items() for other in others)

    def below(self, component: str) -> tuple[str, ...]:
        """Return a component and all that it depends on, the nearest first."""
        return tuple(self._came_from(component))

    def path(self, component: str, other: str) -> tuple[str, ...]:
        """Return the shortest way down from a component to another one, both included; empty where there is none."""
        came_from = self._came_from(component)
        if other not in came_from:
            return ()
        way = [other]
        while way[-1] != component:
            way.append(came_from[way[-1]])
        return tuple(reversed(way))

    def _came_from(self, component: str) -> dict[str, str]:
        came_from, waiting = {component: component}, [component]
        for here in waiting:
            for other in self.depends_on.get(here, ()):
                if other not in came_from:
                    came_from[other] = here
                    waiting.append(other)
        return came_from


def circle_in(graph: DependencyGraph) -> tuple[str, ...]:
    """Return the components of one circle, the first repeated at the end; empty where there is none."""
    try:
        TopologicalSorter(graph.depends_on).prepare()
    except CycleError as circle:
        return tuple(reversed(circle.args[1]))
    return ()
