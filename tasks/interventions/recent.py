"""Which acts may still be seen in the history, and what each series' history says of them: read from the store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, tzinfo

from handlers import ActionsByName
from storage.actions import ActionView
from storage.records import Frame
from tasks.context import Context
from tasks.interventions.effect_over_time import ActEffects, PassingAct, fit_effects
from tasks.interventions.overlaps import Act, acts_of, whole_sequences

HISTORY_DAYS = 15


def passing_acts(context: Context) -> tuple[PassingAct, ...]:
    """Return the acts of the last two weeks whose effect passes, on what they aimed at and what else was seen to move.

    Of acts whose effect is declared to stay for good there is none: the level they left behind is the level.
    """
    durations_s = passes_after_s(context.actions)
    if not durations_s:
        return ()
    views = context.store.actions.finished(context.tick - timedelta(days=HISTORY_DAYS))
    views = whole_sequences(view for view in views if view.action.name in durations_s and is_act(view))
    if not views:
        return ()
    latencies_s = {name: context.actions[name].latency_s for name in durations_s}
    undone_at, moved = context.store.actions.undone_at(), context.store.outcomes.moved_beside()
    return tuple(_each(views, durations_s, latencies_s, undone_at, moved, context.zone))


def passes_after_s(actions: ActionsByName) -> dict[str, float]:
    """Return how many seconds the effect of each action lasts that passes."""
    return {name: handler.duration_s for name, handler in actions.items() if handler.duration_s}


def lasting_acts(context: Context) -> tuple[Act, ...]:
    """Return the acts of the last two weeks whose effect is not said to pass, each within the time it is measured."""
    lasting = {name for name, each in context.actions.items() if not each.duration_s and each.sets is None}
    if not lasting:
        return ()
    views = context.store.actions.finished(context.tick - timedelta(days=HISTORY_DAYS))
    return acts_of([view for view in views if view.action.name in lasting and is_act(view)], {}, {})


def is_act(view: ActionView) -> bool:
    """Tell whether something was really done to a series, and is no undo."""
    is_real = view.action.undo_of is None and not view.action.dry_run
    return is_real and view.action.series is not None and view.touched is not None


def _each(
    views: Iterable[ActionView],
    durations_s: Mapping[str, float],
    latencies_s: Mapping[str, float],
    undone_at: Mapping[str, datetime],
    moved: Mapping[str, Sequence[str]],
    zone: tzinfo,
) -> Iterator[PassingAct]:
    for view in views:
        action, receipt = view.action, view.receipt
        assert receipt is not None
        for series in dict.fromkeys([str(action.series), *moved.get(action.measured_as, ())]):
            yield PassingAct(
                series,
                action.action_id,
                action.measured_as,
                receipt.started_at,
                durations_s[action.name],
                undone_at.get(action.action_id),
                latencies_s[action.name],
                zone,
            )


def effects_in(frame: Frame, acts: Sequence[PassingAct]) -> dict[str, ActEffects]:
    """Return what is believed of acts, by series of a frame that has any."""
    by_series: dict[str, list[PassingAct]] = {}
    for act in acts:
        by_series.setdefault(act.series, []).append(act)
    fitted = {
        name: fit_effects(frame.row(name), frame.end, frame.step_s, by_series[name])
        for name in frame.series
        if name in by_series
    }
    return {name: effects for name, effects in fitted.items() if effects is not None}
