"""The watch over whether the loop still knows its world: its acts, its forecasts, and what there is to forecast."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby

from storage.facts import DOUBTS, EARLY_VERDICTS, FORECAST_LOOKS, ForecastLooks
from storage.records import Action, Forecast, Verdict, metric_of
from tasks.authority import WORLD, last_out_of_depth, lose_depth, out_of_depth, regain_depth, trust_again
from tasks.context import Context
from tasks.interventions.act_window import works_until
from tasks.learn.drift import (
    DOUBT_LIMIT,
    HARM_LIMIT,
    MADE_ANEW_SHARE,
    MISS_LIMIT,
    MOST_LOOKS,
    ActSeen,
    after_look,
    harm_evidence,
    made_anew,
    miss,
)
from tasks.learn.outcome_rows import OutcomeRow
from tasks.objectives.in_force import objectives_in_force
from tasks.text import percent

CALM = timedelta(days=3)
"""How long nothing must be found for what is out of its depth to be trusted again."""
LOOK = timedelta(hours=1)
ACTS_OF = timedelta(days=8)
DAY = timedelta(days=1)
USUAL_AGAIN_AFTER = timedelta(days=7)
"""Series that are replaced at least as often as this, as pods are, are no news."""
MOST_SERIES = 300


def watch_depth(context: Context, *, is_news: bool) -> None:
    """Have actions ask first where the loop is out of its depth, and let go what had calm; `is_news` of acts.

    Where learning is off, levels stay.
    """
    if not context.settings.executor.enable_learning:
        _doubt(context, [])
        return
    regain_depth(context.store)
    if is_news:
        _watch_acts(context)
    _watch_forecasts(context)


def _lose(context: Context, key: str, reason: str, calm: timedelta = CALM) -> None:
    until = context.tick + calm
    ends = f"A person's word or calm until {until:%Y-%m-%d %H:%M} UTC ends that."
    lose_depth(context.store, key, until, f"{reason} {ends}")


@dataclass(frozen=True)
class _PairSeen:
    """What was seen of a pair: the metric of its newest act, and its acts with when they were done, oldest first."""

    metric: str
    sets_amount: bool
    acts: tuple[tuple[datetime, ActSeen], ...]


def _watch_acts(context: Context) -> None:
    """Look at the acts of each pair since it was last out of its depth: do they harm that were believed to help?

    One that seems to has its last acts measured before the next, and one that does asks first. Amounts are never
    doubted: the next step may be the one back.
    """
    looks, doubted = context.store.facts.get(FORECAST_LOOKS), list[str]()
    of_limit = {name: each / _limit(looks.evidence) for name, each in looks.evidence.items()} if looks else {}
    for pair, seen in sorted(_acts_seen(context).items()):
        key = f"action:{pair}"
        last = last_out_of_depth(context.store, key)
        found = [act for at, act in seen.acts if last is None or at > (last.until if last.is_over else last.since)]
        evidence = harm_evidence(found)
        # Of two tests that each reach their limit seldom, so does the sum of what each has reached of it.
        is_enough = evidence / HARM_LIMIT + of_limit.get(seen.metric, 0.0) >= 1
        if is_enough and found and found[-1].is_for_worse:
            _lose(context, key, _said_of_acts(key, found))
        elif evidence >= DOUBT_LIMIT and not seen.sets_amount:
            doubted.append(pair)
    _doubt(context, doubted)


def _doubt(context: Context, pairs: list[str]) -> None:
    if pairs != (context.store.facts.get(DOUBTS) or []):
        context.store.facts.set(DOUBTS, pairs)


def _acts_seen(context: Context) -> dict[str, _PairSeen]:
    """Return what was seen of the acts of the last days: measured, clear before that, or taken back."""
    since, facts = context.tick - ACTS_OF, context.store.facts
    outcomes, taken_back = context.store.outcomes.targets(since=since), context.store.outcomes.harmful()
    rows = {each.action_id: OutcomeRow.of(each, taken_back) for each in outcomes}
    early = facts.get(EARLY_VERDICTS) or {}
    known_harm = taken_back | {action_id for action_id, each in early.items() if each.verdict is Verdict.WORSE}
    acts, newest = defaultdict[str, list[tuple[datetime, ActSeen]]](list), dict[str, Action]()
    for view in context.store.actions.finished(since):
        action, row = view.action, rows.get(view.action.action_id)
        if view.touched and action.undo_of is None and (row is not None or action.action_id in known_harm):
            acts[action.pair].append((view.touched.finished_at, _seen(row)))
            newest[action.pair] = action
    return {
        pair: _PairSeen(metric_of(last.series or ""), context.actions[last.name].sets is not None, tuple(acts[pair]))
        for pair, last in newest.items()
    }


def _seen(row: OutcomeRow | None) -> ActSeen:
    """Return what an act was found to do; one without an outcome did harm that was clear before it had any."""
    if row is None:
        return ActSeen(is_harm=True)
    if not row.is_measured:
        return ActSeen(row.did_harm)
    return ActSeen(row.did_harm, row.effect_sd_units, row.se_sd_units, row.predicted_sd_units)


def _said_of_acts(key: str, acts: Sequence[ActSeen]) -> str:
    _, goal_type, name = key.split(":", 2)
    last = acts[-5:]
    harmed, told = sum(act.is_for_worse for act in last), acts[-1]
    many = f"{harmed} of its last {len(last)} acts" if len(last) > 1 else "its last act"
    measured = (
        f" (the last one {told.effect:+.1f} sd, {told.believed:+.1f} expected)" if told.effect == told.effect else ""
    )
    return f"{name} asks first for {goal_type}: {many} made things worse{measured}, which is no chance."


def _watch_forecasts(context: Context) -> None:
    """Look, once an hour, at how forecasts of the objectives' metrics held in the hour after they were issued."""
    looks = context.store.facts.get(FORECAST_LOOKS)
    if looks is not None and context.tick < looks.issued_at + 2 * LOOK:
        return
    issued = context.store.forecasts.cycle_before(context.tick - LOOK)
    if issued is None or (looks is not None and issued[1] < looks.issued_at + 0.9 * LOOK):
        return
    names = _watched(context, context.store.outcomes.issued.series_of(issued[0]))
    misses = _misses(context, context.store.outcomes.issued.of(issued[0], names), issued[1])
    looks = replace(_looked(context, looks, misses), issued_at=issued[1])
    context.store.facts.set(FORECAST_LOOKS, _looked_at_make_up(context, looks))


