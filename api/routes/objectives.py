"""Objectives: what is wanted of the metrics."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from api import commands
from api.dependencies import CallerDep, FacadeDep
from api.models.history import ObjectiveIn, Objectives, ObjectiveView

router = APIRouter(tags=["objectives"])

Name = Annotated[str, Path(max_length=100, description="Lower case, digits, `_`, `.` and `-`")]
By = Annotated[
    str,
    Query(
        min_length=1, max_length=200, description="Whom the caller speaks for; the audit trail names the caller first"
    ),
]

Why = Annotated[str, Query(max_length=2_000, description="The reason; the audit trail keeps it")]


@router.get("/objectives")
def list_objectives(facade: FacadeDep) -> Objectives:
    """Return the objectives in force: defaults, those of foreact.toml, and those set by hand."""
    return commands.objectives.listed(facade)


@router.put("/objectives/{name}")
def put_objective(
    name: Name, body: ObjectiveIn, facade: FacadeDep, caller: CallerDep, by: By = "api", note: Why = ""
) -> ObjectiveView:
    """Set an objective from the next cycle on; it replaces one of the same name."""
    return commands.objectives.put(facade, name, body, caller.named(by), note)


@router.delete("/objectives/{name}", status_code=204)
def delete_objective(name: Name, facade: FacadeDep, caller: CallerDep, by: By = "api", note: Why = "") -> None:
    """Remove an objective from the next cycle on, wherever it comes from."""
    commands.objectives.delete(facade, name, caller.named(by), note)
