"""What was found of causes, in words and numbers, as it stands with a goal; and what it means for where to act."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from storage.records import Candidate, Frame, Goal, GoalView, Outcome, Verdict, labels_of, metric_of
from tasks.causes.graph import DependencyGraph, circle_in
from tasks.causes.ranking import Cause, Ranking
from tasks.text import span, unit_of, value

TOO_YOUNG = "What caused it cannot be told yet: too little was recorded before."
NOTHING_MOVED = "No cause is named: nothing that is recorded moved out of the ordinary before it."
MOST_SIMILAR = 3
_WORTH_TELLING = 0.2


def told(ranking: Ranking, frame: Frame, origin: str, notes: Iterable[str] = ()) -> dict[str, Any]:
    """Return what is kept with a goal: a sentence, the ranked causes with their evidence, how sure it is.

    `origin` is the component that the goal's series is of; `frame` is what was searched.
    """
    began_at = frame.end - timedelta(seconds=(frame.values.shape[1] - 1 - ranking.moment) * frame.step_s)
    ranked = [_in_numbers(each, frame, origin) for each in ranking.causes]
    first = ranked[0]["sentence"] if ranked else TOO_YOUNG if ranking.p_value is None else NOTHING_MOVED
    others = [each.component for each in ranking.causes[1:] if each.score >= _WORTH_TELLING * ranking.causes[0].score]
    also = f" Less likely: {', '.join(others)}." if others else ""
    return {
        "sentence": " ".join([f"{first}{also}", *notes]),
        "ranked": ranked,
        "p_value": ranking.p_value,
        "began_at": began_at.isoformat(),
    }


def _in_numbers(cause: Cause, frame: Frame, origin: str) -> dict[str, Any]:
    unit = unit_of(cause.series, frame.units)
    return {
        "component": cause.component,
        "series": cause.series,
        "sentence": _sentence(cause, unit, frame.step_s, origin),
        "score": round(cause.score, 3),
        "times_a_rare_move": round(cause.loudness, 2),
        "before": cause.level,
        "after": cause.level + cause.change,
        "lead_s": cause.lead_steps * frame.step_s,
        "path": list(cause.path),
    }


def _sentence(cause: Cause, unit: str, step_s: float, origin: str) -> str:
    who = f"{cause.component} itself" if cause.component == origin else cause.component
    verb = "rose" if cause.change > 0 else "fell"
    moved = f"{verb} from {value(cause.level, unit)} to {value(cause.level + cause.change, unit)}"
    size = f"{abs(cause.loudness):.1f} times what is rare for it"
    lead = f", {span(cause.lead_steps * step_s)} before the goal's own metric" if cause.lead_steps > 0 else ""
    way = f", which it depends on by {' → '.join(cause.path)}" if len(cause.path) > 2 else ""
    return f"Likely cause: {who}{way}: {metric_of(cause.series)} {moved}, {size}{lead}."


def notes_on(graph: DependencyGraph, origin: str, configured: Iterable[str], known: Iterable[str]) -> list[str]:
    """Return what is wrong with the topology in plain sentences: names that nobody records, a circle, a stranger."""
    notes, recorded = [], set(known)
    unknown = sorted(set(configured) - recorded)
    if unknown:
        notes.append(f"Nothing is recorded of {', '.join(unknown[:5])}, named in [topology].")
    if circle := circle_in(graph):
        notes.append(f"In the topology {' → '.join(circle)} depend on each other; the loudest counts.")
    if graph.components and origin not in graph.components:
        notes.append(f"The topology does not name {origin}, so all that is recorded was compared.")
    return notes


@dataclass(frozen=True)
class Incident:
    """A goal of the past, and what was measured of the acts for it."""

    view: GoalView
    outcomes: Sequence[Outcome]


def first_cause(goal: Goal) -> str | None:
    """Return the component that was named first as the cause of a goal, None where none was."""
    ranked = (goal.because.get("causes") or {}).get("ranked") or ()
    return str(ranked[0]["component"]) if ranked else None


def similar(component: str, goal: Goal, past: Iterable[Incident]) -> list[dict[str, Any]]:
    """Return past goals of the same objective and the same first cause, newest first, with what helped then."""
    alike = [
        each for each in past if each.view.goal.objective == goal.objective and first_cause(each.view.goal) == component
    ]
    return [
        {
            "goal_id": each.view.goal.goal_id,
            "at": each.view.goal.created_at.isoformat(),
            "state": str(each.view.state),
            "helped": sorted({outcome.action for outcome in each.outcomes if outcome.verdict is Verdict.IMPROVED}),
        }
        for each in sorted(alike, key=lambda each: each.view.goal.created_at, reverse=True)[:MOST_SIMILAR]
    ]


def recalled(found: Sequence[Mapping[str, Any]]) -> str:
    """Return what is remembered of similar incidents, in a sentence; nothing where there were none."""
    if not found:
        return ""
    helped = sorted({name for each in found for name in each["helped"]})
    day = datetime.fromisoformat(found[0]["at"]).strftime("%d %B")
    times = "once before" if len(found) == 1 else f"{len(found)} times before"
    what = f"{', '.join(helped)} helped then" if helped else "nothing that was done was measured to help"
    return f"The same was found {times}, last on {day}: {what}."


def on_cause(candidates: Sequence[Candidate], goal: Goal) -> tuple[Candidate, ...]:
    """Return the candidates, of an action that could take one of several targets only those on the likeliest cause.

    An action none of whose targets is a cause that is worth telling is left as it is.
    """
    ranked = (goal.because.get("causes") or {}).get("ranked") or ()
    if not ranked:
        return tuple(candidates)
    enough = _WORTH_TELLING * ranked[0]["score"]
    causes = [str(each["component"]) for each in ranked if each["score"] >= enough]
    aims = {name: _aim(name, candidates, causes) for name in {each.action for each in candidates}}
    return tuple(each for each in candidates if aims[each.action] is None or aims[each.action] in _named_by(each))


def _aim(action: str, candidates: Sequence[Candidate], causes: Sequence[str]) -> str | None:
    mine = [_named_by(each) for each in candidates if each.action == action]
    return next((cause for cause in causes if any(cause in names for names in mine)), None)


def _named_by(candidate: Candidate) -> frozenset[str]:
    texts = [each for each in (candidate.target, *candidate.params.values()) if isinstance(each, str)]
    return frozenset(texts) | frozenset(labels_of(candidate.target).values())
