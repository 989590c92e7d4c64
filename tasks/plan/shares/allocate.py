"""Share budgets down their trees, and let the plan weigh what each part can spare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf

from storage.facts import BudgetShares, ChildShare
from storage.records import Objective
from tasks.objectives.budget_tree import BudgetNode, budget_trees, unshared
from tasks.plan.optimise.clearing import Claim, Clearing, clear
from tasks.plan.optimise.columns import Column
from tasks.plan.optimise.round import Round, chosen_of, is_worth_it, prepare
from tasks.plan.planning import plannable
from tasks.plan.problem import CostRoom, PlanProblem
from tasks.plan.shares.needs import BudgetNeed, Point, best_of, claim_of, cost_need, merged, minutes_need, saved_ratio
from tasks.plan.shares.told_shares import sentence_of
from tasks.plan.valuation.running_cost import priced_amount

_DEARER = 1.001
"""At the price itself the last act is worth as much as it costs; it is to be done."""
_PRICE_TRIES = 7
_MOST_DEARER = 8.0
_UNSPENT = "what is not spent"


@dataclass(frozen=True)
class _Shared:
    """What one budget gives its parts, at which price; `granted` is what it gives in all, `least` what it must."""

    node: BudgetNode
    left: float
    granted: float
    price: float
    amounts: Mapping[str, float]


@dataclass
class _Minutes:
    """Error budgets while they are shared: the round without them, what each objective needs, what each budget gives.

    `prices` are by objective what a broken minute costs all budgets above it, on the scale of losses.
    """

    round_: Round
    needs: Mapping[str, BudgetNeed]
    shared: list[_Shared] = field(default_factory=list)
    prices: dict[str, float] = field(default_factory=dict)

    def left(self, node: BudgetNode) -> float:
        """Return what is left of a budget; below 0 where more was used than there is."""
        used = self.round_.problem.used_minutes
        return node.budget.limit - sum(used.get((node.name, leaf.name), 0.0) for leaf in node.under())

    def weights(self) -> dict[str, float]:
        """Return by objective the factor that its price makes of its severity; those at no price are left out."""
        return {
            name: 1.0 + _DEARER * price * self.needs[name].minutes_per_risk
            for name, price in self.prices.items()
            if price > 0 and self.needs[name].minutes_per_risk > 0
        }


def with_shares(problem: PlanProblem) -> PlanProblem:
    """Return the problem with what follows from budgets that objectives share; as it is where none has any.

    An error budget is shared at a price per minute, by which its parts' severities rise; a cost budget limits what may
    be added for its parts. A budget that contradicts itself is left out, and said to be.
    """
    trees = budget_trees(problem.objectives.values())
    if not trees.roots and not trees.troubles:
        return problem
    round_ = prepare(problem, plannable(problem), {})
    minutes = _share_minutes(round_, [root for root in trees.roots if root.budget.is_of_minutes])
    costs = [_cost_shares(round_, node) for node in trees.nodes() if not node.budget.is_of_minutes]
    told = [*unshared(problem.objectives, trees), *_minute_shares(minutes), *(shares for shares, _ in costs)]
    return replace(
        problem,
        weights=minutes.weights(),
        cost_rooms=tuple(room for _, room in costs),
        shares=tuple(replace(each, cycle_id=problem.cycle_id) for each in told),
    )


def _share_minutes(round_: Round, roots: Sequence[BudgetNode]) -> _Minutes:
    leaves = {leaf.name: (leaf, root) for root in roots for leaf in root.under()}
    needs = {name: minutes_need(round_, leaf, root.objective.horizon_s) for name, (leaf, root) in leaves.items()}
    state = _Minutes(round_, needs)
    for root in roots:
        _clear_node(state, root, None, 0.0)
    for shared in state.shared:
        _raise_until_kept(state, shared)
    return state


def _clear_node(state: _Minutes, node: BudgetNode, allotted: float | None, price_above: float) -> None:
    """Give each part its share of a budget, then of each budget below it, and note the price for each objective.

    `allotted` is what the budget above gives it: there its own limit is in the claim already. The topmost has none.
    """
    claims = [*(_leaf_claim(state, leaf) for leaf in node.leaves), *(_node_claim(state, each) for each in node.below)]
    if allotted is None:
        cleared = _clear_softly(claims, max(0.0, state.left(node)), _most_price(node))
    else:
        cleared = clear(claims, max(allotted, sum(claim.minimum for claim in claims)))
    amounts = {name: amount for name, amount in (cleared.amounts or {}).items() if name != _UNSPENT}
    price = max(cleared.price, price_above)
    for below in node.below:
        _clear_node(state, below, amounts[below.name], price)
    for leaf in node.leaves:
        need = state.needs[leaf.name]
        state.prices[leaf.name] = need.steepest if leaf.hard else need.price_of(amounts[leaf.name], price)
    state.shared.append(_Shared(node, state.left(node), sum(amounts.values()), price, amounts))


def _clear_softly(claims: Sequence[Claim], budget: float, most_price: float) -> Clearing:
    """Return how a budget is cleared that may be overdrawn at a price: as if to leave it unspent were one more claim.

    Without such a price it is overdrawn only by the least that all must have.
    """
    if most_price == inf:
        return clear(claims, max(budget, sum(claim.minimum for claim in claims)))
    most = sum(max(claim.minimum, sum(amount for amount, _ in claim.steps)) for claim in claims)
    unspent = [Claim(_UNSPENT, ((most, most * most_price),))] if most > 0 and most_price > 0 else []
    return clear([*claims, *unspent], budget + most)


def _most_price(node: BudgetNode) -> float:
    """Return what a minute beyond a budget costs: as much as a minute of its objective by two sd; no limit if hard."""
    objective = node.objective
    return inf if objective.hard else objective.severity / (objective.horizon_s / 60)


def _leaf_claim(state: _Minutes, leaf: Objective) -> Claim:
    """Return an objective's claim; of a hard one whatever can be saved is, so that it needs no more than the rest."""
    need = state.needs[leaf.name]
    return claim_of(leaf.name, need.points, least=leaf.least, most=need.least if leaf.hard else inf)