def _watched(context: Context, series: Sequence[str]) -> list[str]:
    """Return the series of the objectives' metrics; those of metrics that an amount steers are left out.

    What is set moves them all the time, and to stop setting it would be the greater harm.
    """
    objectives = objectives_in_force(context.settings, context.store)
    metrics = {metric_of(each.measured) for each in objectives if each.driver is None}
    return [name for name in series if metric_of(name) in metrics][:MOST_SERIES]


def _misses(context: Context, forecasts: Mapping[str, Forecast], since: datetime) -> dict[str, float]:
    """Return by metric how far its series lay from what was foretold, on average; those acted on are left out.

    Short steps may reach less far than an hour: then it is as far as they reach.
    """
    touched = _touched(context, since)
    left = sorted((each for name, each in forecasts.items() if name not in touched), key=_issued)
    misses: dict[str, list[float]] = defaultdict(list)
    for (issued_at, step_s), group in groupby(left, key=_issued):
        members = list(group)
        steps = min(int(LOOK.total_seconds() // step_s), *(len(each.point) for each in members))
        end = issued_at + timedelta(seconds=steps * step_s)
        if not steps or end > context.tick:
            continue
        frame = context.store.samples.frame([each.series for each in members], end, step_s, steps)
        for each in members:
            half = (each.quantiles[:steps, -1] - each.quantiles[:steps, 0]) / 2
            misses[metric_of(each.series)].append(miss(frame.row(each.series), each.point[:steps], half))
    means = {metric: sum(seen) / len(seen) for metric, all_of in misses.items() if (seen := _finite(all_of))}
    return {metric: round(mean, 3) for metric, mean in means.items()}


def _issued(forecast: Forecast) -> tuple[datetime, float]:
    return forecast.issued_at, forecast.step_s


def _finite(values: Sequence[float]) -> list[float]:
    return [value for value in values if value == value]


def _touched(context: Context, since: datetime) -> set[str | None]:
    """Return the series that acts moved within a look; an act that aims at none moves that of its goal."""
    durations_s = {name: handler.duration_s for name, handler in context.actions.items()}
    actions = [
        view.action
        for view in context.store.actions.finished(since - DAY)
        if (receipt := view.touched) and works_until(view.action, receipt, durations_s.get(view.action.name)) > since
    ]
    goals = (context.store.goals.get(action.goal_id) for action in actions if action.series is None)
    return {action.series for action in actions} | {view.goal.series for view in goals if view}


def _looked(context: Context, looks: ForecastLooks | None, misses: Mapping[str, float]) -> ForecastLooks:
    """Return the looks with one more; a metric that is out of its depth learns anew what is usual."""
    before = looks or ForecastLooks(context.tick, {}, {})
    kept, evidence = dict(before.misses), dict(before.evidence)
    for metric, found in sorted(misses.items()):
        past = kept.get(metric, [])
        now = after_look(evidence.get(metric, 0.0), found, past)
        kept[metric], evidence[metric] = [*past, found][-MOST_LOOKS:], round(now, 3)
        if now >= _limit(evidence):
            usual = sorted(past)[len(past) // 2]
            _lose(context, f"metric:{metric}", _said_of_misses(metric, found, usual))
            kept[metric], evidence[metric] = [], 0.0
    return replace(before, misses=kept, evidence=evidence)


def _limit(evidence: Mapping[str, float]) -> float:
    """Return the evidence at which a metric is out of its depth: the more are watched, the more it takes."""
    return MISS_LIMIT * len(evidence)


def _said_of_misses(metric: str, found: float, usual: float) -> str:
    return (
        f"What acts on {metric} and was given no level asks first: values lay {found:.1f} half-widths of the "
        f"90 % interval from what was foretold, where {usual:.1f} was usual."
    )


def _looked_at_make_up(context: Context, looks: ForecastLooks) -> ForecastLooks:
    """Have everything ask first while most series of the objectives' metrics are new or gone within a day."""
    samples, tick = context.store.samples, context.tick
    before = _watched(context, [info.series for info in samples.spans(tick - 2 * DAY, tick - DAY)])
    metrics = set(map(metric_of, before))
    there = _watched(context, [info.series for info in samples.spans(tick - LOOK, tick)])
    share = made_anew(before, [name for name in there if metric_of(name) in metrics])
    if share < MADE_ANEW_SHARE:
        if WORLD in out_of_depth(context.store):
            trust_again(context.store, WORLD, "loop", "most series are known again")
        return looks
    if looks.made_anew_at is None or looks.made_anew_at < tick - USUAL_AGAIN_AFTER:
        reason = f"What nobody gave a level asks first: {percent(share)} of the series are new or gone within a day."
        _lose(context, WORLD, reason, DAY + LOOK)
    return replace(looks, made_anew_at=tick)
