"""Series that one objective means and that are broken alike: one goal, whose members they are."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np

from storage.records import Goal, labels_of, metric_of
from tasks.goals.evidence import Evidence, Proposal, Rule, Standing
from tasks.goals.statistics.measures import toward

FEWEST_MEMBERS = 4
"""So few are still told and treated one by one."""


def group_cause(cause: str, objective: str | None, series: str | None) -> str | None:
    """Return the cause that a cause about one series of an objective belongs to; None where it is about no series."""
    return f"{objective}:*" if objective is not None and series is not None and series in cause else None


def grouped(proposals: Sequence[Proposal], joining: Collection[str], evidence: Evidence) -> Proposal:
    """Return one proposal for several of one objective, on the series that is worst of them.

    `joining` are series that have a goal already which becomes part of this one.
    """
    worst_first = sorted(
        proposals,
        key=lambda each: (each.probability, *_beyond(each.series, each.bound, each.side, evidence)),
        reverse=True,
    )
    worst = worst_first[0]
    objective = evidence.objective(worst.objective)
    assert objective is not None
    assert worst.series is not None
    members = tuple(dict.fromkeys([*(str(each.series) for each in worst_first), *joining]))
    meant = evidence.series_of(objective)
    who = told(members, meant)
    wanted = worst.description.replace(worst.series, metric_of(worst.series))
    sentence = f"{who} call for this at once, so they are one goal. The worst: {worst.because['sentence']}"
    inputs = {**worst.because["inputs"], "series_of_objective": len(meant)}
    return replace(
        worst,
        cause=f"{objective.name}:*",
        description=f"{who}: {wanted[:1].lower()}{wanted[1:]}",
        because={**worst.because, "sentence": sentence, "inputs": inputs},
        members=members,
    )


def told(members: Collection[str], meant: Collection[str]) -> str:
    """Return how many of how many, by the label that tells them apart: "40 of 52 pods"."""
    series = sorted({*members, *meant})
    labels = [labels_of(each) for each in series]
    names = sorted({name for each in labels for name in each})
    apart = [name for name in names if len({each.get(name) for each in labels}) > 1]
    is_plain = len(apart) == 1 and apart[0].isalpha() and apart[0][-1] not in "shxyz"
    return f"{len(members)} of {len(series)} {f'{apart[0]}s' if is_plain else f'series of {metric_of(series[0])}'}"


def members_now(goal: Goal, proposed: Collection[str], evidence: Evidence) -> tuple[str, ...]:
    """Return the series that a goal is about: those it was set for, the worst first, and those that joined them.

    Where the bound is not the objective's, as that of a shift is the level before it, members have bounds of their own:
    the one that moved most speaks for them.
    """
    objective = evidence.objective(goal.objective)
    is_shared = objective is not None and goal.bound in (None, objective.bound)
    return tuple(dict.fromkeys([*goal.members, *sorted(proposed)])) if goal.members and is_shared else ()


def standing_of_members(goal: Goal, members: Sequence[str], evidence: Evidence, rule: Rule) -> Standing:
    """Return how a goal with members stands: met once all of them are, and not while one of them is silent.

    Its `series` is the first member that misses it: to go by the worst of each turn would change the target of an act
    while a person is asked about it.
    """
    each = {series: rule.standing(goal.model_copy(update={"series": series}), evidence) for series in members}
    speaking = {series: standing for series, standing in each.items() if not standing.is_silent}
    missing = [series for series, standing in speaking.items() if not standing.is_met]
    judged = speaking if missing or len(speaking) == len(each) else {s: each[s] for s in each.keys() - speaking.keys()}
    worst = max(sorted(judged), key=lambda series: _badness(goal, series, judged[series], evidence))
    return Standing(
        is_met=not missing and len(speaking) == len(each),
        probability=max(standing.probability for standing in judged.values()),
        approach=float(np.mean([standing.approach for standing in each.values()])),
        held_s=min(standing.held_s for standing in judged.values()),
        statement=_statement(each, missing, worst),
        is_silent=judged[worst].is_silent,
        is_over=all(standing.is_over for standing in judged.values()),
        series=next((series for series in members if series in missing), worst),
    )


def _statement(each: Mapping[str, Standing], missing: Sequence[str], worst: str) -> str:
    if missing:
        return f"{told(missing, each)} still miss it; the worst: {each[worst].statement}"
    if each[worst].is_silent:
        silent = [series for series, standing in each.items() if standing.is_silent]
        return f"{told(silent, each)} are silent; one of them: {each[worst].statement}"
    return f"all of {len(each)} hold; the least: {each[worst].statement}"


def _badness(goal: Goal, series: str, standing: Standing, evidence: Evidence) -> tuple[bool, float, float, str]:
    return not standing.is_met, standing.probability, *_beyond(series, goal.bound, goal.side, evidence)


def _beyond(series: str | None, bound: float | None, side: str, evidence: Evidence) -> tuple[float, str]:
    """Return how far a series lies beyond a bound, and its name: the order among equals is always the same."""
    reading = evidence.latest(series) if series is not None else None
    if reading is None or bound is None:
        return -np.inf, str(series)
    return float(toward(reading.settled, bound, "below" if side == "below" else "above")), str(series)
