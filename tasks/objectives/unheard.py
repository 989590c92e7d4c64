"""What is configured of metrics that nobody records: most likely a typing error, said before it costs anything."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

from storage.records import Objective, metric_of, selects
from tasks.objectives.ratios import ratio_pairs

MOST_COMPARED = 2_000
"""Of so many series at most the nearest is looked for."""


def unheard(
    objectives: Iterable[Objective], traits: Mapping[str, Mapping[str, Any]], recorded: Sequence[str]
) -> list[str]:
    """Return a sentence for each name in objectives and in the configured traits of actions that no series answers to.

    `recorded` are the known series; where there are none at all nothing can be said yet.
    """
    if not recorded:
        return []
    metrics = {metric_of(series) for series in recorded}
    wanted = [*_of_objectives(objectives), *_of_actions(traits)]
    named: dict[str, list[str]] = {}
    for where, name in wanted:
        if not _is_recorded(name, metrics, recorded):
            named.setdefault(name, []).append(where)
    missing = [
        f"{_who(places)} {name}, and nothing is recorded under that name{_meant(name, metrics, recorded)}"
        for name, places in named.items()
    ]
    return [*missing, *_impossible_ratios(objectives, metrics, recorded), *_levels_of_counters(objectives)]


def _who(places: Sequence[str]) -> str:
    """Return who names something, and the verb that goes with it."""
    each = list(dict.fromkeys(places))
    told = f"{', '.join(each[:-1])} and {each[-1]} name" if len(each) > 1 else f"{each[0]} names"
    return told[0].upper() + told[1:]


def _of_objectives(objectives: Iterable[Objective]) -> Iterator[tuple[str, str]]:
    for each in objectives:
        per = each.response.per if each.response is not None else None
        single = {
            "metric": each.metric,
            "denominator": each.denominator,
            "driver": each.driver,
            "capacity": each.capacity,
            "response.per": per,
        }
        yield from ((f"the {key} of objective {each.name}", name) for key, name in single.items() if name is not None)
        yield from ((f"a guard of objective {each.name}", name) for name in each.guards)


def _of_actions(traits: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    for action, said in traits.items():
        if said.get("sets"):
            yield f"`sets` of action {action}", said["sets"]
        for key in ("controls", "metrics", "expected_effect", "expected_change"):
            yield from ((f"`{key}` of action {action}", name) for name in said.get(key, ()))


def _is_recorded(name: str, metrics: Iterable[str], recorded: Iterable[str]) -> bool:
    if name in metrics or any(fnmatchcase(metric, name) for metric in metrics):
        return True
    return "{" in name and any(selects(name, series) for series in recorded)


def _meant(name: str, metrics: set[str], recorded: Sequence[str]) -> str:
    """Return the nearest name: of a series where the metric is right and the labels are not, else of a metric."""
    of_metric = [series for series in recorded if metric_of(series) == metric_of(name)] if "{" in name else []
    among = of_metric[:MOST_COMPARED] or sorted(metrics)[:MOST_COMPARED]
    near = get_close_matches(name if of_metric else metric_of(name), among, n=1)
    return f"; did you mean {near[0]}?" if near else " yet."


def _impossible_ratios(objectives: Iterable[Objective], metrics: set[str], recorded: Sequence[str]) -> Iterator[str]:
    for each in objectives:
        parts = [each.metric, each.denominator] if each.denominator is not None else []
        are_recorded = bool(parts) and all(_is_recorded(str(part), metrics, recorded) for part in parts)
        if are_recorded and not ratio_pairs([each], recorded):
            yield (
                f"Objective {each.name} is a ratio of {each.metric} and {each.denominator}, and no series of the one "
                "has all labels of one of the other: there is no such ratio."
            )


def _levels_of_counters(objectives: Iterable[Objective]) -> Iterator[str]:
    for each in objectives:
        is_level = each.kind.bounds_each_value and each.denominator is None
        if is_level and metric_of(each.metric).endswith("_total"):
            yield (
                f"Objective {each.name} is on {each.metric}, which by its name only counts up: a bound is passed once "
                "and for good. Record its rate instead, or name a denominator that counts up too."
            )
