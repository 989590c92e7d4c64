"""An event that is predicted to come again, or a metric that has moved to a new level."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np

from storage.records import Goal, GoalType, Objective, Pattern, metric_of
from tasks.goals.evidence import Evidence, Proposal, Standing
from tasks.goals.measures import closed_ratio, toward
from tasks.goals.standing import silence_of
from tasks.goals.text import moment, number, percent, span

GOAL_TYPE = GoalType.PATTERN_ADAPTATION
_LEAST_LEAD_S = 600.0
_MOST_LEAD_S = 6 * 3_600.0
_SHIFT_IS_NEWS_S = 86_400.0
_SETTLE_S = 1_800.0
_DEFAULT_SEVERITY = 0.2
_EFFECT_SEVERITY = 0.3


def propose(evidence: Evidence) -> Iterator[Proposal]:
    """Propose a goal for each recurrence that is near and each shift that is new."""
    for pattern in evidence.patterns:
        if is_recurrence(pattern):
            proposal = _recurrence(evidence, pattern)
        elif is_shift(pattern):
            proposal = _shift(evidence, pattern)
        else:
            proposal = None
        if proposal is not None:
            yield proposal


def standing(goal: Goal, evidence: Evidence) -> Standing:
    """Return how the goal stands: whether the metric bore the event, or came back from its new level."""
    if goal.series is None:
        return _unmeasured(goal, evidence)
    silence = silence_of(goal, evidence)
    if silence is not None:
        return silence
    return _came_back(goal, evidence) if "level_after" in goal.because["inputs"] else _bore_it(goal, evidence)


def is_recurrence(pattern: Pattern) -> bool:
    """Tell whether a pattern says when something happens again."""
    return pattern.next_at is not None and pattern.kind.startswith("recurr")


def is_shift(pattern: Pattern) -> bool:
    """Tell whether a pattern says that a metric has moved to a new level."""
    return "change" in pattern.kind or "shift" in pattern.kind


def lead_s(pattern: Pattern) -> float:
    """Return how long before a recurrence its goal is raised: a tenth of its period, ten minutes to six hours."""
    return float(np.clip((pattern.period_s or 0.0) / 10, _LEAST_LEAD_S, _MOST_LEAD_S))


def _recurrence(evidence: Evidence, pattern: Pattern) -> Proposal | None:
    assert pattern.next_at is not None
    effect, objective = _effect_of(evidence, pattern.subject)
    ahead_s = (pattern.next_at - evidence.tick).total_seconds()
    horizon_s = (
        max(lead_s(pattern), min(objective.horizon_s, (pattern.period_s or np.inf) / 2))
        if objective
        else lead_s(pattern)
    )
    if not 0 < ahead_s <= horizon_s:
        return None
    series = _audible(evidence, _metric_of_effect(effect)) if effect else None
    severity = objective.severity if objective else _EFFECT_SEVERITY if effect else _DEFAULT_SEVERITY
    moves = f" It moves a metric: {effect.statement}" if effect else ""
    return Proposal(
        goal_type=GOAL_TYPE,
        cause=f"{GOAL_TYPE.value}:recurrence:{pattern.subject}",
        description=f"Be ready for {pattern.subject} at {moment(pattern.next_at)}",
        severity=severity,
        probability=pattern.strength,
        deadline=pattern.next_at,
        objective=objective.name if objective else None,
        series=series,
        bound=objective.bound if objective and series else None,
        side=objective.side if objective else "below",
        baseline=reading.value if series and (reading := evidence.latest(series)) else None,
        period_s=pattern.period_s,
        because={
            "rule": "predicted recurrence",
            "sentence": f"{pattern.statement} The next one is expected in {span(ahead_s)} "
            f"({percent(pattern.strength)} sure).{moves}",
            "inputs": {
                "pattern": pattern.pattern_id,
                "event_type": pattern.subject,
                "period_s": pattern.period_s,
                "effect": effect.pattern_id if effect else None,
            },
            "forecast": {"next_at": pattern.next_at.isoformat(), "probability": pattern.strength},
            "is_broken_now": False,
        },
    )


def _effect_of(evidence: Evidence, event_type: str) -> tuple[Pattern | None, Objective | None]:
    """Return the strongest effect of an event type on a metric, and an objective on that metric, if there are any."""
    effects = [
        pattern
        for pattern in evidence.patterns
        if "effect" in pattern.kind and event_type in (pattern.evidence.get("event_type"), *_parts(pattern.subject))
    ]
    watched = [
        (pattern, objective)
        for pattern in sorted(effects, key=lambda each: -each.strength)
        for objective in evidence.objectives
        if (metric := _metric_of_effect(pattern)) and objective.matches(metric)
    ]
    if watched:
        return max(watched, key=lambda pair: pair[1].severity)
    return (max(effects, key=lambda each: each.strength) if effects else None), None


def _parts(subject: str) -> tuple[str, ...]:
    return tuple(part.strip(" '") for part in subject.replace("→", "->").split("->"))


def _metric_of_effect(pattern: Pattern) -> str | None:
    named = pattern.evidence.get("series") or pattern.evidence.get("metric")
    return str(named) if named else (_parts(pattern.subject)[-1] if len(_parts(pattern.subject)) > 1 else None)


def _audible(evidence: Evidence, series: str | None) -> str | None:
    """Return the series if it is being recorded, or the first recorded one of that metric."""
    if series is None:
        return None
    known = {each for frame in evidence.frames for each in frame.series}
    if series in known:
        return series
    return next((each for each in sorted(known) if metric_of(each) == series), None)


def _shift(evidence: Evidence, pattern: Pattern) -> Proposal | None:
    at = _changed_at(pattern)
    series = _audible(evidence, pattern.subject)
    before, after = (_level(pattern, name) for name in ("before", "after"))
    if at is None or series is None or before is None or after is None or before == after:
        return None
    if not 0 <= (evidence.tick - at).total_seconds() <= _SHIFT_IS_NEWS_S:
        return None
    watching = [each for each in evidence.objectives if each.matches(series)]
    objective = max(watching, key=lambda each: each.severity, default=None)
    toward_trouble = objective is None or toward(after, before, objective.side) > 0
    severity = objective.severity if objective and toward_trouble else _DEFAULT_SEVERITY
    return Proposal(
        goal_type=GOAL_TYPE,
        cause=f"{GOAL_TYPE.value}:shift:{series}",
        description=f"Adapt to the new level of {series}: {number(after)} instead of {number(before)}",
        severity=severity,
        probability=pattern.strength,
        deadline=max(evidence.tick, at + timedelta(seconds=_SHIFT_IS_NEWS_S)),
        objective=objective.name if objective else None,
        series=series,
        bound=before,
        side="below" if after > before else "above",
        baseline=after,
        period_s=2 * _SHIFT_IS_NEWS_S,
        because={
            "rule": "shift of level",
            "sentence": f"{pattern.statement} It was {number(before)} and is {number(after)} since {moment(at)}.",
            "inputs": {"pattern": pattern.pattern_id, "level_before": before, "level_after": after},
            "forecast": {"changed_at": at.isoformat(), "probability": pattern.strength},
            "is_broken_now": False,
        },
    )


def _changed_at(pattern: Pattern) -> datetime | None:
    for name in ("changed_at_s", "at_s", "changed_at", "at", "ts"):
        raw = pattern.evidence.get(name)
        if isinstance(raw, int | float):
            return datetime.fromtimestamp(raw, UTC)
        if isinstance(raw, str):
            return datetime.fromisoformat(raw)
    return None


def _level(pattern: Pattern, which: str) -> float | None:
    for name in (f"level_{which}", f"{which}_level", f"mean_{which}", f"{which}_mean", which):
        raw = pattern.evidence.get(name)
        if isinstance(raw, int | float):
            return float(raw)
    return None


def _unmeasured(goal: Goal, evidence: Evidence) -> Standing:
    is_over = (evidence.tick - goal.deadline).total_seconds() > _SETTLE_S
    state = "has passed" if is_over else "is still to come"
    statement = f"the event {state}; no metric is known to feel it, so there is nothing to measure"
    return Standing(False, goal.probability, 0.0, 0.0, statement, is_over=is_over)


def _bore_it(goal: Goal, evidence: Evidence) -> Standing:
    """Judge by the metric after the event: did it keep its bound while the event's effect could show?"""
    assert goal.series is not None
    since_s = (evidence.tick - goal.deadline).total_seconds()
    window = evidence.window(goal.series, max(since_s, _SETTLE_S))
    if since_s <= 0 or window is None or goal.bound is None:
        return _unmeasured(goal, evidence)
    seen = window.tail(since_s).finite
    kept = float((toward(seen, goal.bound, goal.side) <= 0).mean()) if len(seen) else 0.0
    done_ratio = min(1.0, since_s / _SETTLE_S)
    return Standing(
        is_met=kept == 1.0,
        probability=1.0 - kept,
        approach=kept * done_ratio,
        held_s=since_s if kept == 1.0 and done_ratio >= 1.0 else 0.0,
        statement=f"since the event {goal.series} kept its bound {percent(kept)} of the time",
        is_over=done_ratio >= 1.0,
    )


def _came_back(goal: Goal, evidence: Evidence) -> Standing:
    assert goal.series is not None
    assert goal.bound is not None
    assert goal.baseline is not None
    window = evidence.window(goal.series, 3_600.0)
    level = float(np.median(window.finite)) if window is not None and len(window.finite) else goal.baseline
    way_back = closed_ratio(goal.baseline, level, goal.bound, goal.side)
    is_over = evidence.tick > goal.deadline
    statement = f"{goal.series} is at {number(level)}; before the shift it was {number(goal.bound)}"
    return Standing(
        way_back >= 0.9, 1.0 - way_back, way_back, np.inf if way_back >= 0.9 else 0.0, statement, is_over=is_over
    )