def _node_claim(state: _Minutes, node: BudgetNode) -> Claim:
    return claim_of(node.name, _curve(state, node), least=node.objective.least)


def _curve(state: _Minutes, node: BudgetNode) -> tuple[Point, ...]:
    """Return what all below a budget need together; what overdraws it is worth less, or not to be had if it is hard."""
    left, price = max(0.0, state.left(node)), _most_price(node)
    curves: list[Sequence[Point]] = [_hardened(leaf, state.needs[leaf.name].points) for leaf in node.leaves]
    curves += [_curve(state, below) for below in node.below]
    if price == inf:
        return merged(curves, left)
    return tuple(
        best_of([Point(each.amount, each.worth - price * max(0.0, each.amount - left)) for each in merged(curves)])
    )


def _hardened(leaf: Objective, points: tuple[Point, ...]) -> tuple[Point, ...]:
    return points[:1] if leaf.hard else points


def _raise_until_kept(state: _Minutes, shared: _Shared) -> None:
    """Raise the price for all below a budget until the programme keeps it, where acts have to make do with few slots.

    A price that clears the claims leaves out that acts compete for slots and targets: the dual of the programme itself
    is found by bisection (Fisher 1981). It ends at the price that a minute beyond the budget has, or where every act
    is dearer than any costs.
    """
    names = [leaf.name for leaf in shared.node.under()]
    steepest = max((state.needs[name].steepest for name in names), default=0.0)
    floor = {name: state.prices[name] for name in names}
    low, high = 0.0, min(_most_price(shared.node), _MOST_DEARER * max([steepest, *floor.values()]))
    if high <= 0 or _minutes_left(state, names) <= shared.granted + 1e-6:
        return
    for _ in range(_PRICE_TRIES):
        middle = (low + high) / 2
        state.prices.update({name: max(price, middle) for name, price in floor.items()})
        low, high = (low, middle) if _minutes_left(state, names) <= shared.granted + 1e-6 else (middle, high)
    state.prices.update({name: max(price, high) for name, price in floor.items()})


def _minutes_left(state: _Minutes, names: Sequence[str]) -> float:
    """Return the minutes that the programme leaves broken of some objectives at the present prices."""
    round_, weights = state.round_, state.weights()
    columns = [_weighed(round_, column, weights) for mine in round_.by_goal.values() for column in mine]
    worthy = [column for column in columns if is_worth_it(round_.problem, column, round_.valuers)]
    saved = {column.goal_id: column for column in (worthy[i] for i in chosen_of(round_.problem, worthy, round_.limits))}
    left = 0.0
    for need in (state.needs[name] for name in names):
        left += need.foreseen
        for goal_id, minutes in need.minutes_by_goal:
            if goal_id in saved:
                left -= minutes * saved_ratio(saved[goal_id], round_.valuers[goal_id].risk)
    return left


