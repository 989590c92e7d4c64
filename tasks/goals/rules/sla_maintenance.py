"""An error budget that burns too fast, seen in a long and a short window at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from storage.records import Goal, GoalType, Objective, ObjectiveKind
from tasks.goals.evidence import Evidence, Proposal, Standing
from tasks.goals.standing import gone_standing, silent_standing
from tasks.goals.statistics.burn import Burn, budget_left_ratio, burns_of, count_in
from tasks.goals.statistics.measures import closed_ratio
from tasks.text import moment, number, percent, span

GOAL_TYPE = GoalType.SLA_MAINTENANCE


def propose(evidence: Evidence) -> Iterator[Proposal]:
    """Propose a goal per SLO whose fastest firing pair of windows burns surely enough.

    Counts made beforehand speak for the whole objective; without them each series that it names is judged alone.
    """
    for objective in evidence.objectives:
        if objective.kind is not ObjectiveKind.SLO:
            continue
        for series in _subjects(evidence, objective):
            firing = [burn for burn in burns_of(evidence, objective, series) if burn.fires]
            sure = [burn for burn in firing if burn.probability >= objective.probability_threshold]
            if sure:
                yield _proposal(evidence, objective, series, sure[0])


def standing(goal: Goal, evidence: Evidence) -> Standing:
    """Return how the goal stands: the burn in the short windows against a rate of 1, which just uses the budget up."""
    objective = evidence.objective(goal.objective)
    if objective is None:
        return gone_standing("its objective is no longer configured")
    burns = burns_of(evidence, objective, goal.series)
    ages_s = _silence_s(evidence, objective, goal.series)
    if not burns or ages_s is not None:
        return silent_standing(goal.series or objective.metric, ages_s)
    raised_by = goal.because.get("inputs", {})
    pair = min(burns, key=lambda burn: abs(burn.windows.long_s - raised_by.get("long_window_s", 0.0)))
    firing = [burn for burn in burns if burn.fires]
    is_met = not firing and pair.short_rate < 1.0
    return Standing(
        is_met=is_met,
        probability=max((burn.probability for burn in firing), default=0.0),
        approach=closed_ratio(raised_by.get("short_burn_rate"), pair.short_rate, 1.0, "below"),
        # A short window without errors is the hold: it is as long as this SLO's own alerting asks for.
        held_s=pair.windows.short_s * 5 if is_met else 0.0,
        statement=f"the error budget burns at {number(pair.short_rate)} times its rate over the last "
        f"{span(pair.windows.short_s)}",
    )


def _silence_s(evidence: Evidence, objective: Objective, series: str | None) -> float | None:
    """Return for how long nothing was recorded, None while anything the objective counts still speaks.

    Counts over long windows go on for hours after the last event; they are no news.
    """
    series_names = (series,) if series is not None else evidence.series_of(objective)
    readings = [reading for each in series_names if (reading := evidence.latest(each)) is not None]
    if not readings or any(not reading.is_silent for reading in readings):
        return None
    return min(reading.age_s for reading in readings)


def _subjects(evidence: Evidence, objective: Objective) -> tuple[str | None, ...]:
    series = evidence.series_of(objective)
    if evidence.slo_windows.get(objective.name):
        return (series[0] if len(series) == 1 else None,)
    audible = [each for each in series if (reading := evidence.latest(each)) and not reading.is_silent]
    return tuple(audible)


def _deadline(evidence: Evidence, objective: Objective, burn: Burn, left: float | None) -> datetime:
    """Return when the budget is used up at the present rate; now, if it is already."""
    share = max(0.0, left) if left is not None else 1.0
    return evidence.tick + timedelta(seconds=objective.window_s * share / max(burn.long_rate, 1e-9))


def _proposal(evidence: Evidence, objective: Objective, series: str | None, burn: Burn) -> Proposal:
    left = budget_left_ratio(evidence, objective, series)
    deadline = _deadline(evidence, objective, burn, left)
    rest = f"; {percent(max(0.0, left))} of the budget is left" if left is not None else ""
    subject = series or objective.metric
    sentence = (
        f"{subject} fails {objective.name} at {number(burn.long_rate)} times the rate its error budget allows over "
        f"{span(burn.windows.long_s)}, and at {number(burn.short_rate)} times over {span(burn.windows.short_s)} "
        f"(limit {number(burn.windows.factor)}){rest}; at this rate the budget is used up by {moment(deadline)}."
    )
    total = count_in(evidence, objective, series, burn.windows.long_s)
    proposal = Proposal.on(
        objective,
        series,
        method="multi-window burn rate",
        description=f"Save the error budget of {objective.name}: it burns at {number(burn.long_rate)} times its rate",
        sentence=sentence,
        probability=burn.probability,
        deadline=deadline,
        inputs={
            "target_ratio": objective.target_ratio,
            "long_window_s": burn.windows.long_s,
            "short_window_s": burn.windows.short_s,
            "long_burn_rate": burn.long_rate,
            "short_burn_rate": burn.short_rate,
            "burn_rate_limit": burn.windows.factor,
            "events_in_long_window": total.total if total else None,
        },
        forecast={
            "probability": burn.probability,
            "budget_left_ratio": left,
            "exhausted_at": deadline.isoformat(),
        },
        is_broken_now=True,
    )
    return replace(proposal, bound=None) if objective.denominator is not None else proposal
