"""What an action reaches, by labels: so that no zone, service or rack is changed everywhere at once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from storage.records import Action

_LABEL = re.compile(r'([A-Za-z_][A-Za-z0-9_.-]*)="([^"]*)"')


@dataclass(frozen=True)
class Reach:
    """The target of an act, and the labels by which it belongs to larger things."""

    target: str
    labels: Mapping[str, str] = field(default_factory=dict)


def labels_of(action: Action) -> Reach:
    """Return the labels of an action: of its series, of its target where that is written like one, of its parameters.

    A later one wins: parameters `{"labels": {"zone": "a"}}`, then a target `web{zone="a"}`, then the series.
    """
    given = action.params.get("labels")
    own = {str(name): str(value) for name, value in given.items()} if isinstance(given, Mapping) else {}
    labels = {**dict(_LABEL.findall(action.series or "")), **dict(_LABEL.findall(action.target)), **own}
    return Reach(action.target or action.series or action.name, labels)


def spread_too_far(reach: Reach, reached: Iterable[Reach], most: Mapping[str, int]) -> str | None:
    """Return why one more target would be too many; None where it may be acted on.

    `most` says by label how many targets of one value may be reached; a target that was reached before is no new one.
    """
    before = list(reached)
    for label, limit in most.items():
        value = reach.labels.get(label)
        if value is None:
            continue
        targets = {each.target for each in before if each.labels.get(label) == value}
        if reach.target not in targets and len(targets) >= limit:
            return f"{len(targets)} targets of {label} {value} were acted on within an hour, the most allowed."
    return None
