"""The breaches that a cycle went by, as readers of the store find them."""

from __future__ import annotations

from storage import Store
from storage.records import Breach
from tasks.context import DRIVEN_FACT


def breaches_in_force(store: Store, cycle_id: str) -> tuple[Breach, ...]:
    """Return the breaches that a cycle went by: of driven objectives those that the driver foretells."""
    own = store.forecasts.breaches.select("WHERE cycle_id = $cycle_id", {"cycle_id": cycle_id})
    known = store.facts.get(DRIVEN_FACT)
    if known is None or known["cycle_id"] != cycle_id:
        return tuple(own)
    driven = [Breach.model_validate(each) for each in known["breaches"]]
    replaced = {breach.objective for breach in driven}
    return (*(breach for breach in own if breach.objective not in replaced), *driven)
