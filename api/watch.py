"""Between cycles: look cheaply whether anything is due, and only then start `tend`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from api import views
from api.deps import Facade
from storage.actions import ActionView
from tasks.context import is_autonomous

logger = logging.getLogger(__name__)


class Watcher:
    """Starts `tend` when an action is due, a measuring window is over, or a guard is to be looked at.

    At most once every `execution_interval_seconds`; a look costs three small reads and nothing due costs no more.
    """

    def __init__(self, facade: Facade) -> None:
        self._facade = facade
        self._last: datetime | None = None

    def step(self) -> None:
        """Look once; raises where the store or Prefect does, and looks again at the next beat."""
        now = self._facade.clock()
        if not self._may_start(now):
            return
        reason = due(self._facade, now)
        if reason is None:
            return
        slot = int(now.timestamp() / self._facade.settings.executor.execution_interval_seconds)
        started = self._facade.trigger.run("tend", key=f"tend-{self._facade.settings.agent.name}-{slot}")
        self._last = now
        self._facade.counters.add("tends")
        logger.info("%s: started tend as %s", reason, started.flow_run_id)

    def _may_start(self, now: datetime) -> bool:
        interval = timedelta(seconds=self._facade.settings.executor.execution_interval_seconds)
        return self._last is None or now - self._last >= interval or now < self._last


def due(facade: Facade, now: datetime) -> str | None:
    """Say what `tend` is needed for, or None."""
    looks: tuple[Callable[[Facade, datetime], str | None], ...] = (_due_action, _matured_window, _guard_window)
    return next((reason for look in looks if (reason := look(facade, now)) is not None), None)


def _due_action(facade: Facade, now: datetime) -> str | None:
    waiting = facade.store.actions.due(now)
    if not waiting or facade.settings.kill_switch_path.exists():
        return None
    autonomous = is_autonomous(facade.settings, facade.store)
    ready = [view for view in waiting if now < view.action.expires_at and views.is_permitted(view, autonomous)]
    return f"{len(ready)} actions are due" if ready else None


def _matured_window(facade: Facade, now: datetime) -> str | None:
    matured = sum(_is_matured(view, now) for view in facade.store.actions.unmeasured())
    return f"{matured} measuring windows are over" if matured else None


def _is_matured(view: ActionView, now: datetime) -> bool:
    if view.receipt is None or view.action.dry_run:
        return False
    return view.receipt.finished_at + timedelta(seconds=view.action.horizon_s) <= now


def _guard_window(facade: Facade, now: datetime) -> str | None:
    since = now - timedelta(seconds=facade.settings.executor.stabilisation_seconds)
    fresh = facade.store.actions.finished(since)
    undone = {view.action.undo_of for view in fresh}
    guarded = [
        view
        for view in fresh
        if view.action.guards and view.receipt and view.receipt.undo and view.action.action_id not in undone
    ]
    return f"guards of {len(guarded)} actions are to be watched" if guarded else None
