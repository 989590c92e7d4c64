"""Objectives set by hand: validated against those in force, kept as facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from api.facade import Facade
from api.models.history import ObjectiveIn, Objectives, ObjectiveView
from api.queries.shares import shares
from storage.errors import ForeactError, describe
from storage.facts import OBJECTIVES
from storage.records import Objective, metric_of
from tasks.objectives.budget_tree import budget_trees
from tasks.objectives.conflicts import contradictions
from tasks.objectives.in_force import ORIGIN_IN_WORDS, Origin, objectives_in_force, objectives_with_origin
from tasks.objectives.tree import refuse_unknown_parents


def listed(facade: Facade) -> Objectives:
    """Return the objectives in force, and which of them contradict each other."""
    settings, trouble = facade.in_force, [facade.trouble] if facade.trouble else []
    known = objectives_with_origin(settings, facade.store)
    in_force = [objective for objective, _ in known.values()]
    return Objectives(
        objectives=[_view(*each) for each in known.values()],
        contradictions=[conflict.statement for conflict in contradictions(in_force)],
        trouble=[*trouble, *budget_trees(in_force).faults],
        shares=[each.sentence for each in shares(facade).budgets],
    )


def put(facade: Facade, name: str, body: ObjectiveIn, by: str, note: str = "") -> ObjectiveView:
    """Put an objective in force under a name, in the place of one of the same name."""
    objective = _validated(name, body.model_dump(exclude_unset=True))
    others = [each for each in objectives_in_force(facade.in_force, facade.store) if each.name != name]
    refuse_unknown_parents([*others, objective], before=others)
    facade.store.facts.set(OBJECTIVES.of(name), objective, by)
    detail = {**objective.model_dump(mode="json", exclude_defaults=True), **_noted(note)}
    facade.store.audit.append(by, "set objective", name, detail)
    against = [c.statement for c in contradictions([*others, objective]) if name in (c.left, c.right)]
    return _view(objective, "by hand", [*against, *_unheard(facade, objective)])


def put_all(facade: Facade, bodies: Mapping[str, ObjectiveIn], by: str) -> None:
    """Put objectives in force by their names: all of them or, where one is wrong, none."""
    with facade.store.transaction():
        for name, body in bodies.items():
            put(facade, name, body, by)


def delete(facade: Facade, name: str, by: str, note: str = "") -> None:
    """Take an objective out of force, wherever it comes from; raises `objective_unknown`."""
    in_force = objectives_in_force(facade.in_force, facade.store)
    if name not in {objective.name for objective in in_force}:
        remedy = "GET /api/autonomous/objectives lists them."
        raise ForeactError("objective_unknown", f"There is no objective {name}.", remedy, status=404)
    refuse_unknown_parents([each for each in in_force if each.name != name], before=in_force)
    facade.store.facts.set(OBJECTIVES.of(name), None, by)
    facade.store.audit.append(by, "remove objective", name, _noted(note))


def _noted(note: str) -> dict[str, str]:
    return {"note": note} if note else {}


def _unheard(facade: Facade, objective: Objective) -> list[str]:
    """Say which metrics of an objective were never recorded: they may come yet, or be a typing error."""
    recorded = {name for info in facade.store.samples.known() for name in (info.series, metric_of(info.series))}
    named = (objective.metric, objective.denominator, objective.driver, objective.capacity)
    return [f"Nothing is recorded for {name} yet." for name in named if name is not None and name not in recorded]


def _validated(name: str, fields: dict[str, Any]) -> Objective:
    try:
        return Objective.model_validate(fields | {"name": name})
    except ValidationError as trouble:
        raise ForeactError(
            "objective_invalid",
            describe(trouble.errors()),
            "Correct it and send it again; GET /docs describes the fields.",
            status=422,
        ) from None


def _view(objective: Objective, origin: Origin, warnings: Sequence[str] = ()) -> ObjectiveView:
    comes_from = ORIGIN_IN_WORDS[origin]
    return ObjectiveView(origin=origin, comes_from=comes_from, objective=objective, warnings=list(warnings))
