"""One planning round: all columns, the programme's solution, and the draws goal by goal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from storage.records import NOTHING, Autonomy, GoalView, Strategy
from tasks.plan.optimise.allocation_limits import ROUNDING, Allocation, Limits
from tasks.plan.optimise.columns import Blocked, Column, Partner, busy_slots, capacity_of, columns_of
from tasks.plan.optimise.draw import Draw, draw_for
from tasks.plan.optimise.solve import solve_greedy, solve_in_ranks, solve_milp, utility
from tasks.plan.optimise.strategy import groups_of, strategies_of
from tasks.plan.problem import Commitment, PlanProblem
from tasks.plan.valuation.value import Valuer, offer_key


@dataclass
class Round:
    """A round's state: what could be done, what the programme chose, and what was drawn so far.

    `worthy` are the columns that beat doing nothing by the margin, `solution` the programme's choice of them with its
    `best_utility`, `taken` what was drawn, `served_by` the drawn column by each goal it serves.
    """

    problem: PlanProblem
    views: tuple[GoalView, ...]
    strategies: Mapping[str, tuple[Strategy, str]]
    valuers: Mapping[str, Valuer]
    by_goal: Mapping[str, Sequence[Column]]
    blocked: tuple[Blocked, ...]
    limits: Limits
    worthy: tuple[Column, ...]
    solution: tuple[Column, ...]
    best_utility: float
    taken: Allocation
    draws: dict[str, Draw] = field(default_factory=dict)
    served_by: dict[str, Column] = field(default_factory=dict)

    def columns_for(self, goal_id: str) -> Sequence[Column]:
        """Return the columns of one goal."""
        return self.by_goal.get(goal_id, ())

    def is_worth_it(self, column: Column) -> bool:
        """Tell whether a column beats doing nothing by the margin, for its own goal or for all that it serves."""
        return is_worth_it(self.problem, column, self.valuers)

    def leaves_room(self, column: Column) -> bool:
        """Tell whether a column that the programme did not choose leaves its choices their room in budgets."""
        if not column.costs:
            return True
        awaited = (each for each in self.solution if each.goal_id not in self.draws)
        left = self.limits.less([*self.taken.columns, *awaited]).costs
        return all(cost <= left[budget] + ROUNDING for budget, cost in column.costs)

    def commits(self, column: Column) -> bool:
        """Tell whether a column is carried out as planned: a slot beyond the next round only under SCHEDULED."""
        is_near = column.slot * self.problem.slot_s < self.problem.cycle_s
        return is_near or self.strategies[column.goal_id][0] is Strategy.SCHEDULED


def prepare(problem: PlanProblem, views: tuple[GoalView, ...], kept: Mapping[str, Commitment]) -> Round:
    """Return a round with every column valued and the programme solved."""
    strategies = strategies_of(problem, views)
    valuers = {view.goal.goal_id: Valuer(problem, view) for view in views}
    partners = _partners(problem, views, strategies, valuers)
    by_goal: dict[str, list[Column]] = {}
    blocked: list[Blocked] = []
    for view in views:
        goal_id = view.goal.goal_id
        mine, refused = columns_of(problem, view, valuers[goal_id], strategies[goal_id][0], partners[goal_id])
        by_goal[goal_id] = mine
        blocked += refused
    busy = busy_slots(problem, frozenset(each.action_id for each in kept.values()))
    limits = Limits(
        tuple(max(0, problem.max_concurrent_goals - count) for count in busy),
        {each.budget: each.room for each in problem.cost_rooms},
    )
    worthy = _distinct([each for mine in by_goal.values() for each in mine if is_worth_it(problem, each, valuers)])
    picked = chosen_of(problem, worthy, limits)
    return Round(
        problem=problem,
        views=views,
        strategies=strategies,
        valuers=valuers,
        by_goal=by_goal,
        blocked=tuple(blocked),
        limits=limits,
        worthy=tuple(worthy),
        solution=tuple(worthy[index] for index in picked),
        best_utility=utility(worthy, picked),
        taken=Allocation(limits),
    )


def chosen_of(problem: PlanProblem, columns: Sequence[Column], limits: Limits) -> list[int]:
    """Return the columns that are best together, as indices; those of hard goals first, the severest before others."""
    solve = solve_milp if problem.method == "milp" else solve_greedy
    ranks: dict[float, list[int]] = {}
    severities = {view.goal.goal_id: view.goal.severity for view in problem.goals if problem.is_hard(view)}
    for index, column in enumerate(columns):
        rank = min((-severities[goal_id] for goal_id in column.serves if goal_id in severities), default=1.0)
        ranks.setdefault(rank, []).append(index)
    if len(ranks) < 2:
        return solve(columns, limits)
    return solve_in_ranks([ranks[rank] for rank in sorted(ranks)], columns, limits, solve)


def is_worth_it(problem: PlanProblem, column: Column, valuers: Mapping[str, Valuer]) -> bool:
    """Tell whether a column beats doing nothing by the margin, for its own goal or for all that it serves."""
    if column.value <= 0 or column.own_value >= column.worth.needed:
        return column.value > 0
    return column.value >= problem.margin * sum(valuers[goal_id].risk for goal_id in column.serves)


def decide(round_: Round, view: GoalView) -> None:
    """Draw what is done for one goal, among what still fits with what was drawn for weightier goals.

    A goal served already gets nothing of its own. What the programme would do later and does not commit yet is waited
    for without a draw: chance decides only over what is done now.
    """
    goal_id, problem = view.goal.goal_id, round_.problem
    if goal_id in round_.served_by:
        return
    fitting = [each for each in round_.columns_for(goal_id) if round_.taken.clash(each) is None]
    planned = next((each for each in round_.solution if goal_id in each.serves), None)
    chosen = _wanted(round_, fitting, planned)
    options = _options(fitting, chosen)
    is_waiting = chosen is not None and not round_.commits(chosen)
    # Amounts are ordered, and mostly known from their response: chance would cost what it leaves undone.
    is_known = round_.valuers[goal_id].amounts is not None or (chosen is not None and chosen.worth.is_planned)
    # While what is worth it waits for an answer, nothing is tried in its place.
    is_asked = chosen is not None and problem.level(view.goal.goal_type, chosen.action) is not Autonomy.AUTO
    draw = draw_for(
        problem,
        view,
        round_.valuers[goal_id],
        options,
        chosen.action if chosen else NOTHING,
        is_certain=is_waiting or is_known or is_asked,
    )
    round_.draws[goal_id] = draw
    if draw.column is not None:
        round_.taken.add(draw.column)
        round_.served_by.update(dict.fromkeys(draw.column.serves, draw.column))


def _wanted(round_: Round, fitting: Sequence[Column], planned: Column | None) -> Column | None:
    """Return what the valuation says: the programme's choice, else the best that is worth it, else nothing."""
    if planned is not None:
        same = (each for each in fitting if (each.offer, each.slot) == (planned.offer, planned.slot))
        if (column := next(same, None)) is not None:
            return column
    worthy = [each for each in fitting if round_.is_worth_it(each) and round_.leaves_room(each)]
    return max(worthy, key=lambda each: (each.value, -each.slot), default=None)


