"""The questions that are asked of the store, each answered as a response model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from api import reads_learned, views, views_forecast
from api.deps import Facade
from api.models.agent import (
    CycleDetail,
    ExecutorState,
    ExecutorStatistics,
    ForecastingReport,
    Mode,
    Report,
    Status,
)
from api.models.forecasts import Calibration, Predictions, SeriesForecast
from api.models.goals import ActionDetail, Actions, GoalDetail, GoalsOverview
from api.models.records import Patterns
from api.tally import Tally
from settings import VERSION
from storage.actions import ActionView
from storage.errors import ForeactError
from storage.records import Breach, Outcome, StatePrediction
from tasks.authority import as_it_stands, is_switched_on
from tasks.context import breaches_in_force, patterns_in_force
from tasks.execute import WAITS_FACT
from tasks.goals import conflicts
from tasks.learn.insights import insights as learned_from
from tasks.learn.outcomes import OutcomeRow

GoalFilter = Literal["open", "closed", "all"]
INSIGHTS_FACT = "insights"
ALL_TIME = timedelta(days=36_500)
SPAN_FOR_NOTES = timedelta(days=1)
CALIBRATION_LAST = 500
OUTCOMES_PER_ACTION = 5
MOST_SERIES_KEPT = 300
REPORT_HORIZON_HOURS = 24.0


def mode(facade: Facade) -> Mode:
    """Tell whether the loop may act."""
    return views.mode(is_switched_on(facade.in_force, facade.store), facade.settings.kill_switch_path)


@dataclass(frozen=True)
class Standing:
    """What several answers share: read once for a request."""

    now: datetime
    pending: list[ActionView]
    tally: Tally
    plans: int


def standing(facade: Facade) -> Standing:
    """Return what is planned and what was done."""
    actions = facade.store.actions
    tally = facade.running_tally.take_in(actions.finished)
    pending = as_they_stand(facade, actions.pending())
    return Standing(facade.clock(), pending, tally, facade.store.decisions.count_plans())


def status(facade: Facade, known: Standing | None = None) -> Status:
    """Tell how the agent is."""
    store, known = facade.store, known or standing(facade)
    counts, in_force = store.goals.counts(), mode(facade)
    cycles = store.cycles.latest(1, whole=True)
    return Status(
        agent=facade.settings.agent.name,
        running=all(check() for check in facade.checks.values()),
        uptime_seconds=round((known.now - facade.started_at).total_seconds(), 3),
        started_at=facade.started_at,
        active_goals=views.open_count(counts),
        autonomous_mode=in_force.autonomous,
        mode=in_force,
        statistics=views.agent_statistics(
            counts,
            known.tally,
            plans=known.plans,
            cycles=store.cycles.count(),
            series=len(store.samples.known()),
            samples=facade.counters.get("samples"),
            events=facade.counters.get("events"),
        ),
        last_cycle=cycles[0] if cycles else None,
        pending_approvals=sum(views.awaits_approval(view, known.now) for view in known.pending),
        configuration_trouble=facade.trouble,
        version=VERSION,
    )


def goals(facade: Facade, which: GoalFilter = "open") -> GoalsOverview:
    """Return goals, the open ones most important first and the closed ones newest first."""
    store = facade.store
    opened = store.goals.open()
    shown = opened if which != "closed" else []
    if which != "open":
        shown = [*shown, *store.goals.recent(facade.clock() - ALL_TIME)]
    found = [conflict.statement for conflict in conflicts(view.goal for view in opened)]
    return GoalsOverview(total_active_goals=len(opened), goals=[views.goal(view) for view in shown], conflicts=found)


def goal(facade: Facade, goal_id: str) -> GoalDetail:
    """Return one goal with all that belongs to it; raises `goal_unknown`."""
    store = facade.store
    view = store.goals.get(goal_id)
    if view is None:
        raise unknown_goal(goal_id)
    now = facade.clock()
    actions = [detail(facade, action, now) for action in store.actions.of_goal(goal_id)]
    children = [child for child in store.goals.open() if child.goal.parent_id == goal_id]
    return GoalDetail(
        **views.goal(view).model_dump(),
        history=store.goals.transitions(goal_id),
        decisions=store.decisions.of_goal(goal_id),
        plans=store.decisions.plans_of_goal(goal_id),
        actions=actions,
        children=[views.goal(child) for child in children],
    )


def unknown_goal(goal_id: str) -> ForeactError:
    """Say that there is no such goal."""
    remedy = "GET /api/autonomous/goals?state=all lists them."
    return ForeactError("goal_unknown", f"There is no goal {goal_id}.", remedy, status=404)


def as_they_stand(facade: Facade, found: Iterable[ActionView]) -> list[ActionView]:
    """Return actions at the level that is in force for them now: that decides which of them wait for a person."""
    settings = facade.in_force
    return [as_it_stands(settings, facade.store, view) for view in found]


def detail(facade: Facade, view: ActionView, now: datetime) -> ActionDetail:
    """Return an action with its outcomes and its undo."""
    action_id, (view,) = view.action.action_id, as_they_stand(facade, [view])
    outcomes = facade.store.outcomes.of_action(action_id) if view.receipt else []
    undo = facade.store.actions.undo_for(action_id) if view.receipt else None
    shown = views.action(view, outcomes, undo.action.action_id if undo else None, now)
    return shown.model_copy(update={"waits_for": waits_for(facade, [view]).get(action_id)})


def waits_for(facade: Facade, found: list[ActionView]) -> dict[str, str]:
    """Return what the actions wait for that are due and may not be done yet, as the executor last found."""
    open_ids = {view.action.action_id for view in found if view.receipt is None and view.intent is None}
    known: dict[str, str] = facade.store.facts.get(WAITS_FACT, {}) if open_ids else {}
    return {action_id: reason for action_id, reason in known.items() if action_id in open_ids}


def awaiting(facade: Facade, now: datetime) -> list[ActionView]:
    """Return the actions that wait for a person's answer."""
    return [view for view in as_they_stand(facade, facade.store.actions.pending()) if views.awaits_approval(view, now)]


