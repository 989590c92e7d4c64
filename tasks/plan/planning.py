"""Make plans: value, solve, draw, commit and explain, for all open goals at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from storage.records import (
    NOTHING,
    Action,
    Alternative,
    Candidate,
    Decision,
    GoalState,
    GoalView,
    Plan,
    Strategy,
)
from tasks.plan.columns import Blocked, Column, busy_slots, columns_of, offer_key
from tasks.plan.draw import Draw, draw_for
from tasks.plan.explain import binding, explain_act, explain_nothing, explain_wait, reasons_of, runner_up
from tasks.plan.inform import information_actions
from tasks.plan.make import action_of, decision_id, plan_of
from tasks.plan.problem import Commitment, Dropped, PlanProblem, PlanResult
from tasks.plan.solve import Limits, clash, solve_greedy, solve_milp, utility
from tasks.plan.strategy import groups_of, strategies_of
from tasks.plan.value import Valuer


@dataclass
class _Round:
    """The state of one planning round, filled goal by goal in order of priority."""

    problem: PlanProblem
    views: tuple[GoalView, ...]
    strategies: Mapping[str, tuple[Strategy, str]]
    valuers: Mapping[str, Valuer]
    columns: list[Column]
    blocked: list[Blocked]
    limits: Limits
    solution: list[Column]
    best_utility: float
    taken: list[Column] = field(default_factory=list)
    draws: dict[str, Draw] = field(default_factory=dict)
    served_by: dict[str, Column] = field(default_factory=dict)
    kept: dict[str, Commitment] = field(default_factory=dict)


def make_plans(problem: PlanProblem) -> PlanResult:
    """Return decisions, plans and actions for all goals that are open and not blocked.

    The same problem gives the same result. Each goal gets one decision, also where it comes to nothing; goals with an
    action already under way or frozen in its slot keep it and get none. Constraints hold for whatever is drawn: per
    slot at most `max_concurrent_goals` actions and one a target, none in maintenance or cooldown.
    """
    views = _plannable(problem)
    kept, dropped = _kept_commitments(problem, views)
    free = tuple(view for view in views if view.goal.goal_id not in kept)
    round_ = _prepare(problem, free, kept)
    for view in free:
        _decide(round_, view)
    return _write(round_, views, dropped)


def _plannable(problem: PlanProblem) -> tuple[GoalView, ...]:
    """Return the goals to plan for, weightiest first. Blocked ones are left as they are: nothing is known of them."""
    wanted = [view for view in problem.goals if view.is_open and view.state is not GoalState.BLOCKED]
    return tuple(sorted(wanted, key=lambda view: (-view.goal.priority, view.goal.goal_id)))


def _kept_commitments(problem: PlanProblem, views: Sequence[GoalView]) -> tuple[dict[str, Commitment], list[Dropped]]:
    """Return earlier plans that stand, by goal, and those given up.

    A plan stands unless its goal is closed, it can no longer be carried out, or (not for a frozen slot) something else
    beats it by the cost of switching; what has begun always stands.
    """
    by_id = {view.goal.goal_id: view for view in views}
    kept: dict[str, Commitment] = {}
    dropped: list[Dropped] = []
    for commitment in problem.commitments:
        if commitment.is_started or commitment.start < problem.tick:
            continue
        view = by_id.get(commitment.goal_id)
        reason = _why_drop(problem, view, commitment)
        if reason is not None:
            dropped.append(Dropped(commitment.action_id, reason))
        else:
            kept[commitment.goal_id] = commitment
    return kept, dropped


def _why_drop(problem: PlanProblem, view: GoalView | None, commitment: Commitment) -> str | None:
    if view is None:
        return "its goal is no longer pursued"
    offers = problem.candidates.get(view.goal.goal_id, ())
    planned = Candidate(action=commitment.action, target=commitment.target, params=dict(commitment.params))
    same = next((each for each in offers if offer_key(each) == offer_key(planned)), None)
    if same is None:
        return "it is no longer possible: its action does not offer it any more"
    if commitment.strategy is Strategy.SCHEDULED:
        return None
    valuer = Valuer(problem, view)
    columns, _ = columns_of(problem, view, valuer, Strategy.ADAPTIVE, {})
    at = round((commitment.start - problem.tick).total_seconds() / problem.slot_s)
    mine = max((each.value for each in columns if each.offer == offer_key(same) and each.slot == at), default=0.0)
    best = max(columns, key=lambda each: each.value, default=None)
    if best is None or best.offer == offer_key(same) or best.value <= mine + problem.switching_ratio * valuer.risk:
        return None
    return f"{best.action} is worth {best.value - mine:.3g} more, which beats the cost of switching"


def _prepare(problem: PlanProblem, views: tuple[GoalView, ...], kept: Mapping[str, Commitment]) -> _Round:
    strategies = strategies_of(problem, views)
    valuers = {view.goal.goal_id: Valuer(problem, view) for view in views}
    partners = _partners(problem, views, strategies, valuers)
    columns: list[Column] = []
    blocked: list[Blocked] = []
    for view in views:
        goal_id = view.goal.goal_id
        mine, refused = columns_of(problem, view, valuers[goal_id], strategies[goal_id][0], partners[goal_id])
        columns += mine
        blocked += refused
    kept_ids = frozenset(commitment.action_id for commitment in kept.values())
    room = tuple(max(0, problem.max_concurrent_goals - busy) for busy in busy_slots(problem, kept_ids))
    limits = Limits(room)
    worthy = _distinct([each for each in columns if _is_worth_it(problem, each, valuers)])
    picked = (solve_milp if problem.method == "milp" else solve_greedy)(worthy, limits)
    solution = [worthy[index] for index in picked]
    return _Round(
        problem=problem,
        views=views,
        strategies=strategies,
        valuers=valuers,
        columns=columns,
        blocked=blocked,
        limits=limits,
        solution=solution,
        best_utility=utility(worthy, picked),
        kept=dict(kept),
    )


def _partners(
    problem: PlanProblem,
    views: Sequence[GoalView],
    strategies: Mapping[str, tuple[Strategy, str]],
    valuers: Mapping[str, Valuer],
) -> dict[str, dict[str, tuple[GoalView, Valuer]]]:
    """Return for each collaborative goal the others of its group; for the rest, none."""
    joint = [view for view in views if strategies[view.goal.goal_id][0] is Strategy.COLLABORATIVE]
    by_id = {view.goal.goal_id: view for view in joint}
    found: dict[str, dict[str, tuple[GoalView, Valuer]]] = {view.goal.goal_id: {} for view in views}
    for group in groups_of(problem, joint):
        for goal_id in group:
            found[goal_id] = {each: (by_id[each], valuers[each]) for each in group if each != goal_id}
    return found


def _is_worth_it(problem: PlanProblem, column: Column, valuers: Mapping[str, Valuer]) -> bool:
    """Tell whether a column beats doing nothing by the margin, over all goals that it serves."""
    risk = sum(valuers[goal_id].risk for goal_id in column.serves)
    return column.value > 0 and column.value >= problem.margin * risk


def _distinct(columns: Sequence[Column]) -> list[Column]:
    """Return columns with joint ones kept once, under the weightiest of the goals they serve."""
    seen: set[tuple[str, int, frozenset[str]]] = set()
    kept = []
    for column in columns:
        key = (column.offer, column.slot, frozenset(column.serves))
        if key not in seen:
            seen.add(key)
            kept.append(column)
    return kept


def _decide(round_: _Round, view: GoalView) -> None:
    """Draw what is done for one goal, among what still fits with what was drawn for weightier goals."""
    goal_id, problem = view.goal.goal_id, round_.problem
    if goal_id in round_.served_by:
        return
    valuer = round_.valuers[goal_id]
    options: dict[str, Column] = {}
    planned = next((each for each in round_.solution if goal_id in each.serves), None)
    for column in round_.columns:
        if column.goal_id != goal_id or clash(column, round_.taken, round_.limits):
            continue
        known = options.get(column.action)
        if known is None or _rank(column, planned) > _rank(known, planned):
            options[column.action] = column
    wanted = _wanted(round_, options, planned)
    is_burning = bool(view.goal.because.get("is_broken_now")) and view.goal.severity >= 0.5
    draw = draw_for(problem, view, options, wanted, valuer.risk, is_burning)
    round_.draws[goal_id] = draw
    if draw.column is not None:
        round_.taken.append(draw.column)
        round_.served_by.update(dict.fromkeys(draw.column.serves, draw.column))


def _rank(column: Column, planned: Column | None) -> tuple[bool, float, int]:
    is_planned = planned is not None and (column.offer, column.slot) == (planned.offer, planned.slot)
    return is_planned, column.value, -column.slot


def _wanted(round_: _Round, options: Mapping[str, Column], planned: Column | None) -> str:
    """Return what the valuation says: the programme's choice, else the best that is still worth it, else nothing."""
    if planned is not None and planned.action in options:
        return planned.action
    worthy = [each for each in options.values() if _is_worth_it(round_.problem, each, round_.valuers)]
    return max(worthy, key=lambda each: each.value).action if worthy else NOTHING


