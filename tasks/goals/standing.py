"""How goals about a series' own values stand: the part that most rules share."""

from __future__ import annotations

from storage.records import Goal, Objective
from tasks.goals.evidence import Evidence, ObservedWindow, Reading, Standing
from tasks.goals.statistics.measures import Side, closed_ratio, held_for_s, margin_of
from tasks.text import limit, span, value

_LONGEST_LOOK_S = 7 * 86_400.0


def silent_standing(series: str | None, age_s: float | None) -> Standing:
    """Return the standing of a goal whose series says nothing: no data is never good news."""
    since = f"for {span(age_s)}" if age_s is not None else "at all"
    statement = f"{series or 'its metric'} has not been recorded {since}, so the goal cannot be judged"
    return Standing(False, 1.0, 0.0, 0.0, statement, is_silent=True)


def gone_standing(what: str) -> Standing:
    """Return the standing of a goal whose objective or evidence no longer exists."""
    return Standing(False, 0.0, 0.0, 0.0, what, is_over=True)


def silence_of(goal: Goal, evidence: Evidence) -> Standing | None:
    """Return the standing of a goal whose series has fallen silent, None while it speaks."""
    reading = evidence.latest(goal.series) if goal.series else None
    if reading is None or reading.is_silent:
        return silent_standing(goal.series, reading.age_s if reading else None)
    return None


def silent_driver(goal: Goal, evidence: Evidence) -> Standing | None:
    """Return the standing of a goal whose objective's driver has fallen silent, so that nothing foretells its metric.

    None while it speaks, and where it was never recorded: then the metric's own forecast counts.
    """
    objective = evidence.objective(goal.objective)
    reading = evidence.latest(objective.driver) if objective and objective.driver else None
    if objective is None or reading is None or not reading.is_silent:
        return None
    return silent_standing(f"{objective.driver}, which drives {objective.metric},", reading.age_s)


def subject_of(goal: Goal, evidence: Evidence) -> tuple[Objective, str, Reading] | Standing:
    """Return a goal's objective, its series and the last reading; how it stands where one is gone or silent."""
    objective = evidence.objective(goal.objective)
    if objective is None or goal.series is None:
        return gone_standing("its objective is no longer configured")
    reading = evidence.latest(goal.series)
    if reading is None or reading.is_silent:
        return silent_standing(goal.series, reading.age_s if reading else None)
    return objective, goal.series, reading


def series_standing(goal: Goal, evidence: Evidence, *, probability: float, worst: float | None = None) -> Standing:
    """Return how a goal about a bound on a series stands.

    `worst` is the worst value expected ahead, in the units of the series; progress is how far it has come from the
    goal's baseline to its bound. The hold counts only values clear of the bound by the hysteresis margin.
    """
    silence = silence_of(goal, evidence)
    if silence is not None:
        return silence
    assert goal.series is not None
    assert goal.bound is not None
    window = evidence.window(goal.series, _LONGEST_LOOK_S)
    reading = evidence.latest(goal.series)
    assert window is not None
    assert reading is not None
    held_s = held_clear_s(window, goal.bound, goal.side)
    ahead, unit = worst if worst is not None else reading.value, evidence.unit_of(goal.series)
    return Standing(
        is_met=held_s > 0,
        probability=probability,
        approach=closed_ratio(goal.baseline, ahead, goal.bound, goal.side),
        held_s=held_s,
        statement=f"{goal.series} is {value(reading.value, unit)} and should be {limit(goal.side, goal.bound, unit)}",
    )


def held_clear_s(window: ObservedWindow, bound: float, side: Side) -> float:
    """Return how long a series has kept clear of its bound by the hysteresis margin.

    Keeping it at all counts a third: a share that is wanted at 1 cannot be clear of that.
    """
    clear_s = held_for_s(window, bound, side, margin_of(window.tail(86_400.0), bound))
    return max(clear_s, held_for_s(window, bound, side) / 3)
