"""What the loop keeps of itself: patterns, cycles, the audit trail, backtests."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from api import reads
from api.deps import FacadeDep
from api.models.agent import CycleDetail, RunStarted
from api.models.records import Audit, BacktestIn, Backtests, Cycles, Patterns, newest_first
from storage.records import stable_id

router = APIRouter(tags=["history"])

BACKTEST_FACT = "backtest:"
Limit = Annotated[int, Query(ge=1, le=1_000)]


@router.get("/patterns")
def patterns(facade: FacadeDep) -> Patterns:
    """Return the regularities that the newest cycle found, with evidence, strongest first."""
    return reads.patterns(facade)


@router.get("/cycles")
def cycles(facade: FacadeDep, limit: Limit = 50) -> Cycles:
    """Return the newest turns of the loop."""
    return Cycles(cycles=facade.store.cycles.latest(limit))


@router.get("/cycles/{cycle_id}")
def cycle(cycle_id: str, facade: FacadeDep) -> CycleDetail:
    """Return one turn of the loop, stage by stage."""
    return reads.cycle(facade, cycle_id)


@router.get("/audit")
def audit(
    facade: FacadeDep,
    limit: Limit = 100,
    verify: Annotated[bool, Query(description="Check the whole chain of hashes, which reads every line")] = False,
) -> Audit:
    """Return what was decided, by whom and when, newest first."""
    broken = facade.store.audit.first_broken_line() if verify else None
    return Audit(
        entries=facade.store.audit.latest(limit), verified=broken is None if verify else None, first_broken_line=broken
    )


@router.post("/backtests", status_code=202)
def start_backtest(body: BacktestIn, facade: FacadeDep) -> RunStarted:
    """Run recorded history through the loop, as a run of the deployment `backtest/backtest`."""
    span = {"start": body.start.isoformat(), "end": body.end.isoformat()}
    key = stable_id("backtest", *span.values(), facade.clock().replace(second=0, microsecond=0))
    started = facade.trigger.run("backtest", span, key)
    return RunStarted(flow_run_id=started.flow_run_id, flow_run_url=started.url, deployment="backtest/backtest")


@router.get("/backtests")
def backtests(facade: FacadeDep) -> Backtests:
    """Return the reports of finished backtests, newest first."""
    return Backtests(backtests=newest_first(facade.store.facts.matching(BACKTEST_FACT)))
