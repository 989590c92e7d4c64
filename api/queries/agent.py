"""The questions that are asked of the store, each answered as a response model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from api.facade import Facade
from api.models.agent import (
    AgentStatistics,
    CycleDetail,
    ExecutorState,
    ExecutorStatistics,
    ForecastingReport,
    Mode,
    Report,
    StageReport,
    Status,
)
from api.models.history import Audit, Patterns
from api.models.learned import Insights
from api.queries.forecasts import (
    NO_CYCLE_NOTE,
    prediction,
    predictions,
)
from api.queries.goals import as_they_stand, overview, waiting_among
from api.queries.outcomes import monitoring
from api.queries.shared_budgets import said_of_shares, share_warnings
from api.receipt_counts import ReceiptCounts
from settings import VERSION, Settings
from storage.actions import ActionView
from storage.errors import ForeactError
from storage.facts import DRILLS, INSIGHTS, PLACEBOS, TROUBLES
from storage.records import Cycle, GoalState, ReceiptStatus, Verdict
from tasks.authority import is_switched_on
from tasks.objectives.in_force import said_of_names, said_of_trees

REPORT_HORIZON_HOURS = 24.0


def mode(facade: Facade) -> Mode:
    """Tell whether the loop may act."""
    return mode_in_force(is_switched_on(facade.in_force, facade.store), facade.settings.kill_switch_path)


@dataclass(frozen=True)
class ReceiptsSoFar:
    """What several answers share: read once for a request."""

    now: datetime
    pending: list[ActionView]
    tally: ReceiptCounts
    plans: int


def standing(facade: Facade) -> ReceiptsSoFar:
    """Return what is planned and what was done."""
    actions = facade.store.actions
    tally = facade.running_tally.take_in(actions.finished)
    pending = as_they_stand(facade, actions.pending())
    return ReceiptsSoFar(facade.clock(), pending, tally, facade.store.decisions.count_plans())


def status(facade: Facade, receipts: ReceiptsSoFar | None = None) -> Status:
    """Tell how the agent is."""
    store, receipts = facade.store, receipts or standing(facade)
    counts, in_force = store.goals.counts(), mode(facade)
    cycles = store.cycles.latest(1, whole=True)
    return Status(
        agent=facade.settings.agent.name,
        running=all(check() for check in facade.checks.values()),
        uptime_seconds=round((receipts.now - facade.started_at).total_seconds(), 3),
        started_at=facade.started_at,
        active_goals=open_count(counts),
        autonomous_mode=in_force.autonomous,
        mode=in_force,
        statistics=sum_up_agent(
            counts,
            receipts.tally,
            plans=receipts.plans,
            cycles=store.cycles.count(),
            series=len(store.samples.known()),
            samples=facade.counters.get("samples"),
            events=facade.counters.get("events"),
        ),
        last_cycle=cycles[0] if cycles else None,
        pending_approvals=len(waiting_among(receipts.pending, receipts.now)),
        configuration_trouble=facade.trouble,
        warnings=[
            *said_of_trees(facade.in_force, store),
            *said_of_names(facade.in_force, store),
            *(store.facts.get(TROUBLES) or ()),
            *share_warnings(facade),
        ],
        shared=said_of_shares(facade),
        version=VERSION,
    )


def executor_statistics(
    facade: Facade, receipts: ReceiptsSoFar | None = None, learned: dict[str, Any] | None = None
) -> ExecutorStatistics:
    """Return what was executed and how it ended."""
    receipts = receipts or standing(facade)
    return sum_up_executor(
        receipts.tally,
        receipts.pending,
        learned or insights(facade),
        plans=receipts.plans,
        settings=facade.in_force,
        now=receipts.now,
    )


def cycle(facade: Facade, cycle_id: str) -> CycleDetail:
    """Return one cycle with its stages; raises `cycle_unknown`."""
    record = facade.store.cycles.get(cycle_id)
    if record is None:
        remedy = "GET /api/autonomous/cycles lists them."
        raise ForeactError("cycle_unknown", f"There is no cycle {cycle_id}.", remedy, status=404)
    return cycle_with_stages(record, facade.store.cycles.stages(cycle_id))


def newest_cycle(facade: Facade) -> CycleDetail | None:
    """Return the newest whole cycle with its stages; None before the first."""
    cycles = facade.store.cycles

    def read() -> CycleDetail | None:
        return next(
            (cycle_with_stages(each, cycles.stages(each.cycle_id)) for each in cycles.latest(1, whole=True)), None
        )

    return facade.store.engine.recall(("cycles", "cycle_stages"), "newest cycle", read)


def patterns(facade: Facade) -> Patterns:
    """Return the patterns of the newest cycle."""
    return facade.store.engine.recall(("cycles", "patterns", "facts"), "patterns", lambda: _patterns(facade))


def _patterns(facade: Facade) -> Patterns:
    # As below: loaded where it is needed, so that a command that asks no more than the status is quick.
    from tasks.patterns.in_force import patterns_in_force

    newest = facade.store.cycles.latest(1, whole=True)
    if not newest:
        return Patterns(cycle_id=None, patterns=[], note=NO_CYCLE_NOTE)
    patterns_found = list(patterns_in_force(facade.store, newest[0].cycle_id))
    note = None if patterns_found else "No patterns yet; they need some hours of history, or three events of a type."
    return Patterns(cycle_id=newest[0].cycle_id, patterns=patterns_found, note=note)


def insights(facade: Facade) -> dict[str, Any]:
    """Tell what was learned from the outcomes."""
    from tasks.learn.outcome_rows import OutcomeRow
    from tasks.learn.reports.insights import insights as learned_from

    published = facade.store.facts.get(INSIGHTS)
    # Nothing was learned yet, or learning is switched off: then the outcomes speak for themselves.
    learned = learned_from(map(OutcomeRow.of, facade.store.outcomes.targets())) if published is None else published
    checked = facade.store.facts.get(PLACEBOS)
    return learned | {"placebo_check": PLACEBOS.json.dump_python(checked, mode="json") if checked else None}


def insights_and_drills(facade: Facade) -> Insights:
    """Tell what was learned, and how undo drills ended."""
    from handlers.drills import DrillReport

    drills = DrillReport.of_facts(facade.store.facts.matching(DRILLS))
    practised = {} if drills.success_ratio is None else {"drill_success_rate": drills.success_ratio}
    return Insights.model_validate({**insights(facade), **practised})


def audit(facade: Facade, limit: int, verify: bool = False) -> Audit:
    """Return the newest lines of the audit trail; `verify` checks all of them."""
    entries = facade.store.audit.latest(limit)
    if not verify:
        return Audit(entries=entries, verified=None)
    check = facade.store.audit.check()
    is_well = check.first_broken_line is None
    return Audit(entries=entries, verified=is_well, first_broken_line=check.first_broken_line, check=check)


def report(facade: Facade) -> Report:
    """Return everything at once."""
    ahead, newest_patterns = predictions(facade, REPORT_HORIZON_HOURS), patterns(facade)
    receipts, learned = standing(facade), insights(facade)
    agent = status(facade, receipts)
    return Report(
        generated_at=facade.clock(),
        agent_status=agent,
        goals=overview(facade),
        forecasting_report=ForecastingReport(
            prediction=prediction(ahead.predicted_state),
            breaches=ahead.breaches,
            series=len(ahead.series),
            calibration=ahead.calibration,
            patterns=newest_patterns.patterns,
            note=ahead.note,
        ),
        executor_state=ExecutorState(statistics=executor_statistics(facade, receipts, learned), insights=learned),
        insights=learned,
        monitoring=monitoring(facade, learned, receipts.now),
        last_cycle=newest_cycle(facade),
    )


MOST_SAID_CHARS = 500
GONE_WRONG = (ReceiptStatus.FAILED, ReceiptStatus.TIMED_OUT)


def mode_in_force(autonomous: bool, kill_switch: Path) -> Mode:
    """Describe the switch and the kill-switch file."""
    stopped = kill_switch.exists()
    if stopped:
        note = f"The kill switch {kill_switch} exists: foreact does nothing until it is removed.{_said_in(kill_switch)}"
    elif autonomous:
        note = "Acts automatically where an action's level allows it."
    else:
        note = "Recommends only; an action runs when a person approves it."
    return Mode(
        autonomous=autonomous,
        acts=autonomous and not stopped,
        kill_switch=stopped,
        kill_switch_path=str(kill_switch),
        note=note,
    )


def _said_in(kill_switch: Path) -> str:
    """Return what the file says of who set it and why, as a sentence's beginning has it; often nothing."""
    try:
        with kill_switch.open(encoding="utf-8", errors="replace") as file:
            said = " ".join(file.read(MOST_SAID_CHARS).split())
    except OSError:
        return ""
    return f" {said}" if said else ""


