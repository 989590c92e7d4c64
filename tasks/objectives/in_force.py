"""The objectives in force."""

from __future__ import annotations

from settings import Settings
from storage import Store
from storage.facts import OBJECTIVES
from storage.records import Objective
from tasks.objectives.defaults import default_objectives


def objectives_in_force(settings: Settings, store: Store) -> tuple[Objective, ...]:
    """Return the objectives in force; one set by hand replaces the file's of the same name, null removes it."""
    known = {
        objective.name: objective for objective in (default_objectives() if settings.use_default_objectives else ())
    }
    known |= {objective.name: objective for objective in settings.objectives}
    for name, objective in store.facts.matching(OBJECTIVES).items():
        if objective is None:
            known.pop(name, None)
        else:
            known[name] = objective
    return tuple(known.values())
