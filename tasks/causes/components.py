"""Which component a series is of, and what depends on what, by configuration, by labels and by the order of runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise, permutations

import numpy as np

from storage.records import FloatArray, labels_of, metric_of, series_key
from tasks.causes.graph import DependencyGraph

FOLLOWS_S = 120.0
_FEWEST_RUNS = 5
_NEARLY_ALWAYS = 0.9


def component_of(series: str, labels: Sequence[str]) -> tuple[str, str]:
    """Return the component that a series is of and what it measures of it: the first of some labels names it.

    A series without such a label is a component of its own.
    """
    own = labels_of(series)
    named = next((label for label in labels if label in own), None)
    if named is None:
        return series, metric_of(series)
    rest = {label: value for label, value in own.items() if label not in labels}
    return own[named], series_key(metric_of(series), rest)


def nested(series: Iterable[str], labels: Sequence[str]) -> Iterable[tuple[str, str]]:
    """Yield (larger, smaller) of the components that one series names: a host depends on what runs on it.

    `labels` begin with the smallest kind.
    """
    for each in series:
        own = labels_of(each)
        for smaller, larger in pairwise([own[label] for label in labels if label in own]):
            yield larger, smaller


def in_order(runs: Mapping[str, Sequence[tuple[float | None, float | None]]]) -> Iterable[tuple[str, str]]:
    """Yield (deployment, the one before it) where nearly every run begins as one of the other has ended, five at least.

    `runs` holds (start, end) in unix seconds by deployment, None where a run has not come so far.
    """
    starts = {name: _told(start for start, _ in each) for name, each in runs.items()}
    ends = {name: _told(end for _, end in each) for name, each in runs.items()}
    for later, earlier in permutations(runs, 2):
        begun, ended = starts[later], ends[earlier]
        if min(len(begun), len(ended)) < _FEWEST_RUNS:
            continue
        gaps = begun[:, None] - ended[None, :]
        follows = (gaps >= 0) & (gaps <= FOLLOWS_S)
        if min(follows.any(axis=1).mean(), follows.any(axis=0).mean()) >= _NEARLY_ALWAYS:
            yield later, earlier


def _told(times: Iterable[float | None]) -> FloatArray:
    return np.array([each for each in times if each is not None])


def graph_of(depends_on: Mapping[str, Sequence[str]], others: Iterable[tuple[str, str]] = ()) -> DependencyGraph:
    """Return the configured graph and what else was found to depend on each other."""
    configured = [(component, other) for component, below in depends_on.items() for other in below]
    return DependencyGraph.of([*configured, *others])
