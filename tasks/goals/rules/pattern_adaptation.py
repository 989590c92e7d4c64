"""An event that is predicted to come again, or a metric that has moved to a new level: told, so that people know.

What is to be done about a breach that comes of it, the goal of the objective says; so these goals inform.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np

from storage.records import FloatArray, Goal, GoalType, Objective, Pattern, metric_of
from tasks.goals.evidence import Evidence, Proposal, Standing
from tasks.goals.standing import silence_of
from tasks.goals.statistics.measures import closed_ratio, toward
from tasks.objectives.run_history import PLANNED
from tasks.text import moment, percent, span, value

GOAL_TYPE = GoalType.PATTERN_ADAPTATION
INFORMS = True
_LEAST_LEAD_S = 600.0
_MOST_LEAD_S = 6 * 3_600.0
_LEAST_ROOM_RATIO = 0.1
_SHIFT_IS_NEWS_S = 86_400.0
_SETTLE_S = 1_800.0
_DAY_S = 86_400.0
_COMPARED_DAYS = 4
_DEFAULT_SEVERITY = 0.2
_EFFECT_SEVERITY = 0.3


def propose(evidence: Evidence) -> Iterator[Proposal]:
    """Propose a goal for each recurrence that is near and each lasting shift to a level that is new."""
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
    """Tell whether a pattern says when something happens again: by the clock, or since it follows another event."""
    return pattern.next_at is not None and pattern.kind in {"recurrence", "sequence"}


def is_shift(pattern: Pattern) -> bool:
    """Tell whether a pattern says that a metric has moved to a new level."""
    return pattern.kind == "change_point"


def lead_s(pattern: Pattern) -> float:
    """Return how long before a recurrence its goal is raised: a tenth of its period, ten minutes to six hours."""
    return float(np.clip((pattern.period_s or 0.0) / 10, _LEAST_LEAD_S, _MOST_LEAD_S))


def _recurrence(evidence: Evidence, pattern: Pattern) -> Proposal | None:
    assert pattern.next_at is not None
    event_type = str(pattern.evidence.get("then", pattern.subject))
    effect, objective = _effect_of(evidence, event_type)
    ahead_s = (pattern.next_at - evidence.tick).total_seconds()
    if objective is None and event_type in PLANNED:
        return None
    if not 0 < ahead_s <= _horizon_s(pattern, objective):
        return None
    series = _audible(evidence, str(effect.evidence["metric"])) if effect else None
    severity = objective.severity if objective else _EFFECT_SEVERITY if effect else _DEFAULT_SEVERITY
    moves = f" {effect.statement}" if effect else ""
    return Proposal(
        cause=f"recurrence:{event_type}",
        description=f"Be ready for {event_type} at {moment(pattern.next_at)}",
        severity=severity,
        probability=pattern.strength,
        deadline=pattern.next_at,
        objective=objective.name if objective else None,
        series=series,
        bound=objective.bound if objective and series else None,
        side=objective.side if objective else "below",
        baseline=reading.value if series and (reading := evidence.latest(series)) else None,
        period_s=pattern.period_s or 2 * _LEAST_LEAD_S,
        because={
            "rule": "predicted recurrence",
            "sentence": f"{pattern.statement} The next one is expected in {span(ahead_s)} "
            f"({percent(pattern.strength)} sure).{moves}",
            "inputs": {
                "pattern": pattern.pattern_id,
                "event_type": event_type,
                "period_s": pattern.period_s,
                "effect": effect.pattern_id if effect else None,
            },
            "forecast": {"next_at": pattern.next_at.isoformat(), "probability": pattern.strength},
            "is_broken_now": False,
        },
    )


def _horizon_s(pattern: Pattern, objective: Objective | None) -> float:
    """Return how far ahead a recurrence is a goal: its lead, or the objective's horizon within half a period."""
    if objective is None:
        return lead_s(pattern)
    return max(lead_s(pattern), min(objective.horizon_s, (pattern.period_s or np.inf) / 2))


def _effect_of(evidence: Evidence, event_type: str) -> tuple[Pattern | None, Objective | None]:
    """Return the strongest effect of an event type on a metric, and the weightiest objective that it troubles.

    Without such an objective the strongest effect stands alone; (None, None) where no effect is known.
    """
    effects = sorted(
        (each for each in evidence.patterns if each.kind == "effect" and each.evidence.get("event_type") == event_type),
        key=lambda each: -each.strength,
    )
    troubled = [
        (each, objective) for each in effects for objective in evidence.objectives if _troubles(each, objective)
    ]
    if troubled:
        return max(troubled, key=lambda pair: pair[1].severity)
    return (effects[0] if effects else None), None


def _troubles(effect: Pattern, objective: Objective) -> bool:
    """Tell whether an effect moves an objective's metric toward its bound."""
    if objective.kind.judges_runs:
        return False
    moved = float(effect.evidence.get("effect", 0.0))
    return objective.matches(str(effect.evidence["metric"])) and float(toward(moved, 0.0, objective.side)) > 0


