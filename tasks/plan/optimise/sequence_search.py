"""Which sequences of actions make possible what cannot begin by itself, by the facts that actions declare."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations

from tasks.interventions.declared_facts import DeclaredFacts, held_after, unmet

MOST_STEPS = 3

Steps = tuple[str, ...]


def sequences(declared: Mapping[str, DeclaredFacts], held: frozenset[str]) -> list[Steps]:
    """Return every sequence of two or three actions that ends in one which cannot begin now, and in it can.

    No action comes twice, what each requires holds once those before it are done, and without any one of its steps the
    last could not begin. `held` are the facts that hold now. Shorter ones come first, then by name.
    """
    last = [name for name, each in sorted(declared.items()) if unmet(held, each.requires)]
    before = [name for name, each in sorted(declared.items()) if each.provides]
    found = [each for end in last for each in _ending_in(end, before, declared, held)]
    return sorted(found, key=lambda each: (len(each), each))


def _ending_in(
    end: str, before: list[str], declared: Mapping[str, DeclaredFacts], held: frozenset[str]
) -> Iterator[Steps]:
    minimal: set[Steps] = set()
    others = [name for name in before if name != end]
    one = [(name,) for name in others]
    two = [(first, second) for first in others for second in others if first != second]
    for steps in (*one, *two):
        whole = (*steps, end)
        is_longer = any(part in minimal for size in (1, 2) for part in combinations(steps, size) if part != steps)
        if not is_longer and can_follow(whole, declared, held):
            minimal.add(steps)
            yield whole


def can_follow(steps: Steps, declared: Mapping[str, DeclaredFacts], held: frozenset[str]) -> bool:
    """Tell whether actions can be done one after the other, given the facts that hold before the first."""
    for name in steps:
        own = declared.get(name, DeclaredFacts())
        if unmet(held, own.requires):
            return False
        held = held_after(held, own.provides)
    return True
