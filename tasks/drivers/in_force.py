"""The breaches that a cycle went by, and the amounts that can be set, as readers of the store find them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import timedelta

import numpy as np

from handlers import ActionHandler
from storage import Store
from storage.facts import DRIVEN, DRIVER_SEARCH, DriverSearch
from storage.records import Breach, FloatArray, Frame, Objective
from tasks.context import Context
from tasks.drivers.fitting import driver_paths, fit_driven, with_own_amounts
from tasks.drivers.found_drivers import said_of, search_drivers
from tasks.drivers.settable_amounts import AmountsNow, declared_direction
from tasks.objectives.in_force import objectives_in_force, objectives_with_origin

_LATEST_WITHIN = timedelta(hours=1)
_SEARCH_EVERY_S = 3_600.0


def breaches_in_force(store: Store, cycle_id: str) -> tuple[Breach, ...]:
    """Return the breaches that a cycle went by: of driven objectives those that the driver foretells."""
    own = store.forecasts.breaches.select("WHERE cycle_id = $cycle_id", {"cycle_id": cycle_id})
    driven_fact = store.facts.get(DRIVEN)
    if driven_fact is None or driven_fact.cycle_id != cycle_id:
        return tuple(own)
    replaced = {breach.objective for breach in driven_fact.breaches}
    return (*(breach for breach in own if breach.objective not in replaced), *driven_fact.breaches)


def amounts_now(
    context: Context, frames: Sequence[Frame], paths: Mapping[str, FloatArray], breaches: Sequence[Breach]
) -> AmountsNow:
    """Return the objectives with what drives them, and what is known of the amounts that can be set.

    `paths` (n_paths, n_steps) by series and `breaches` are those of the metrics' own forecasts. The newest values are
    read where an amount can be set.
    """
    objectives = with_own_amounts(objectives_in_force(context.settings, context.store), context.actions.values())
    setting = {name: each for name, each in context.actions.items() if each.enabled and each.sets and each.amounts}
    rows = context.store.samples.latest(context.tick - _LATEST_WITHIN) if setting else {}
    return AmountsNow(
        objectives=objectives,
        frames=tuple(frames),
        actions=setting,
        driven=fit_driven(objectives, frames, strained_by_more=_strained_by_more(objectives, setting.values())),
        latest={series: value for series, (ts, value) in rows.items() if ts <= context.tick},
        turn_s=context.settings.analysis_interval_s,
        breaches=tuple(breaches),
        paths=driver_paths(paths, frames, objectives),
    )


def _strained_by_more(objectives: Iterable[Objective], setting: Collection[ActionHandler]) -> frozenset[str]:
    """Return the objectives of whose capacity more is declared to make the metric worse."""

    def setters(sets: str | None) -> Iterable[ActionHandler]:
        return (each for each in setting if each.sets == sets)

    return frozenset(
        each.name for each in objectives if declared_direction(setters(each.capacity), each.measured, each) < 0
    )


def look_for_drivers(context: Context, known: AmountsNow) -> None:
    """Search once an hour what drives objectives that name no driver; what two searches find holds from the next turn.

    One search in so many finds something by chance; an hour later it hardly finds the same.
    """
    if not known.actions or all(each.driver is not None for each in known.objectives):
        return
    now_s, earlier = context.tick.timestamp(), context.store.facts.get(DRIVER_SEARCH) or DriverSearch(-np.inf, {}, {})
    if 0 <= now_s - earlier.at_s < _SEARCH_EVERY_S:
        return
    once = search_drivers(known)
    found = {name: each for name, each in once.items() if earlier.once.get(name) == each}
    context.store.facts.set(DRIVER_SEARCH, DriverSearch(now_s, {**earlier.found, **found}, once))
    for objective in known.objectives:
        if objective.name in found:
            sentence = said_of(objective, found[objective.name])
            context.store.audit.append("loop", "driver found", objective.name, {"sentence": sentence})


def said_of_found(context: Context) -> dict[str, str]:
    """Return by objective what people are told of a driver that was found for it, as long as it names none itself."""
    search = context.store.facts.get(DRIVER_SEARCH)
    if search is None or not search.found:
        return {}
    configured = objectives_with_origin(context.settings, context.store)
    return {
        name: said_of(configured[name][0], found)
        for name, found in search.found.items()
        if name in configured and configured[name][0].driver is None
    }
