"""The data of the pages, gathered in a few reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import numpy as np
from markupsafe import Markup

from api import queries
from api.dashboard import charts
from api.facade import Facade
from api.models.agent import Status
from api.models.forecasts import Predictions, SeriesForecast
from api.models.goals import ActionDetail, GoalDetail, GoalSummary
from api.queries.agent import ReceiptsSoFar
from api.queries.forecasts import Foreseen
from storage.actions import ActionView
from storage.engine.query_cache import CLOCK
from storage.facts import STANDINGS
from storage.records import Alternative, Breach, Cycle, Decision, FloatArray, Objective, Outcome, Pattern
from storage.samples import SeriesInfo
from tasks.interventions.undo import keeps_state, refusal_to_undo
from tasks.objectives.in_force import objectives_in_force

CHARTS_SHOWN = 6
ACTIONS_SHOWN = 12
GOALS_SHOWN = 12
EFFECTS_DRAWN = 6
HORIZON_HOURS = 24.0
MOST_STEPS = 288
RECENT = timedelta(hours=1)
RECENT_STEPS = 120
SETTLED_S = 30.0
"""How long the small charts stand still: less would move them by less than a pixel, and send them anew for it."""


@dataclass(frozen=True)
class Chart:
    """One metric: its drawing, its last value, and its most likely breach."""

    series: str
    unit: str
    last: float | None
    svg: Markup | None
    breach: Breach | None
    remark: str


@dataclass(frozen=True)
class PageCharts:
    """The charts, and how many metrics are left out."""

    charts: list[Chart]
    hidden: int


Shown = Mapping[str, Any]
"""What a template is given, by name."""


@dataclass(frozen=True)
class Page:
    """What the panels of the first page draw on, read when one first asks, so that all of them show the same."""

    facade: Facade

    @cached_property
    def known(self) -> ReceiptsSoFar:
        """Return what is planned and what was done, and the moment of this page."""
        return queries.agent.standing(self.facade)

    @cached_property
    def status(self) -> Status:
        """Return how the agent is."""
        return queries.agent.status(self.facade, self.known)

    @cached_property
    def predictions(self) -> Predictions:
        """Return the forecasts in force."""
        return queries.forecasts.predictions(self.facade, HORIZON_HOURS)

    @cached_property
    def goals(self) -> Sequence[GoalSummary]:
        """Return the most important open goals."""
        standings = self.facade.store.facts.get(STANDINGS) or {}
        views = self.facade.store.goals.open()[:GOALS_SHOWN]
        return [queries.goals.summary(view, standings.get(view.goal.goal_id)) for view in views]

    @cached_property
    def actions(self) -> Sequence[ActionDetail]:
        """Return the newest actions."""
        return queries.goals.latest_actions(self.facade, ACTIONS_SHOWN).actions

    @cached_property
    def waiting(self) -> Sequence[ActionView]:
        """Return the actions that wait for a person."""
        return queries.goals.waiting_among(self.known.pending, self.known.now)

    @cached_property
    def insights(self) -> dict[str, Any]:
        """Return what was learned about the actions."""
        return queries.agent.insights(self.facade)


def page_charts(facade: Facade) -> PageCharts:
    """Return the charts as drawn within the last seconds: drawing takes longer than all the rest of the page.

    What is recorded meanwhile is seen with the next ones; metrics may come many times a second.
    """

    def draw() -> PageCharts:
        now_s = facade.clock().timestamp() // SETTLED_S * SETTLED_S
        foreseen = queries.forecasts.predictions(facade, HORIZON_HOURS)
        return PageCharts(*_charts(facade, foreseen, datetime.fromtimestamp(now_s, UTC)))

    return facade.store.engine.recall((CLOCK,), "charts", draw)


def turn_charts(facade: Facade, cycle: Cycle) -> list[Chart]:
    """Return the charts of the metrics that mattered most to a turn, as it foresaw them."""
    seen = queries.forecasts.foreseen_by(facade, cycle.cycle_id)
    near = [queries.forecasts.cut(each, HORIZON_HOURS * 3_600) for each in seen.series]
    return _charts(facade, replace(seen, series=near), cycle.tick)[0]


def _charts(facade: Facade, foreseen: Predictions | Foreseen, now: datetime) -> tuple[list[Chart], int]:
    """Draw the metrics that matter most: those whose objective may break, then those with an objective."""
    in_force = objectives_in_force(facade.in_force, facade.store)
    objectives = [each for each in in_force if each.kind.is_drawn_as_line]
    if foreseen.series:
        forecasts = {each.series: each for each in foreseen.series}
        ranked = sorted(forecasts, key=lambda n: (bool(forecasts[n].refusal), *_rank(n, foreseen.breaches, objectives)))
        shown = ranked[:CHARTS_SHOWN]
        return _forecast_charts(facade, [forecasts[name] for name in shown], foreseen, objectives, now), len(
            ranked
        ) - len(shown)
    spans = facade.store.samples.spans(now - RECENT, now)
    spans = sorted(spans, key=lambda info: _rank(info.series, (), objectives))
    shown_spans = spans[:CHARTS_SHOWN]
    return _history_charts(facade, shown_spans, objectives, now), len(spans) - len(shown_spans)


def _rank(series: str, breaches: Sequence[Breach], objectives: Sequence[Objective]) -> tuple[float, int, str]:
    risk = max((breach.probability for breach in breaches if breach.series == series), default=0.0)
    return -round(risk, 2), -sum(objective.matches(series) for objective in objectives), series


def _forecast_charts(
    facade: Facade,
    shown: Sequence[SeriesForecast],
    foreseen: Predictions | Foreseen,
    objectives: Sequence[Objective],
    now: datetime,
) -> list[Chart]:
    drawn = []
    for step_s in sorted({each.step_seconds for each in shown}):
        alike = [each for each in shown if each.step_seconds == step_s]
        steps = min(MOST_STEPS, max((len(each.point) for each in alike), default=0) or RECENT_STEPS)
        frame = facade.store.samples.frame([each.series for each in alike], now, step_s, steps)
        history_s = charts.moments_s(now, step_s, steps)
        drawn += [
            _chart(each.series, each.unit, now, history_s, frame.row(each.series), each, foreseen.breaches, objectives)
            for each in alike
        ]
    order = {each.series: place for place, each in enumerate(shown)}
    return sorted(drawn, key=lambda chart: order[chart.series])


def _history_charts(
    facade: Facade, spans: Sequence[SeriesInfo], objectives: Sequence[Objective], now: datetime
) -> list[Chart]:
    ages_s = [(now - info.first).total_seconds() for info in spans if info.first]
    step_s = max([max(ages_s, default=0.0) / RECENT_STEPS, *(info.interval_s for info in spans), 1.0])
    frame = facade.store.samples.frame([info.series for info in spans], now, step_s, RECENT_STEPS)
    history_s = charts.moments_s(now, step_s, RECENT_STEPS)
    return [
        _chart(info.series, info.unit, now, history_s, frame.row(info.series), None, (), objectives) for info in spans
    ]


def _chart(
    series: str,
    unit: str,
    now: datetime,
    history_s: FloatArray,
    history: FloatArray,
    forecast: SeriesForecast | None,
    breaches: Sequence[Breach],
    objectives: Sequence[Objective],
) -> Chart:
    points = forecast.point if forecast else []
    first = np.flatnonzero(np.isfinite(history))
    start = int(first[0]) if first.size else 0
    lines = charts.Lines(
        unit=unit,
        now_s=now.timestamp(),
        history_s=history_s[start:],
        history=history[start:],
        future_s=charts.epoch_s(forecast.timestamps if forecast else []),
        point=np.array(points, dtype=float),
        low=np.array(forecast.low if forecast else [], dtype=float),
        high=np.array(forecast.high if forecast else [], dtype=float),
        bounds=tuple((each.name, each.bound) for each in objectives if each.matches(series)),
    )
    risks = sorted((each for each in breaches if each.series == series), key=lambda each: -each.probability)
    return Chart(
        series=series,
        unit=unit,
        last=float(history[first[-1]]) if first.size else None,
        svg=charts.forecast_chart(lines, f"{series}: history and forecast") if first.size > 1 or points else None,
        breach=risks[0] if risks else None,
        remark=_remark(forecast),
    )


def _remark(forecast: SeriesForecast | None) -> str:
    if forecast is None:
        return ""
    return forecast.refusal or "; ".join(forecast.warnings)


def patterns_behind(facade: Facade, because: Mapping[str, Any]) -> list[Pattern]:
    """Return the patterns for which a goal was set, as they were found last."""
    inputs = because.get("inputs") or {}
    named = [inputs[name] for name in ("pattern", "effect") if inputs.get(name)]
    return [each for each in map(facade.store.patterns.newest, named) if each is not None]


def margin(decision: Decision) -> tuple[Alternative, float] | None:
    """Return the best alternative that was not chosen, and how much more the chosen one was worth; None without one."""
    chosen = (decision.chosen.action, decision.chosen.target, decision.chosen.params)
    others = [each for each in decision.alternatives if (each.action, each.target, each.params) != chosen]
    best = max(others, key=lambda each: each.value, default=None)
    return None if best is None else (best, decision.chosen.value - best.value)


def outcomes_to_draw(goal: GoalDetail) -> list[Outcome]:
    """Return the newest outcomes on the targets and guards of a goal's actions, newest first."""
    every = [each for action in goal.actions for each in action.outcomes if each.role != "side_effect"]
    return sorted(every, key=lambda each: each.measured_at, reverse=True)[:EFFECTS_DRAWN]


def can_be_undone(action: ActionDetail) -> bool:
    """Tell whether a person may ask for an action to be undone, and nobody has."""
    view = ActionView(action.action, action.approval, action.intent, action.receipt)
    return action.undone_by is None and refusal_to_undo(view, is_reversible=keeps_state(view)) is None


def target_outcome(action: ActionDetail) -> Outcome | None:
    """Return the outcome on the metric that an action aimed at."""
    return next((each for each in action.outcomes if each.role == "target"), None)