def predictions(facade: Facade, horizon_hours: float, series: str | None = None) -> Predictions:
    """Return the forecasts of the newest cycle, cut to a horizon."""
    found = foreseen(facade)
    wanted = [f for f in found.series if series is None or f.series == series]
    if series is not None and found.series and not wanted:
        remedy = "GET /api/autonomous/predictions lists the series that are forecast."
        raise ForeactError("series_unknown", f"There is no forecast of {series}.", remedy, status=404)
    return views_forecast.predictions(
        horizon_hours,
        found.cycle_id,
        wanted,
        breaches=[b for b in found.breaches if series is None or b.series == series],
        state=found.state,
        calibration=calibration(facade),
        no_forecast="" if found.cycle_id else _no_forecast(facade),
    )


@dataclass(frozen=True)
class Foreseen:
    """What the newest cycle with forecasts foresees; all empty before the first."""

    cycle_id: str | None
    series: list[SeriesForecast]
    breaches: list[Breach]
    state: StatePrediction | None


def foreseen(facade: Facade) -> Foreseen:
    """Return what the newest cycle foresees, from memory unless it is of very many series."""
    store = facade.store

    def read() -> Foreseen:
        cycle_id = store.forecasts.latest_cycle()
        if cycle_id is None:
            return Foreseen(None, [], [], None)
        units = {info.series: info.unit for info in store.samples.known()}
        return Foreseen(
            cycle_id,
            [views_forecast.series(f, units.get(f.series, "")) for f in store.forecasts.of_cycle(cycle_id)],
            list(breaches_in_force(store, cycle_id)),
            store.forecasts.state(cycle_id),
        )

    if len(store.samples.known()) > MOST_SERIES_KEPT:
        return read()
    return store.engine.recall(("forecasts", "series", "breaches", "facts", "states"), "foreseen", read)


def calibration(facade: Facade) -> Calibration:
    """Sum up how the newest resolved forecasts turned out."""
    ledger = facade.store.forecasts

    def read() -> Calibration:
        broken, states = ledger.breach_results(CALIBRATION_LAST), ledger.states.results(CALIBRATION_LAST)
        return views_forecast.calibration(*ledger.coverage(CALIBRATION_LAST), broken, states)

    return facade.store.engine.recall(("errors", "breach_results", "state_results"), "calibration", read)


