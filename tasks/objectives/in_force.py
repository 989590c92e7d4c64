"""The objectives in force."""

from __future__ import annotations

from settings import Settings
from storage import Store
from storage.facts import OBJECTIVES
from storage.records import Objective
from tasks.objectives.defaults import default_objectives


def objectives_in_force(settings: Settings, store: Store) -> tuple[Objective, ...]:
    """Return the objectives in force; one set by hand replaces the file's of the same name, null removes it."""
    by_name = {
        objective.name: objective for objective in (default_objectives() if settings.use_default_objectives else ())
    }
    by_name |= {objective.name: objective for objective in settings.objectives}
    for name, objective in store.facts.matching(OBJECTIVES).items():
        if objective is None:
            by_name.pop(name, None)
        else:
            by_name[name] = objective
    return tuple(by_name.values())
