"""Which acts can be judged now: asked by the stage that measures them, and by what starts it between cycles."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from storage import Store
from storage.actions import ActionView
from storage.facts import DOUBTS
from storage.records import Action, Estimand, Receipt
from tasks.interventions.act_window import MeasuringWindow, waited_for_until, window_of
from tasks.interventions.overlaps import followed_at

Derive = Callable[[Action, datetime], Estimand | None]


@dataclass(frozen=True)
class MaturedAct:
    """An act, its window, and what it is judged by; `is_fixed` where that was written down before it."""

    action: Action
    receipt: Receipt
    estimand: Estimand | None
    is_fixed: bool
    window: MeasuringWindow


def matured(store: Store, tick: datetime, derive: Derive = lambda action, began_at: None) -> Iterator[MaturedAct]:
    """Yield the acts without an outcome whose window is over, and whose last value came or is waited for no more.

    `derive` gives what an act is to be judged by where that was not written down, from the moment at which it began.
    """
    views = store.actions.unmeasured()
    ended_at = _ended_at(store, views)
    acts = (_matured(store, view, ended_at.get(view.action.action_id), tick, derive) for view in views)
    yield from (act for act in acts if act is not None)


def under_way(store: Store, tick: datetime) -> Iterator[MaturedAct]:
    """Yield the acts on a series whose window is not over yet, and that are judged by what was written down."""
    views = store.actions.unmeasured()
    ended = _ended_at(store, views)
    for view in views:
        action, receipt = view.action, view.receipt
        estimand = store.outcomes.estimand(action.action_id) if action.action_id not in ended else None
        window = window_of(view, estimand, None)
        if receipt and estimand and window and not estimand.held and tick < window.ends_at:
            yield MaturedAct(action, receipt, estimand, True, window)


def doubted_until(store: Store, tick: datetime, passes_after_s: Mapping[str, float]) -> Mapping[str, datetime]:
    """Return by `GOAL_TYPE:action` until when at most a pair that seems to harm awaits that its acts can be judged.

    They are measured first, and those whose effect passes, after so many seconds by action, have to be over for as
    long as they worked: what is taken out of the history for them is what was believed, which is in doubt, and an act
    on top of that would be judged by a past that never was.
    """
    doubted, until = store.facts.get(DOUBTS) or [], dict[str, datetime]()
    if not doubted:
        return until
    awaited = [(view.action.pair, waited_for_until(view)) for view in store.actions.unmeasured()]
    longest = timedelta(seconds=2 * max(passes_after_s.values(), default=0.0))
    for view in store.actions.finished(tick - longest):
        if view.touched and view.action.undo_of is None and view.action.name in passes_after_s:
            works = timedelta(seconds=passes_after_s[view.action.name])
            awaited.append((view.action.pair, view.touched.finished_at + 2 * works))
    for pair, ends_at in awaited:
        if pair in doubted and ends_at and tick < ends_at:
            until[pair] = max(ends_at, until.get(pair, ends_at))
    return until


def _ended_at(store: Store, views: Sequence[ActionView]) -> dict[str, datetime]:
    """Return when acts count no more before their time is over: another followed, or they were undone."""
    begun = [view.receipt.started_at for view in views if view.receipt is not None]
    if not begun:
        return {}
    return followed_at(store.actions.finished(min(begun) - timedelta(seconds=1))) | store.actions.undone_at()


def _matured(
    store: Store, view: ActionView, ended_at: datetime | None, tick: datetime, derive: Derive
) -> MaturedAct | None:
    action = view.action
    earliest = timedelta(seconds=action.least_horizon_s or action.horizon_s)
    if view.receipt is None or (ended_at is None and tick < view.receipt.finished_at + earliest):
        return None
    fixed = store.outcomes.estimand(action.action_id)
    estimand = fixed or derive(action, view.receipt.started_at)
    window = window_of(view, estimand, ended_at)
    if window is None or tick < window.ends_at:
        return None
    act = MaturedAct(action, view.receipt, estimand, fixed is not None, window)
    return act if tick >= window.waits_until or _is_seen(store, act) else None


def _is_seen(store: Store, act: MaturedAct) -> bool:
    """Tell whether the last value of the window came."""
    assert act.estimand is not None
    frame = store.samples.frame([act.estimand.series], act.window.last_step_at, act.window.step_s, 1)
    return bool(np.isfinite(frame.values).all())
