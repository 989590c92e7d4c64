"""The breaches that a cycle went by, as readers of the store find them."""

from __future__ import annotations

from storage import Store
from storage.facts import DRIVEN
from storage.records import Breach


def breaches_in_force(store: Store, cycle_id: str) -> tuple[Breach, ...]:
    """Return the breaches that a cycle went by: of driven objectives those that the driver foretells."""
    own = store.forecasts.breaches.select("WHERE cycle_id = $cycle_id", {"cycle_id": cycle_id})
    driven_fact = store.facts.get(DRIVEN)
    if driven_fact is None or driven_fact.cycle_id != cycle_id:
        return tuple(own)
    replaced = {breach.objective for breach in driven_fact.breaches}
    return (*(breach for breach in own if breach.objective not in replaced), *driven_fact.breaches)