def open_count(counts: Mapping[str, int]) -> int:
    """Count the goals that still ask for something."""
    return sum(count for state, count in counts.items() if not GoalState(state).is_terminal)


def sum_up_agent(
    goals: Mapping[str, int], tally: ReceiptCounts, *, plans: int, cycles: int, series: int, samples: int, events: int
) -> AgentStatistics:
    """Sum up goals by state and receipts by status."""
    return AgentStatistics(
        goals_created=sum(goals.values()),
        goals_achieved=goals.get(GoalState.ACHIEVED, 0),
        goals_failed=goals.get(GoalState.FAILED, 0),
        goals_expired=goals.get(GoalState.EXPIRED, 0),
        goals_cancelled=goals.get(GoalState.CANCELLED, 0),
        goals_superseded=goals.get(GoalState.SUPERSEDED, 0),
        plans_created=plans,
        actions_executed=tally.executed,
        actions_succeeded=tally.by_status[ReceiptStatus.SUCCEEDED],
        actions_failed=sum(tally.by_status[status] for status in GONE_WRONG),
        cycles_completed=cycles,
        series_known=series,
        samples_recorded=samples,
        events_recorded=events,
    )


def sum_up_executor(
    tally: ReceiptCounts,
    pending: Sequence[ActionView],
    insights: Mapping[str, Any],
    *,
    plans: int,
    settings: Settings,
    now: datetime,
) -> ExecutorStatistics:
    """Sum up what was executed and, by what was learned from it, what that changed."""
    rates: list[Mapping[str, Any]] = list(insights["action_success_rates"].values())
    decided = sum(each["count"] for each in rates)
    improved = sum(each["verdicts"].get(Verdict.IMPROVED, 0) for each in rates)
    verdicts: Counter[str] = sum((Counter(each["verdicts"]) for each in rates), Counter())
    succeeded = tally.by_status[ReceiptStatus.SUCCEEDED]
    return ExecutorStatistics(
        success_rate=succeeded / tally.executed if tally.executed else 0.0,
        total_actions=tally.by_status.total() + len(pending),
        actions_executed=tally.executed,
        actions_succeeded=succeeded,
        actions_failed=sum(tally.by_status[status] for status in GONE_WRONG),
        actions_skipped=tally.by_status[ReceiptStatus.SKIPPED],
        actions_undone=tally.undone,
        held_back=tally.held_back,
        dry_runs=tally.by_status[ReceiptStatus.DRY_RUN],
        pending_actions=len(pending),
        pending_approvals=len(waiting_among(pending, now)),
        average_execution_seconds=tally.duration_s / tally.executed if tally.executed else None,
        measured_actions=decided + sum(each["undecided"] for each in rates),
        improved_actions=improved,
        improved_rate=improved / decided if decided else None,
        verdicts=dict(verdicts),
        plans_created=plans,
        max_concurrent_goals=settings.executor.max_concurrent_goals,
        learning_enabled=settings.executor.enable_learning,
    )


def cycle_with_stages(record: Cycle, stages: Sequence[Mapping[str, Any]]) -> CycleDetail:
    """Show a cycle with its stages."""
    reports = [StageReport.model_validate(stage) for stage in stages]
    return CycleDetail(cycle=record, stages=reports, duration_s=sum(report.duration_s for report in reports))
