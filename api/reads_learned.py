"""Questions about outcomes: one by one, as pictures, and as the six figures by which the loop itself is watched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from markupsafe import Markup

from api.dashboard.outcome_chart import OutcomeLines, outcome_chart
from api.dashboard.words import value
from api.deps import Facade
from api.models.learned import Monitoring
from api.models.outcomes import OutcomeDetail, Outcomes
from storage.errors import ForeactError
from storage.records import FloatArray, Outcome
from storage.table import whole_day
from tasks.learn.monitoring import GoalTrace, monitoring_figures
from tasks.learn.outcomes import OutcomeRow

WINDOW = timedelta(days=1)
MOST_GOALS = 5_000
PICTURE_SPANS = 3
FEWEST_BEFORE_STEPS = 40
MOST_BEFORE_STEPS = 600


def monitoring(facade: Facade, learned: Mapping[str, Any], now: datetime) -> Monitoring:
    """Return the monitoring figures of the last day; convergence is what the newest learn stage published."""
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


def outcomes(facade: Facade, limit: int, action_id: str | None = None) -> Outcomes:
    """Return the newest outcomes, or all of one action, side effects included."""
    store = facade.store.outcomes
    return Outcomes(outcomes=store.of_action(action_id)[:limit] if action_id else store.latest(limit))


def outcome(facade: Facade, outcome_id: str) -> OutcomeDetail:
    """Return one outcome with what was fixed before its act; raises `outcome_unknown`."""
    found = _existing(facade, outcome_id)
    return OutcomeDetail(
        outcome=found,
        estimand=facade.store.outcomes.estimand(found.action_id),
        picture=f"/api/autonomous/outcomes/{outcome_id}/picture",
    )


def picture(facade: Facade, outcome_id: str) -> str:
    """Return the picture of an outcome as an SVG document; raises `outcome_unknown`."""
    return outcome_chart(outcome_lines(facade, _existing(facade, outcome_id)), stands_alone=True)


def drawn(facade: Facade, outcome: Outcome) -> Markup:
    """Return the picture of an outcome as a part of a page."""
    return outcome_chart(outcome_lines(facade, outcome))


def target_pictures(facade: Facade, outcomes: Sequence[Outcome], most: int = 6) -> list[Markup]:
    """Return the pictures of the newest outcomes on targets and guards, newest first."""
    shown = sorted((each for each in outcomes if each.role != "side_effect"), key=lambda each: each.measured_at)
    return [drawn(facade, each) for each in reversed(shown[-most:])]


def _existing(facade: Facade, outcome_id: str) -> Outcome:
    found = facade.store.outcomes.get(outcome_id)
    if found is None:
        remedy = "GET /api/autonomous/outcomes lists them."
        raise ForeactError("outcome_unknown", f"There is no outcome {outcome_id}.", remedy, status=404)
    return found


def outcome_lines(facade: Facade, outcome: Outcome) -> OutcomeLines:
    """Gather what the picture of an outcome shows; what is no longer kept, or never was, is left blank."""
    evidence = outcome.evidence
    step_s = float(evidence.get("step_s") or max(1.0, outcome.horizon_s / 10))
    expected, low, high = (_numbers(evidence.get(name)) for name in ("forecast", "low", "high"))
    low, high = (band if len(band) == len(expected) else np.full(len(expected), np.nan) for band in (low, high))
    steps = len(expected) or max(1, round(outcome.horizon_s / step_s))
    first_at = datetime.fromisoformat(evidence["first_at"]) if evidence.get("first_at") else None
    first_at = first_at or outcome.acted_at + timedelta(seconds=step_s)
    end = first_at + timedelta(seconds=step_s * (steps - 1))
    before = min(max(PICTURE_SPANS * steps, FEWEST_BEFORE_STEPS), MOST_BEFORE_STEPS)
    frame = facade.store.samples.frame([outcome.series], end, step_s, before + steps)
    seen_s = end.timestamp() - step_s * np.arange(before + steps, dtype=np.float64)[::-1]
    return OutcomeLines(
        title=f"{outcome.action} on {outcome.series}: {outcome.verdict}",
        caption=_caption(outcome),
        verdict=str(outcome.verdict),
        unit="",
        acted_s=outcome.acted_at.timestamp(),
        seen_s=seen_s,
        seen=frame.row(outcome.series),
        after_s=seen_s[-steps:] if len(expected) else np.zeros(0),
        expected=expected,
        low=low,
        high=high,
        window_steps=int(evidence.get("window_steps") or 0),
        mean_expected=_number(evidence.get("expected")),
        estimate=_number(outcome.estimate),
        effect_low=_number(outcome.low),
        effect_high=_number(outcome.high),
    )


def _caption(outcome: Outcome) -> str:
    if outcome.low is None or outcome.estimate is None:
        return f"{outcome.verdict}: {outcome.reason}"
    ratio = outcome.evidence.get("relative_ratio")
    share = f" ({ratio:+.1%})" if isinstance(ratio, float) else ""
    return (
        f"changed by {value(outcome.estimate)}{share}, 90 % interval {value(outcome.low)} to {value(outcome.high)}; "
        f"{outcome.reason}"
    )


def _numbers(values: Sequence[float | None] | None) -> FloatArray:
    return np.array([np.nan if each is None else each for each in values or ()], dtype=np.float64)


def _number(amount: object) -> float:
    return float(amount) if isinstance(amount, int | float) else float("nan")
