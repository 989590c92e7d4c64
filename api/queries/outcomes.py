"""Questions about outcomes: one by one, as pictures, and as the six figures by which the loop itself is watched."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from api.facade import Facade
from api.models.learned import Monitoring
from api.models.outcomes import OutcomeDetail, Outcomes
from storage.errors import ForeactError
from storage.records import Outcome
from storage.table import whole_day

WINDOW = timedelta(days=1)
MOST_GOALS = 5_000


def monitoring(facade: Facade, learned: Mapping[str, Any], now: datetime) -> Monitoring:
    """Return the monitoring figures of the last day; convergence is what the newest learn stage published."""
    # Loaded where it is needed: a command that asks no more than the status is quick.
    from tasks.learn.outcome_rows import OutcomeRow
    from tasks.learn.reports.monitoring import GoalTrace, monitoring_figures

    since = now - WINDOW
    views = [*facade.store.goals.open(), *facade.store.goals.recent(since, MOST_GOALS)]
    traces = [
        GoalTrace(view.goal.created_at.timestamp(), view.state, None if view.is_open else view.since.timestamp())
        for view in views
    ]
    # Asked for from the beginning of a day, they are the same all day and come from memory.
    measured = [each for each in facade.store.outcomes.targets(whole_day(since)) if each.measured_at >= since]
    figures = monitoring_figures(
        traces,
        map(OutcomeRow.of, measured),
        now_s=now.timestamp(),
        window_s=WINDOW.total_seconds(),
        convergence=learned.get("convergence", ()),
    )
    return Monitoring.model_validate(figures)


def latest(facade: Facade, limit: int, action_id: str | None = None) -> Outcomes:
    """Return the newest outcomes, or all of one action, side effects included."""
    store = facade.store.outcomes
    return Outcomes(outcomes=store.of_action(action_id)[:limit] if action_id else store.latest(limit))


def detail(facade: Facade, outcome_id: str) -> OutcomeDetail:
    """Return one outcome with what was fixed before its act; raises `outcome_unknown`."""
    outcome = existing(facade, outcome_id)
    return OutcomeDetail(
        outcome=outcome,
        estimand=facade.store.outcomes.estimand(outcome.action_id),
        picture=f"/api/autonomous/outcomes/{outcome_id}/picture",
    )


def existing(facade: Facade, outcome_id: str) -> Outcome:
    outcome = facade.store.outcomes.get(outcome_id)
    if outcome is None:
        remedy = "GET /api/autonomous/outcomes lists them."
        raise ForeactError("outcome_unknown", f"There is no outcome {outcome_id}.", remedy, status=404)
    return outcome
