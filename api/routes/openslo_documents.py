"""Objectives as OpenSLO documents."""

from __future__ import annotations

from fastapi import APIRouter

from api import commands
from api.dependencies import CallerDep, FacadeDep
from api.models.history import ObjectiveIn
from api.models.slo_documents import OpenSloDocument, OpenSloIn, OpenSloSet, read_openslo, write_openslo

router = APIRouter(tags=["objectives"])


@router.get("/objectives/openslo", summary="Export OpenSLO")
def export_openslo(facade: FacadeDep) -> OpenSloDocument:
    """Return the objectives in force that have a target over a window as OpenSLO v1."""
    known = [view.objective for view in commands.objectives.listed(facade).objectives]
    return write_openslo(known, service=facade.in_force.agent.name)


@router.post("/objectives/openslo", summary="Import OpenSLO")
def import_openslo(body: OpenSloIn, facade: FacadeDep, caller: CallerDep) -> OpenSloSet:
    """Set an objective for each SLO of a document, from the next cycle on; all of them or, where one is wrong, none."""
    read = read_openslo(body.document)
    bodies = {
        each.name: ObjectiveIn.model_validate(each.model_dump(exclude={"name"}, exclude_unset=True))
        for each in read.objectives
    }
    commands.objectives.put_all(facade, bodies, caller.named(body.by))
    names = [objective.name for objective in read.objectives]
    return OpenSloSet(objectives=names, queries=read.queries, notes=read.notes)
