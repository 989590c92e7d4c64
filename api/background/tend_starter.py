"""Between cycles: look cheaply whether anything is due, and only then start `tend`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from api.facade import Facade
from storage.actions import ActionView
from storage.records import Action, Autonomy, Estimand
from tasks.authority import as_allowed_now, is_autonomous
from tasks.configured_actions import configured_actions
from tasks.execute import effective_level
from tasks.interventions.act_window import WATCHED_STEPS, watched_between
from tasks.interventions.matured import matured
from tasks.interventions.undo import keeps_state, may_undo_unasked
from tasks.monitor import LONGEST_STEP_S

logger = logging.getLogger(__name__)


LONGEST_TURN = timedelta(hours=1)


@dataclass(frozen=True)
class Need:
    """What `tend` is needed for; `subjects` are the actions concerned."""

    reason: str
    subjects: frozenset[str]


class TendStarter:
    """Starts `tend` when an action is due, a measuring window is over, or a guard is to be looked at.

    At most once every `execution_interval_seconds`, and never into a turn that is under way. What is still due after
    `tend` looked at it waits for something else (a cooldown, a maintenance window): for that the pause doubles each
    time, up to the next whole cycle.
    """

    def __init__(self, facade: Facade) -> None:
        self._facade = facade
        self._last: tuple[datetime, Need] | None = None
        self._repeats = self._setbacks = 0

    def step(self) -> None:
        """Look once; raises where the store or Prefect does, and looks again at the next beat."""
        now = self._facade.clock()
        if self._last is not None and now < self._last[0]:
            # The clock was set back: waiting until it has caught up might take for ever.
            self._last, self._setbacks = None, self._setbacks + 1
        need = due(self._facade, now)
        if need is None or now < self._may_start_at(need) or self._is_under_way():
            return
        slot = int(now.timestamp() / self._facade.in_force.executor.execution_interval_seconds)
        key = f"tend-{self._facade.settings.agent.name}-{slot}" + (f"-{self._setbacks}" if self._setbacks else "")
        started = self._facade.trigger.run("tend", {"reason": need.reason}, key)
        self._repeats = self._repeats + 1 if self._last and self._last[1] == need else 0
        self._last = now, need
        self._facade.counters.add("tends")
        logger.info("%s of %s: started tend as %s", need.reason, ", ".join(sorted(need.subjects)), started.flow_run_id)

    def _is_under_way(self) -> bool:
        """Tell whether a turn runs, or waits for the worker: it looks at what is due itself, however long it takes."""
        return any(self._facade.trigger.running(deployment) is not None for deployment in ("cycle", "tend"))

    def _may_start_at(self, need: Need) -> datetime:
        if self._last is None:
            return min(self._facade.started_at, self._facade.clock())
        started_at, before = self._last
        interval_s = self._facade.in_force.executor.execution_interval_seconds
        if need == before:
            longest_s = max(interval_s, self._facade.in_force.analysis_interval_s)
            interval_s = min(interval_s * 2.0**self._repeats, longest_s)
        return started_at + timedelta(seconds=interval_s)


def due(facade: Facade, now: datetime) -> Need | None:
    """Say what `tend` is needed for, or None."""
    looks: tuple[Callable[[Facade, datetime], Need | None], ...] = (_due_action, _matured_window, _guard_window)
    return next((need for look in looks if (need := look(facade, now)) is not None), None)


def _need(reason: str, actions: list[Action], stamp: str = "") -> Need | None:
    return Need(reason, frozenset(action.action_id + stamp for action in actions)) if actions else None


def _due_action(facade: Facade, now: datetime) -> Need | None:
    waiting = facade.store.actions.due(now)
    if not waiting or facade.settings.kill_switch_path.exists():
        return None
    settings = facade.in_force
    autonomous = is_autonomous(settings, facade.store)
    actions = configured_actions(settings)
    allowed = [as_allowed_now(actions, facade.store, view) for view in waiting]
    return _need("due action", [view.action for view in allowed if is_permitted(view, autonomous, now)])


def is_permitted(view: ActionView, autonomous: bool, now: datetime) -> bool:
    """Tell whether an action may be done: it has not expired, and a person or its level allows it."""
    if now >= view.action.expires_at:
        return False
    if view.approval is not None:
        return view.approval.approved
    return effective_level(view.action, autonomous) is Autonomy.AUTO


def _matured_window(facade: Facade, now: datetime) -> Need | None:
    return _need("matured window", [act.action for act in matured(facade.store, now)])


def _guard_window(facade: Facade, now: datetime) -> Need | None:
    """Find acts that are watched and may be undone should a metric get worse.

    A stabilisation time of 0 leaves that to whole cycles. Each look is a new one, so it never backs off.
    """
    stabilisation_s = facade.in_force.executor.stabilisation_seconds
    if not stabilisation_s:
        return None
    since = now - timedelta(seconds=max(stabilisation_s, WATCHED_STEPS * LONGEST_STEP_S))
    watched = [view for view in facade.store.actions.finished(since) if _is_watched(facade, view, now)]
    return _need("guard window", [view.action for view in watched], f"@{now.isoformat(timespec='seconds')}")


def _is_watched(facade: Facade, view: ActionView, now: datetime) -> bool:
    """Tell whether a change for the worse could be seen and undone; not of what a wrong clock dated far ahead."""
    action, receipt = view.action, view.receipt
    if receipt is None or receipt.finished_at > now + LONGEST_TURN or not (action.guards or action.series):
        return False
    if not may_undo_unasked(view, is_reversible=keeps_state(view)):
        return False
    estimand = facade.store.outcomes.estimand(action.action_id)
    stabilisation_s = facade.in_force.executor.stabilisation_seconds
    begins_at, over_at = watched_between(receipt, stabilisation_s, _steps_s(facade, estimand) if estimand else ())
    return begins_at <= now <= over_at and facade.store.actions.undo_for(action.action_id) is None


def _steps_s(facade: Facade, estimand: Estimand) -> list[float]:
    """Return the steps in which the metrics are seen that an act is watched in."""
    names = [estimand.series, *estimand.guards]
    return facade.store.outcomes.issued.steps_s(estimand.forecast_cycle_id, names) or [estimand.step_s]