def _weighed(round_: Round, column: Column, weights: Mapping[str, float]) -> Column:
    """Return a column as it is worth with weights: those of the problem have none yet."""
    more = weights.get(round_.valuers[column.goal_id].view.goal.objective or "", 1.0) - 1.0
    if more == 0:
        return column
    extra = more * float(column.worth.own_gain[column.slot])
    return column._replace(value=column.value + extra, own_value=column.own_value + extra)


def _minute_shares(state: _Minutes) -> list[BudgetShares]:
    weights, told = state.weights(), []
    for shared in state.shared:
        node, used = shared.node, state.round_.problem.used_minutes
        parts = [
            ChildShare(
                leaf.name,
                shared.amounts[leaf.name],
                state.needs[leaf.name].foreseen,
                used.get((node.name, leaf.name), 0.0),
                leaf.least,
                weights.get(leaf.name, 1.0),
                state.needs[leaf.name].lost,
            )
            for leaf in node.leaves
        ]
        parts += [
            ChildShare(
                below.name,
                shared.amounts[below.name],
                sum(state.needs[leaf.name].foreseen for leaf in below.under()),
                sum(used.get((node.name, leaf.name), 0.0) for leaf in below.under()),
                below.objective.least,
            )
            for below in node.below
        ]
        prices = [state.prices[leaf.name] for leaf in node.under()]
        shares = BudgetShares(
            node.name,
            node.budget.unit,
            node.budget.limit,
            node.budget.limit - shared.left,
            shared.left,
            min(prices, default=0.0),
            max(0.0, sum(shared.amounts.values()) - max(0.0, shared.left)),
            tuple(parts),
        )
        told.append(replace(shares, sentence=sentence_of(shares, node.budget)))
    return told[::-1]


def _cost_shares(round_: Round, node: BudgetNode) -> tuple[BudgetShares, CostRoom]:
    """Return how a cost budget is shared, and the room that it leaves for what may be added to what is there now.

    The shares are those that would be worth most if everything could be set anew; what is added is limited to the room
    that there is now, since what is to be given back may fail.
    """
    leaves = _by_amount(round_.problem, list(node.under()))
    needs = {leaf.name: need for leaf in leaves if (need := cost_need(round_, leaf)) is not None}
    ranks = sorted({leaf.severity for leaf in leaves if leaf.hard}, reverse=True)
    claims = [
        claim_of(
            leaf.name,
            needs[leaf.name].points,
            least=leaf.least,
            rank=ranks.index(leaf.severity) if leaf.hard else None,
        )
        for leaf in leaves
        if leaf.name in needs
    ]
    now, limit = sum(need.foreseen for need in needs.values()), node.budget.limit
    cleared = clear(claims, max(limit, sum(claim.minimum for claim in claims)))
    amounts = cleared.amounts or {}
    spared = {leaf.name: max(0.0, leaf.least - needs[leaf.name].foreseen) for leaf in leaves if leaf.name in needs}
    parts = tuple(
        ChildShare(
            leaf.name,
            amounts.get(leaf.name, 0.0),
            max(point.amount for point in needs[leaf.name].points) if leaf.name in needs else 0.0,
            needs[leaf.name].foreseen if leaf.name in needs else 0.0,
            leaf.least,
            lost=needs[leaf.name].lost if leaf.name in needs else "no action that is known here sets an amount for it",
        )
        for leaf in leaves
    )
    shares = BudgetShares(
        node.name, node.budget.unit, limit, now, limit - now, cleared.price, max(0.0, now - limit), parts
    )
    room = CostRoom(
        node.name, max(0.0, limit - now - sum(spared.values())), frozenset(leaf.name for leaf in node.under()), spared
    )
    return replace(shares, sentence=sentence_of(shares, node.budget)), room


def _by_amount(problem: PlanProblem, leaves: Sequence[Objective]) -> list[Objective]:
    """Return objectives without those whose amount serves an earlier one as well: it is paid for once."""
    kept: dict[str, Objective] = {}
    for leaf in leaves:
        amount = priced_amount(problem, leaf)
        kept.setdefault(amount[0] if amount is not None else f"none for {leaf.name}", leaf)
    return list(kept.values())