def _commits(problem: PlanProblem, strategy: Strategy, column: Column) -> bool:
    """Tell whether a column is carried out as planned: a slot beyond the next round is frozen only under SCHEDULED."""
    return column.slot * problem.slot_s < problem.cycle_s or strategy is Strategy.SCHEDULED


def _write(round_: _Round, views: Sequence[GoalView], dropped: Sequence[Dropped]) -> PlanResult:
    problem = round_.problem
    actions: dict[str, Action] = {}
    decisions: list[Decision] = []
    plans: list[Plan] = []
    told = information_actions(problem, views)
    for view in round_.views:
        decision = _decision(round_, view)
        decisions.append(decision)
        mine = _acts_of(round_, view, decision, actions)
        if (note := told.get(view.goal.goal_id)) is not None:
            actions.setdefault(note.action_id, note)
            mine = [*mine, note.action_id]
        if mine:
            plans.append(plan_of(problem, view, decision, mine))
    return PlanResult(
        plans=tuple(plans),
        decisions=tuple(decisions),
        actions=tuple(actions.values()),
        dropped=tuple(dropped),
        utility=round_.best_utility,
    )


def _acts_of(round_: _Round, view: GoalView, decision: Decision, actions: dict[str, Action]) -> list[str]:
    column = round_.served_by.get(view.goal.goal_id)
    if column is None:
        return []
    strategy = round_.strategies[column.goal_id][0]
    if not _commits(round_.problem, strategy, column):
        return []
    if column.goal_id == view.goal.goal_id:
        act = action_of(
            round_.problem,
            view,
            column.candidate,
            strategy=decision.strategy,
            slot=column.slot,
            propensity=decision.chosen.propensity,
        )
        actions[act.action_id] = act
        return [act.action_id]
    return [act_id for act_id, act in actions.items() if act.goal_id == column.goal_id]