def _audible(evidence: Evidence, series: str | None) -> str | None:
    """Return the series if it is being recorded, or the first recorded one of that metric."""
    if series is None:
        return None
    heard = {each for frame in evidence.frames for each in frame.series}
    if series in heard:
        return series
    return next((each for each in sorted(heard) if metric_of(each) == series), None)


def _shift(evidence: Evidence, pattern: Pattern) -> Proposal | None:
    series = _audible(evidence, pattern.subject)
    at = datetime.fromtimestamp(float(pattern.evidence["at_s"]), UTC)
    before, after = float(pattern.evidence["before"]), float(pattern.evidence["after"])
    is_there = pattern.evidence.get("lasts", True) and pattern.evidence.get("is_new", True)
    if series is None or before == after or not is_there:
        return None
    if not 0 <= (evidence.tick - at).total_seconds() <= _SHIFT_IS_NEWS_S:
        return None
    # A shift that no objective minds is a pattern to be seen, not a goal to be pursued.
    minding = (each for each in evidence.objectives if each.matches(series) and not each.kind.judges_runs)
    watching = [each for each in minding if _matters(before, after, each)]
    objective = max(watching, key=lambda each: each.severity, default=None)
    if objective is None:
        return None
    was, is_now = (value(level, evidence.unit_of(series)) for level in (before, after))
    return Proposal(
        cause=f"shift:{series}",
        description=f"Adapt to the new level of {series}: {is_now} instead of {was}",
        severity=objective.severity,
        probability=pattern.strength,
        deadline=max(evidence.tick, at + timedelta(seconds=_SHIFT_IS_NEWS_S)),
        objective=objective.name,
        series=series,
        bound=before,
        side="below" if after > before else "above",
        baseline=after,
        period_s=2 * _SHIFT_IS_NEWS_S,
        because={
            "rule": "shift of level",
            "sentence": f"{pattern.statement} It was {was} and is {is_now} since {moment(at)}.",
            "inputs": {"pattern": pattern.pattern_id, "level_before": before, "level_after": after},
            "forecast": {"changed_at": at.isoformat(), "probability": pattern.strength},
            "is_broken_now": False,
        },
    )


def _matters(before: float, after: float, objective: Objective) -> bool:
    """Tell whether a shift took a part worth minding of the room that was left to the bound."""
    return float(toward(after, before, objective.side)) > _LEAST_ROOM_RATIO * abs(objective.bound - before)


def _unmeasured(goal: Goal, evidence: Evidence) -> Standing:
    is_over = (evidence.tick - goal.deadline).total_seconds() > _SETTLE_S
    state = "has passed" if is_over else "is still to come"
    statement = f"the event {state}; no affected metric is known, so there is nothing to measure"
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
        statement=f"since the event {goal.series} has kept its bound {percent(kept)} of the time",
        is_over=done_ratio >= 1.0,
    )


def _came_back(goal: Goal, evidence: Evidence) -> Standing:
    assert goal.series is not None
    assert goal.bound is not None
    assert goal.baseline is not None
    level = _level_now(goal, evidence)
    way_back = closed_ratio(goal.baseline, level, goal.bound, goal.side)
    is_over = evidence.tick > goal.deadline
    unit = evidence.unit_of(goal.series)
    statement = f"{goal.series} is at {value(level, unit)}; before the shift it was {value(goal.bound, unit)}"
    return Standing(
        way_back >= 0.9, 1.0 - way_back, way_back, np.inf if way_back >= 0.9 else 0.0, statement, is_over=is_over
    )


def _level_now(goal: Goal, evidence: Evidence) -> float:
    """Return the level of the last hour by what the same time of day was before the shift.

    Where no such day is known, the median of the hour itself.
    """
    assert goal.series is not None
    assert goal.bound is not None
    changed_at = datetime.fromisoformat(goal.because["forecast"]["changed_at"])
    window = evidence.window(goal.series, (evidence.tick - changed_at).total_seconds() + _COMPARED_DAYS * _DAY_S)
    if window is None:
        return float(goal.baseline or 0.0)
    hour, day = max(1, round(3_600 / window.step_s)), round(_DAY_S / window.step_s)
    ends = len(window.values)
    first_after = ends - round((window.end - changed_at).total_seconds() / window.step_s)
    moved = [
        float(np.median(apart))
        for start in range(ends - hour, -1, -day)
        if start + hour < first_after and len(apart := _apart(window.values, start, hour))
    ]
    if moved:
        return goal.bound + float(np.median(moved))
    last = window.tail(3_600.0).finite
    return float(np.median(last)) if len(last) else float(goal.baseline or 0.0)


def _apart(values: FloatArray, start: int, hour: int) -> FloatArray:
    """Return how far the last hour lies from the one that begins at a step, where both are known."""
    apart = values[-hour:] - values[start : start + hour]
    known: FloatArray = apart[np.isfinite(apart)]
    return known
