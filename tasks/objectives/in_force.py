"""The objectives in force, and where each comes from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from settings import Settings
from storage import Store
from storage.facts import DRIVER_SEARCH, OBJECTIVES
from storage.records import Objective
from tasks.configured_actions import configured_traits
from tasks.objectives.budget_tree import budget_trees
from tasks.objectives.defaults import default_objectives, example_objectives
from tasks.objectives.unheard import unheard
from tasks.shared_limits import limits_in_force

Origin = Literal["default", "example", "file", "by hand", "shared"]
ORIGIN_IN_WORDS: Mapping[Origin, str] = {
    "default": "a default for this host",
    "example": "a default for the metrics of the documented examples",
    "file": "foreact.toml",
    "by hand": "a person, through the API",
    "shared": "the share of a budget that several foreacts share",
}
BY_PEOPLE: frozenset[Origin] = frozenset({"file", "by hand"})
"""Where objectives come from that a person gave."""
_DAY_S = 86_400.0


def objectives_in_force(settings: Settings, store: Store) -> tuple[Objective, ...]:
    """Return the objectives in force; one set by hand replaces the file's of the same name, null removes it.

    One that names no driver has the one that was found for it, with its amount as capacity.
    """
    search = store.facts.get(DRIVER_SEARCH)
    found = search.found if search is not None else {}
    return tuple(
        objective.model_copy(update={"driver": driver.driver, "capacity": driver.capacity})
        if (driver := found.get(objective.name)) and objective.driver is None and driver.metric == objective.measured
        else objective
        for objective, _ in objectives_with_origin(settings, store).values()
    )


def objectives_with_origin(settings: Settings, store: Store) -> dict[str, tuple[Objective, Origin]]:
    """Return by name the objectives in force, each with where it comes from."""
    defaults = settings.use_default_objectives
    sources: tuple[tuple[Origin, tuple[Objective, ...]], ...] = (
        ("default", default_objectives() if defaults else ()),
        ("example", example_objectives() if defaults == "examples" else ()),
        ("file", settings.objectives),
    )
    by_name = {each.name: (each, origin) for origin, objectives in sources for each in objectives}
    for name, objective in store.facts.matching(OBJECTIVES).items():
        if objective is None:
            by_name.pop(name, None)
        else:
            by_name[name] = (objective, "by hand")
    return by_name | {each.name: (each, "shared") for each in _of_shares(settings, store)}


def _of_shares(settings: Settings, store: Store) -> Iterable[Objective]:
    """Return an objective for each share of an amount: where more is held than may be, a goal leads back.

    It stays while the share is kept, so that a goal for it can be achieved, but weighs next to nothing then.
    """
    return (
        Objective(
            name=f"shared-{limit.name}",
            metric=limit.sets,
            bound=limit.most,
            severity=1.0 if limit.is_exceeded else 0.01,
            description=limit.reason,
        )
        for limit in limits_in_force(settings, store, store.clock())
        if limit.sets is not None and not limit.is_unknown
    )


def said_of_names(settings: Settings, store: Store) -> list[str]:
    """Return a sentence for each thing that a person gave, in the file or by hand, and that cannot come true.

    These are names that no series answers to, and windows longer than samples are kept.
    """

    def look() -> list[str]:
        by_name = objectives_with_origin(settings, store).values()
        by_people = [objective for objective, origin in by_name if origin in BY_PEOPLE]
        kept_days = settings.storage.samples_days
        names = unheard(by_people, configured_traits(settings), [info.series for info in store.samples.known()])
        return [*names, *forgotten_windows(by_people, kept_days)]

    return list(store.engine.recall(("series", "facts"), ("said of names", settings.hash), look))


def said_of_trees(settings: Settings, store: Store) -> list[str]:
    """Return a sentence for each tree of objectives, and each budget for their parts, that contradicts itself."""

    def look() -> list[str]:
        return budget_trees(objective for objective, _ in objectives_with_origin(settings, store).values()).said

    return list(store.engine.recall(("facts",), ("said of trees", settings.hash), look))


def forgotten_windows(objectives: Iterable[Objective], kept_days: float) -> list[str]:
    """Return a sentence for each error budget whose window is longer than samples are kept."""
    return [
        f"Objective {each.name} counts over {each.window_s / _DAY_S:g} days, and samples are kept for {kept_days:g}: "
        "what is older counts for nothing. Increase storage.samples_days or shorten window_s."
        for each in objectives
        if each.kind.counts_over_window and each.window_s > kept_days * _DAY_S
    ]