def _decision(round_: _Round, view: GoalView) -> Decision:
    problem, goal_id = round_.problem, view.goal.goal_id
    strategy = round_.strategies[goal_id]
    column = round_.served_by.get(goal_id)
    draw = round_.draws.get(goal_id)
    if draw is None:
        assert column is not None
        leader = round_.draws[column.goal_id]
        draw = Draw(column, leader.propensities, leader.wanted, leader.seed)
    refused = [each for each in round_.blocked if each.goal_id == goal_id]
    chosen = _alternative(column, draw, "") if column else _nothing(draw, "")
    return Decision(
        decision_id=decision_id(problem, view),
        goal_id=goal_id,
        at=problem.tick,
        chosen=chosen,
        alternatives=_alternatives(round_, view, draw, column, refused),
        strategy=strategy[0],
        explanation=_explanation(round_, view, draw, column, refused),
        seed=draw.seed,
        blocked_by=(*reasons_of(refused), *_bound_by(round_, view, column)),
    )


def _bound_by(round_: _Round, view: GoalView, chosen: Column | None) -> tuple[str, ...]:
    """Return what kept better columns of a goal from being taken."""
    value = chosen.value if chosen else 0.0
    better = [each for each in round_.columns if each.goal_id == view.goal.goal_id and each.value > value]
    better = [each for each in better if _is_worth_it(round_.problem, each, round_.valuers)]
    reasons = ((each, binding(each, round_.taken, round_.limits)) for each in better)
    return tuple(dict.fromkeys(f"{each.action}: {reason}" for each, reason in reasons if reason))


