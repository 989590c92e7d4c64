"""Which acts have to be taken out of the history before it is forecast: what the store knows of them."""

from __future__ import annotations

from datetime import timedelta

from tasks.context import Context
from tasks.interventions.removed_from_history import PassingEffect, passing_effects_of

HISTORY_DAYS = 15


def passing_effects(context: Context) -> tuple[PassingEffect, ...]:
    """Return what acts of the last two weeks changed for a time, undone ones up to their undo."""
    durations_s = {name: handler.duration_s for name, handler in context.actions.items() if handler.duration_s}
    if not durations_s:
        return ()
    since = context.tick - timedelta(days=HISTORY_DAYS)
    return passing_effects_of(context.store.outcomes.targets(since), durations_s, context.store.actions.undone_at())
