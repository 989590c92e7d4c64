"""What was used of the budgets in force, as measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from storage.records import GoalState, Objective, SeriesIndex
from tasks.context import Context
from tasks.objectives.budget_tree import BudgetTrees, budget_trees
from tasks.objectives.in_force import objectives_in_force

_CLOSED_DAYS = 2
_SILENT_TURNS = 3
_GIVEN_UP = frozenset({GoalState.CANCELLED, GoalState.EXPIRED, GoalState.FAILED})


@dataclass(frozen=True)
class BudgetsUsed:
    """Minutes broken by (budget, objective), objectives of which nothing is heard, and those whose goal ended unmet."""

    minutes: Mapping[tuple[str, str], float] = field(default_factory=dict)
    silent: frozenset[str] = frozenset()
    given_up: frozenset[str] = frozenset()


def shares_budgets(context: Context) -> bool:
    """Tell whether any objective in force has a budget for its parts."""
    return any(each.budget is not None for each in objectives_in_force(context.settings, context.store))


def budgets_used(context: Context, objectives: Mapping[str, Objective]) -> BudgetsUsed:
    """Return what the parts of each budget took of it until now; nothing where no objective has one.

    Counted is what its rolling window will still hold at the budget's horizon: what is older is free again by then.
    """
    trees = budget_trees(objectives.values())
    if not trees.roots:
        return BudgetsUsed()
    known = SeriesIndex([info.series for info in context.store.samples.known()])
    minutes: dict[tuple[str, str], float] = {}
    for node in trees.nodes():
        if node.budget.is_of_minutes:
            since = context.tick - timedelta(days=node.budget.days) + timedelta(seconds=node.objective.horizon_s)
            for leaf in node.under():
                minutes[node.name, leaf.name] = _broken_minutes(context, known, leaf, since)
    return BudgetsUsed(minutes, frozenset(_silent(context, known, trees)), _given_up(context))


def _broken_minutes(context: Context, known: SeriesIndex, objective: Objective, since: datetime) -> float:
    """Return in how many minutes an objective was broken; of several series the mean."""
    broken = context.store.samples.broken_within(
        _series(known, objective), since, context.tick, objective.side, objective.bound
    )
    return sum(broken.values()) / 60 / max(1, len(broken))


def _silent(context: Context, known: SeriesIndex, trees: BudgetTrees) -> Iterator[str]:
    """Yield the objectives that share a budget and of which nothing was heard for three turns."""
    heard_since = context.tick - timedelta(seconds=_SILENT_TURNS * context.settings.analysis_interval_s)
    latest = context.store.samples.latest(heard_since)
    for leaf in {leaf.name: leaf for root in trees.roots for leaf in root.under()}.values():
        if not any(series in latest for series in _series(known, leaf)):
            yield leaf.name


def _given_up(context: Context) -> frozenset[str]:
    open_goals, closed = context.store.goals.lately(context.tick - timedelta(days=_CLOSED_DAYS))
    open_for = {view.goal.objective for view in open_goals}
    return frozenset(
        view.goal.objective
        for view in closed
        if view.state in _GIVEN_UP and view.goal.objective and view.goal.objective not in open_for
    )


def _series(known: SeriesIndex, objective: Objective) -> list[str]:
    return [known.series[place] for place in known.meant(objective.measured)]