def _options(fitting: Sequence[Column], chosen: Column | None) -> dict[str, Column]:
    """Return the column by action name that a draw would take: the wanted one, else the best of the earliest slot."""
    options: dict[str, Column] = {}
    for column in fitting:
        other = options.get(column.action)
        if other is None or (-column.slot, column.value) > (-other.slot, other.value):
            options[column.action] = column
    return options | ({chosen.action: chosen} if chosen else {})


def _partners(
    problem: PlanProblem,
    views: Sequence[GoalView],
    strategies: Mapping[str, tuple[Strategy, str]],
    valuers: Mapping[str, Valuer],
) -> dict[str, tuple[Partner, ...]]:
    """Return for each collaborative goal the others of its group; for the rest, none."""
    joint = [view for view in views if strategies[view.goal.goal_id][0] is Strategy.COLLABORATIVE]
    as_partner = {
        view.goal.goal_id: Partner(
            view.goal.goal_id,
            valuers[view.goal.goal_id],
            frozenset(offer_key(each) for each in problem.candidates.get(view.goal.goal_id, ())),
            capacity_of(problem, view),
        )
        for view in joint
    }
    partners: dict[str, tuple[Partner, ...]] = {view.goal.goal_id: () for view in views}
    for group in groups_of(problem, joint):
        for goal_id in group:
            partners[goal_id] = tuple(as_partner[each] for each in group if each != goal_id)
    return partners


def _distinct(columns: Sequence[Column]) -> list[Column]:
    """Return columns with joint ones kept once, under the weightiest of the goals they serve."""
    kept: dict[tuple[str, int, frozenset[str]], Column] = {}
    for column in columns:
        kept.setdefault((column.offer, column.slot, frozenset(column.serves)), column)
    return list(kept.values())
