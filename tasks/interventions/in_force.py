"""Which facts hold now: by the acts in force, and by what the world reports."""

from __future__ import annotations

from datetime import datetime

from handlers.worlds import facts_in
from tasks.context import Context
from tasks.interventions.declared_facts import declared_facts, facts_held


def facts_in_force(context: Context, at: datetime | None = None) -> frozenset[str]:
    """Return the facts that hold at a moment, else at this tick; nothing is read where no action declares any."""
    declared = declared_facts(context.actions)
    if not declared:
        return frozenset()
    providing = [name for name, each in declared.items() if each.provides]
    acts = context.store.actions.of_names(providing)
    undone = context.store.actions.undone_at() if acts else {}
    reported = facts_in(context.world, context.tick)
    return facts_held(acts, context.actions, undone, reported, at or context.tick)
