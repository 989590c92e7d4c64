"""What every protocol's body comes down to: series by their labels, each with points in time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from api.models.ingest import MAX_LABEL_CHARS, MAX_LABELS, MAX_NAME_CHARS

Labels = tuple[tuple[str, str], ...]
"""The labels of a series, among them `__name__`, its metric, and perhaps `__unit__`."""


class UnreadLabels(tuple[bytes, ...]):
    """Labels in the bytes of their protocol, by which a series is known without reading them."""

    def read(self) -> Labels:
        """Return the labels; raises ValueError where they cannot be read."""
        raise NotImplementedError


Key = Labels | UnreadLabels
"""By what a series is known."""
Points = Sequence[tuple[int | None, float]]
"""Moments in microseconds since 1970 (None: now), each with its value."""
Pushed = Iterable[tuple[Key, Points | str]]
"""Series with their points, or with why they have none that can be taken."""

METRIC, UNIT = "__name__", "__unit__"
MAX_UNIT_CHARS = 50
_STANDS_FOR = str.maketrans({"{": "(", "}": ")", '"': "'"})


def key_of(metric: str, labels: Iterable[tuple[str, str]], unit: str = "") -> Labels:
    """Return the key of a series."""
    return ((METRIC, metric), *((UNIT, unit),) * bool(unit), *labels)


def labels_of(key: Key) -> Labels:
    """Return the labels of a series; raises ValueError where they cannot be read."""
    return key.read() if isinstance(key, UnreadLabels) else key


def identity(key: Key) -> tuple[str, dict[str, str], str]:
    """Return metric, labels and unit of a series, with what a series' name cannot hold replaced.

    A label of a machine may hold braces, as in `/users/{id}`, which becomes `/users/(id)`. A label without text is
    none. Raises ValueError saying what is wrong.
    """
    labels = {_plain(name): _plain(text) for name, text in labels_of(key) if text}
    metric, unit = labels.pop(METRIC, "").strip(), labels.pop(UNIT, "")
    if not metric:
        raise ValueError("it has no name")
    if len(metric) > MAX_NAME_CHARS:
        raise ValueError(f"its name is longer than {MAX_NAME_CHARS} characters")
    if len(labels) > MAX_LABELS:
        raise ValueError(f"it has {len(labels)} labels; at most {MAX_LABELS} are allowed")
    for name, text in labels.items():
        if not name.strip() or len(name) > MAX_NAME_CHARS:
            raise ValueError(f"the name of a label must have 1 to {MAX_NAME_CHARS} characters")
        if len(text) > MAX_LABEL_CHARS:
            raise ValueError(f"its label {name:.40} is longer than {MAX_LABEL_CHARS:,} characters")
    return metric, labels, unit[:MAX_UNIT_CHARS]


def _plain(text: str) -> str:
    plain = text.translate(_STANDS_FOR)
    return plain if plain.isprintable() else "".join(each if each.isprintable() else " " for each in plain)
