"""The executor: statistics, what was learned, and the report over all."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from api import reads
from api.deps import FacadeDep
from api.models.agent import ExecutorStatistics, Report

router = APIRouter(tags=["executor"])


@router.get("/executor/statistics")
def executor_statistics(facade: FacadeDep) -> ExecutorStatistics:
    """Tell what was executed, and how it went."""
    return reads.executor_statistics(facade)


@router.get("/executor/insights")
def executor_insights(facade: FacadeDep) -> dict[str, Any]:
    """Tell what was learned: which actions work, for what, when, and which fail."""
    return reads.insights(facade)


@router.get("/report")
def report(facade: FacadeDep) -> Report:
    """Return everything at once: status, goals, forecasts, execution, insights."""
    return reads.report(facade)
