"""The executor: statistics, what was learned, and the report over all."""

from __future__ import annotations

from fastapi import APIRouter

from api import queries
from api.dependencies import FacadeDep
from api.models.agent import ExecutorStatistics, Report
from api.models.learned import Insights, Monitoring

router = APIRouter(tags=["executor"])


@router.get("/executor/statistics")
def executor_statistics(facade: FacadeDep) -> ExecutorStatistics:
    """Return what was executed and how it ended."""
    return queries.agent.executor_statistics(facade)


@router.get("/executor/insights")
def executor_insights(facade: FacadeDep) -> Insights:
    """Return what was learned: which actions work, for what and when, which fail, and how undo drills ended."""
    return queries.agent.insights_and_drills(facade)


@router.get("/executor/monitoring")
def executor_monitoring(facade: FacadeDep) -> Monitoring:
    """Return goals per hour, achievement and success rate, execution time, impact and convergence of the last day."""
    return queries.outcomes.monitoring(facade, queries.agent.insights(facade), facade.clock())


@router.get("/report")
def report(facade: FacadeDep) -> Report:
    """Return everything at once: status, goals, forecasts, execution, insights."""
    return queries.agent.report(facade)