def _no_forecast(facade: Facade) -> str:
    now = facade.clock()
    spans = facade.store.samples.spans(now - SPAN_FOR_NOTES, now)
    return views_forecast.no_forecast_note(spans, facade.in_force.analysis_interval_s)


def executor_statistics(
    facade: Facade, known: Standing | None = None, learned: dict[str, Any] | None = None
) -> ExecutorStatistics:
    """Tell what was executed, and how it went."""
    known = known or standing(facade)
    return views.executor_statistics(
        known.tally,
        known.pending,
        learned or insights(facade),
        plans=known.plans,
        settings=facade.in_force,
        now=known.now,
    )


def cycle(facade: Facade, cycle_id: str) -> CycleDetail:
    """Return one cycle with its stages; raises `cycle_unknown`."""
    found = facade.store.cycles.get(cycle_id)
    if found is None:
        remedy = "GET /api/autonomous/cycles lists them."
        raise ForeactError("cycle_unknown", f"There is no cycle {cycle_id}.", remedy, status=404)
    return views.cycle(found, facade.store.cycles.stages(cycle_id))


def newest_cycle(facade: Facade) -> CycleDetail | None:
    """Return the newest whole cycle with its stages; None before the first."""
    cycles = facade.store.cycles

    def read() -> CycleDetail | None:
        return next((views.cycle(each, cycles.stages(each.cycle_id)) for each in cycles.latest(1, whole=True)), None)

    return facade.store.engine.recall(("cycles", "cycle_stages"), "newest cycle", read)


def actions(facade: Facade, limit: int) -> Actions:
    """Return the newest actions; three reads however many there are."""
    now, found = facade.clock(), as_they_stand(facade, facade.store.actions.latest(limit))
    outcomes: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in facade.store.outcomes.latest(OUTCOMES_PER_ACTION * limit):
        outcomes[outcome.action_id].append(outcome)
    undone = {view.action.undo_of: view.action.action_id for view in found if view.action.undo_of}
    shown = [views.action(v, outcomes[v.action.action_id], undone.get(v.action.action_id), now) for v in found]
    waits = waits_for(facade, found)
    told = [each.model_copy(update={"waits_for": waits.get(each.action.action_id)}) for each in shown]
    return Actions(actions=told)


def patterns(facade: Facade) -> Patterns:
    """Return the patterns of the newest cycle."""
    return facade.store.engine.recall(("cycles", "patterns", "facts"), "patterns", lambda: _patterns(facade))


def _patterns(facade: Facade) -> Patterns:
    newest = facade.store.cycles.latest(1, whole=True)
    if not newest:
        return Patterns(cycle_id=None, patterns=[], note=views_forecast.NO_CYCLE_NOTE)
    found = list(patterns_in_force(facade.store, newest[0].cycle_id))
    note = None if found else "Nothing recurs yet; patterns need some hours of history, or three events of a kind."
    return Patterns(cycle_id=newest[0].cycle_id, patterns=found, note=note)


def insights(facade: Facade) -> dict[str, Any]:
    """Tell what was learned from the outcomes."""
    told: dict[str, Any] | None = facade.store.facts.get(INSIGHTS_FACT)
    if told is None:
        # Nothing was learned yet, or learning is switched off: then the outcomes speak for themselves.
        told = learned_from(map(OutcomeRow.of, facade.store.outcomes.targets()))
    return told


def report(facade: Facade) -> Report:
    """Return everything at once."""
    ahead, found = predictions(facade, REPORT_HORIZON_HOURS), patterns(facade)
    known, learned = standing(facade), insights(facade)
    agent = status(facade, known)
    return Report(
        generated_at=facade.clock(),
        agent_status=agent,
        goals=goals(facade),
        forecasting_report=ForecastingReport(
            prediction=views_forecast.prediction(ahead.predicted_state),
            breaches=ahead.breaches,
            series=len(ahead.series),
            calibration=ahead.calibration,
            patterns=found.patterns,
            note=ahead.note,
        ),
        executor_state=ExecutorState(statistics=executor_statistics(facade, known, learned), insights=learned),
        insights=learned,
        monitoring=reads_learned.monitoring(facade, learned, known.now),
        last_cycle=newest_cycle(facade),
    )
