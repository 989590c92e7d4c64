"""Sequences of actions as candidates: found by what actions declare, or two of which neither helps alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from math import inf

from handlers import ActionHandler, ActionsByName, elsewhere
from storage.records import Autonomy, Candidate, Goal, GoalView, sequence_name
from tasks.interventions.declared_facts import DeclaredFacts
from tasks.plan.optimise.sequence_search import sequences
from tasks.plan.problem import PlanProblem
from tasks.plan.valuation.priors import effect_of

MOST_VARIANTS = 3
"""Of so many ways to take its last step a sequence is offered."""
MOST_PAIRS = 10
HELPS_SD = 0.2
CLEAR = 1.645
"""An action helps alone that is believed to do so much, in sd of the goal's metric, and is clear of its doubt."""
_RISKS = ("low", "medium", "high")


def with_sequences(problem: PlanProblem) -> PlanProblem:
    """Return the problem with sequences among the candidates of its goals; the same where there is none to offer.

    A sequence is an action of its own to whoever weighs and draws: it has the lowest level of its steps, the highest
    risk, and can be undone if all of them can. What nothing is declared of changes nothing.
    """
    if not problem.declared and not problem.tries_pairs:
        return problem
    offered = {view.goal.goal_id: tuple(sequences_for(problem, view)) for view in problem.goals if view.is_open}
    found = {each.action: each for candidates in offered.values() for each in candidates}
    if not found:
        return problem
    traits = ActionsByName(problem.traits | {name: as_action(problem.traits, each) for name, each in found.items()})
    levels = {
        (goal_type, name): _lowest(problem.level(goal_type, step.action) for step in each.steps)
        for goal_type in {view.goal.goal_type for view in problem.goals}
        for name, each in found.items()
    }
    candidates = {goal_id: (*mine, *offered.get(goal_id, ())) for goal_id, mine in problem.candidates.items()}
    return replace(problem, candidates=candidates, traits=traits, levels={**problem.levels, **levels})


def sequences_for(problem: PlanProblem, view: GoalView) -> Iterator[Candidate]:
    """Yield the sequences that could be done for a goal, out of what is offered for it."""
    offers: dict[str, list[Candidate]] = {}
    for each in problem.candidates.get(view.goal.goal_id, ()):
        traits = problem.traits_of(each.action)
        if not traits.informs_only and traits.sets is None:
            offers.setdefault(each.action, []).append(each)
    declared = {name: problem.declared.get(name, DeclaredFacts()) for name in offers}
    found = sequences(declared, problem.facts_held)
    if problem.tries_pairs:
        free = {name: mine for name, mine in offers.items() if not declared[name].requires}
        found += _pairs(problem, view.goal, free)
    for names in found:
        *before, last = (sorted(offers[name], key=_cheapest) for name in names)
        for end in last[:MOST_VARIANTS]:
            steps = (*(each[0] for each in before), end)
            if (whole := sequence_of(problem.traits, steps, declared)) is not None:
                yield whole


def _cheapest(candidate: Candidate) -> tuple[float, str, str]:
    return candidate.cost, candidate.target, repr(sorted(candidate.params.items()))


def _pairs(problem: PlanProblem, goal: Goal, offers: Mapping[str, Sequence[Candidate]]) -> list[tuple[str, ...]]:
    """Return the pairs of actions that may be tried for a goal: one of them was tried, and no action clearly helps.

    It need not be both: what was believed to help a little would be repeated before the other has its turn. What was
    measured together stays on offer. What is believed to harm is left out; the most promising come first.
    """
    believed = {name: effect_of(problem, mine[0], goal) for name, mine in offers.items()}
    may_begin = not any(mean >= max(HELPS_SD, CLEAR * sd) for mean, sd in believed.values())
    promising: list[tuple[float, tuple[str, ...]]] = []
    for pair in combinations(sorted(offers, key=lambda name: (-problem.traits_of(name).latency_s, name)), 2):
        is_tried = any((goal.goal_type, name) in problem.tried for name in pair)
        harms = any(believed[name][0] < -max(HELPS_SD, CLEAR * believed[name][1]) for name in pair)
        is_known = problem.pair_beliefs.count(goal.goal_type, pair) > 0
        if not harms and (is_known or (may_begin and is_tried)):
            mean, _ = problem.pair_beliefs.together(goal.goal_type, pair, [believed[name] for name in pair])
            promising.append((-mean, pair))
    return [pair for _, pair in sorted(promising)[:MOST_PAIRS]]


def sequence_of(
    traits: ActionsByName, steps: tuple[Candidate, ...], declared: Mapping[str, DeclaredFacts]
) -> Candidate | None:
    """Return steps as one candidate; None where the first would be over before the last of them works.

    A step that requires what an earlier one provides begins once that works; else the next begins with the one before.
    """
    starts_s = _starts_s(steps, declared)
    works_s = max(start_s + step.latency_s for start_s, step in zip(starts_s, steps, strict=True))
    if _together_s(traits, steps, starts_s) <= works_s:
        return None
    return Candidate(
        action=sequence_name(step.action for step in steps),
        cost=sum(step.cost for step in steps),
        latency_s=works_s,
        steps=steps,
        starts_s=starts_s,
    )


def _starts_s(steps: Sequence[Candidate], declared: Mapping[str, DeclaredFacts]) -> tuple[float, ...]:
    starts_s = [0.0]
    for step in steps[1:]:
        provided = [
            start_s + earlier.latency_s
            for start_s, earlier in zip(starts_s, steps, strict=False)
            if declared[earlier.action].provides & declared[step.action].requires
        ]
        starts_s.append(max([starts_s[-1], *provided]))
    return tuple(starts_s)


def _together_s(traits: ActionsByName, steps: Sequence[Candidate], starts_s: Sequence[float]) -> float:
    """Return until when all steps work together, in seconds after the first began."""
    durations_s = [traits[step.action].duration_s for step in steps]
    return min(
        start_s + step.latency_s + (inf if duration_s is None else duration_s)
        for start_s, step, duration_s in zip(starts_s, steps, durations_s, strict=True)
    )


def as_action(traits: ActionsByName, candidate: Candidate) -> ActionHandler:
    """Return what is known of a sequence as of an action: the most cautious word of its steps."""
    parts = [traits[step.action] for step in candidate.steps]
    until_s = _together_s(traits, candidate.steps, candidate.starts_s)
    return elsewhere(
        candidate.action,
        reversible=all(each.reversible for each in parts),
        risk=max((each.risk for each in parts), key=_RISKS.index),
        level=_lowest(Autonomy(each.level) for each in parts).value,
        latency_s=candidate.latency_s,
        duration_s=None if until_s == inf else until_s - candidate.latency_s,
        cost=candidate.cost,
        dry_run=any(each.dry_run for each in parts),
    )


def _lowest(levels: Iterator[Autonomy]) -> Autonomy:
    return min(levels, key=lambda level: level.rank)