def _explanation(round_: _Round, view: GoalView, draw: Draw, column: Column | None, refused: Sequence[Blocked]) -> str:
    problem, goal_id = round_.problem, view.goal.goal_id
    strategy, valuer = round_.strategies[goal_id], round_.valuers[goal_id]
    if column is not None and column.goal_id != goal_id:
        return f"{column.action}, chosen for a weightier goal, serves this one as well."
    if column is not None and not _commits(problem, strategy[0], column):
        return explain_wait(problem, column, strategy)
    if column is not None:
        worthy = _distinct([each for each in round_.columns if _is_worth_it(problem, each, round_.valuers)])
        instead, lost = runner_up(problem, worthy, round_.limits, column, round_.best_utility)
        return explain_act(problem, draw, strategy, valuer.outlook.risk, instead, lost)
    mine = [each for each in round_.columns if each.goal_id == goal_id]
    best = max(mine, key=lambda each: each.value, default=None)
    return explain_nothing(problem, draw, best, valuer.risk, refused)


def _alternatives(
    round_: _Round, view: GoalView, draw: Draw, chosen: Column | None, refused: Sequence[Blocked]
) -> tuple[Alternative, ...]:
    """Return every candidate not taken, at its best slot, with its value and the reason."""
    best: dict[str, Column] = {}
    for column in round_.columns:
        if column.goal_id == view.goal.goal_id:
            known = best.get(column.offer)
            best[column.offer] = column if known is None or column.value > known.value else known
    if chosen is not None:
        best.pop(chosen.offer, None)
    listed = [_alternative(each, draw, _why_not(round_, each)) for each in best.values()]
    listed += [
        Alternative(
            action=each.candidate.action,
            params=each.candidate.params,
            target=each.candidate.target,
            value=0.0,
            propensity=0.0,
            reason=each.reason,
        )
        for each in refused
        if each.is_wholly
    ]
    nothing = [] if chosen is None else [_nothing(draw, "it would leave the risk as it is")]
    return (*sorted(listed, key=lambda each: -each.value), *nothing)


def _alternative(column: Column, draw: Draw, reason: str) -> Alternative:
    return Alternative(
        action=column.action,
        params=column.candidate.params,
        target=column.candidate.target,
        value=column.value,
        propensity=draw.propensities.get(column.action, 0.0),
        slot=column.slot,
        reason=reason,
    )


def _nothing(draw: Draw, reason: str) -> Alternative:
    return Alternative(action=NOTHING, value=0.0, propensity=draw.propensities.get(NOTHING, 0.0), reason=reason)


def _why_not(round_: _Round, column: Column) -> str:
    in_the_way = binding(column, round_.taken, round_.limits)
    if in_the_way is not None:
        return in_the_way
    if column.value <= 0:
        return "it is expected to do more harm than good"
    if not _is_worth_it(round_.problem, column, round_.valuers):
        return f"it is not worth {round_.problem.margin:.0%} of the risk of doing nothing"
    return "something else was worth more, or was drawn"
