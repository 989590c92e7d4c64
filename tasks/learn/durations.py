"""How long actions work of which nobody says: asked of the history whenever there are a few more acts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import timedelta

import numpy as np

from storage.actions import ActionView
from storage.facts import DURATIONS, DurationLook
from storage.records import NOTHING, FloatArray
from tasks.context import Context
from tasks.interventions.effect_over_time import MOST_STEPS
from tasks.interventions.learned_durations import LONGEST_S, MOST_ACTS, ActedHistory, ActSpan
from tasks.interventions.recent import HISTORY_DAYS, is_act

LOOK_AFTER_RATIO = 1.25


def learn_durations(context: Context) -> None:
    """Learn for how long the effect of each action lasts that does not say so; it counts from the next turn on."""
    before = context.store.facts.get(DURATIONS) or {}
    asked = [name for name, each in context.actions.items() if each.may_be_cut or _is_learned(context, before, name)]
    looks = {name: before[name] for name in asked if name in before}
    by_action = _acts(context) if asked else {}
    for name in asked:
        count = len(by_action.get(name, ()))
        if count and (name not in looks or not looks[name].acts <= count <= LOOK_AFTER_RATIO * looks[name].acts):
            looks[name] = _look(context, name, by_action, count)
    if looks != before:
        _tell(context, before, looks)
        context.store.facts.set(DURATIONS, looks)


def _is_learned(context: Context, looks: Mapping[str, DurationLook], name: str) -> bool:
    return name in looks and looks[name].duration_s == context.actions[name].duration_s


def _tell(context: Context, before: Mapping[str, DurationLook], looks: Mapping[str, DurationLook]) -> None:
    for name, look in looks.items():
        earlier_s = before[name].duration_s if name in before else None
        if look.duration_s != earlier_s:
            detail = {"duration_seconds": look.duration_s, "before": earlier_s, "acts": look.acts}
            context.store.audit.append("loop", "duration learned", name, detail)


def _acts(context: Context) -> dict[str, list[ActionView]]:
    """Return what was really done to a series, by action, oldest first."""
    found: dict[str, list[ActionView]] = defaultdict(list)
    for view in context.store.actions.finished(context.tick - timedelta(days=HISTORY_DAYS)):
        if is_act(view) and not view.action.sequence_id and view.action.name != NOTHING:
            found[view.action.name].append(view)
    return found


def _look(context: Context, name: str, by_action: Mapping[str, Sequence[ActionView]], count: int) -> DurationLook:
    """Look at the series that the action was done to most often."""
    counts = Counter(view.action.series for view in by_action[name])
    series = str(max(counts, key=lambda each: (counts[each], each)))
    starts_s, others = _spans(context, name, series, by_action)
    step_s = _step_s(context, by_action[name])
    if step_s is None or not len(starts_s):
        return DurationLook(count, context.tick)
    frame = context.store.samples.frame([series], context.tick, step_s, MOST_STEPS)
    history = ActedHistory(frame.row(series), frame.end.timestamp(), step_s, starts_s, others)
    return DurationLook(count, context.tick, history.learned_duration_s(), history.stays())


def _spans(
    context: Context, name: str, series: str, by_action: Mapping[str, Sequence[ActionView]]
) -> tuple[FloatArray, tuple[ActSpan, ...]]:
    """Return when the newest acts of an action on a series began, and what else was done to it meanwhile.

    An act that was undone tells nothing of how long others work.
    """
    undone_at = context.store.actions.undone_at()
    starts_s, others = list[float](), list[ActSpan]()
    for other, views in by_action.items():
        works_s = context.actions[other].duration_s or np.inf
        for view in views:
            if view.action.series != series or view.receipt is None:
                continue
            start_s, ended_at = view.receipt.finished_at.timestamp(), undone_at.get(view.action.action_id)
            if other == name and ended_at is None:
                starts_s.append(start_s)
            else:
                others.append(ActSpan(start_s, ended_at.timestamp() if ended_at else start_s + works_s))
    newest_s = np.sort(starts_s)[-MOST_ACTS:]
    since_s = newest_s.min(initial=np.inf) - LONGEST_S
    meanwhile = sorted((each for each in others if each.start_s > since_s), key=lambda each: each.start_s)
    return newest_s, tuple(meanwhile[-2 * MOST_ACTS :])


def _step_s(context: Context, views: Sequence[ActionView]) -> float | None:
    """Return the length of the steps in which the newest of some acts was judged, in seconds."""
    known = (context.store.outcomes.estimand(view.action.action_id) for view in reversed(views))
    return next((each.step_s for each in known if each is not None), None)
