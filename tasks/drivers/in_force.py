"""The breaches that a cycle went by, and the amounts that can be set, as readers of the store find them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from storage import Store
from storage.facts import DRIVEN
from storage.records import Breach, FloatArray, Frame, Objective
from tasks.context import Context
from tasks.drivers.fitting import DrivenMetrics
from tasks.drivers.settable_amounts import AmountsNow

_LATEST_WITHIN = timedelta(hours=1)


def breaches_in_force(store: Store, cycle_id: str) -> tuple[Breach, ...]:
    """Return the breaches that a cycle went by: of driven objectives those that the driver foretells."""
    own = store.forecasts.breaches.select("WHERE cycle_id = $cycle_id", {"cycle_id": cycle_id})
    driven_fact = store.facts.get(DRIVEN)
    if driven_fact is None or driven_fact.cycle_id != cycle_id:
        return tuple(own)
    replaced = {breach.objective for breach in driven_fact.breaches}
    return (*(breach for breach in own if breach.objective not in replaced), *driven_fact.breaches)


def amounts_now(
    context: Context,
    objectives: Sequence[Objective],
    frames: Sequence[Frame],
    driven: DrivenMetrics,
    breaches: Sequence[Breach],
    paths: Mapping[str, FloatArray],
) -> AmountsNow:
    """Return what is known of the amounts that can be set; the newest values are read where there is one."""
    setting = {name: each for name, each in context.actions.items() if each.enabled and each.sets and each.amounts}
    rows = context.store.samples.latest(context.tick - _LATEST_WITHIN) if setting else {}
    return AmountsNow(
        objectives=tuple(objectives),
        frames=tuple(frames),
        actions=setting,
        driven=driven,
        latest={series: value for series, (ts, value) in rows.items() if ts <= context.tick},
        turn_s=context.settings.analysis_interval_s,
        breaches=tuple(breaches),
        paths=paths,
    )
