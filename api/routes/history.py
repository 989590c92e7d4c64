"""What the loop keeps of itself: patterns, cycles, the audit trail, backtests."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from api import commands, queries
from api.dependencies import FacadeDep
from api.models.agent import CycleDetail, RunStarted
from api.models.history import Audit, BacktestIn, Backtests, ChangeReviews, Cycles, Patterns

router = APIRouter(tags=["history"])

Limit = Annotated[int, Query(ge=1, le=1_000)]


@router.get("/patterns")
def patterns(facade: FacadeDep) -> Patterns:
    """Return the patterns that the newest cycle found, with evidence, strongest first."""
    return queries.agent.patterns(facade)


@router.get("/cycles")
def cycles(facade: FacadeDep, limit: Limit = 50) -> Cycles:
    """Return the newest turns of the loop."""
    return Cycles(cycles=facade.store.cycles.latest(limit))


@router.get("/cycles/{cycle_id}")
def cycle(cycle_id: str, facade: FacadeDep) -> CycleDetail:
    """Return one turn of the loop, stage by stage."""
    return queries.agent.cycle(facade, cycle_id)


@router.get("/audit")
def audit(
    facade: FacadeDep,
    limit: Limit = 100,
    verify: Annotated[bool, Query(description="Check every line; this reads all of them")] = False,
) -> Audit:
    """Return the decisions with author and time, newest first."""
    return queries.agent.audit(facade, limit, verify)


@router.post("/backtests", status_code=202)
def start_backtest(body: BacktestIn, facade: FacadeDep) -> RunStarted:
    """Replay recorded history through the loop, as a run of `backtest/backtest`; 409 while one is running."""
    started = commands.operator.start_backtest(facade, body.model_dump(exclude_none=True))
    return RunStarted(flow_run_id=started.flow_run_id, flow_run_url=started.url, deployment="backtest/backtest")


@router.get("/backtests")
def backtests(facade: FacadeDep) -> Backtests:
    """Return the summary of the newest finished backtest, how far one under way has come, and the pages kept."""
    return queries.backtests.backtests(facade)


@router.get("/backtests/reviews")
def change_reviews(facade: FacadeDep) -> ChangeReviews:
    """Return the newest reviews of changes of the configuration that `foreact backtest --against FILE` made here."""
    return queries.backtests.reviews(facade)
