"""A page for every record: goal, action, decision, outcome, pattern, objective, cycle, with links both ways."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response

from api import commands, queries
from api.dashboard import answer_form, outcome_pictures, page_data
from api.dashboard.chart_data import as_csv, as_json
from api.dashboard.forecast_picture import forecast_picture
from api.dashboard.list_pages import goals_page
from api.dashboard.rendering import CHART_POLICY, HEADERS_OF_PICTURE, Pages
from api.dashboard.series_pages import chart_of_goal
from api.dependencies import FacadeDep
from storage.errors import ForeactError

MOST_SERIES = 100
MOST_GOALS = 20


def add(router: APIRouter, pages: Pages) -> None:
    """Add the pages of records to a router."""
    _add_goal_and_action(router, pages)
    _add_decision_and_outcome(router, pages)
    _add_what_is_wanted(router, pages)


def _add_goal_and_action(router: APIRouter, pages: Pages) -> None:
    @router.get("/goals/{goal_id}")
    @pages.refusing
    def goal(goal_id: str, facade: FacadeDep) -> HTMLResponse:
        """Show one goal: why it was set, what was decided, done and changed."""
        detail = queries.goals.detail(facade, goal_id)
        return pages.page(
            facade,
            "goal.html",
            policy=CHART_POLICY,
            goal=detail,
            metric=chart_of_goal(facade, detail),
            outcomes=page_data.outcomes_to_draw(detail),
            cycle_id=facade.store.goals.cycle_of(goal_id),
            patterns=page_data.patterns_behind(facade, detail.because),
        )

    @router.get("/actions/{action_id}")
    @pages.refusing
    def action(action_id: str, facade: FacadeDep) -> HTMLResponse:
        """Show one action with its receipt and what it changed."""
        view = commands.operator.existing(facade, action_id)
        detail = queries.goals.action_detail(facade, view, facade.clock())
        fields = answer_form.fields_of(facade, detail.action) if detail.needs_approval else []
        return pages.page(
            facade,
            "action.html",
            policy=CHART_POLICY,
            detail=detail,
            target=page_data.target_outcome(detail),
            fields=fields,
            can_be_told=queries.estimands.said(facade, view),
            cycle_id=facade.store.actions.cycle_of(action_id),
        )


def _add_decision_and_outcome(router: APIRouter, pages: Pages) -> None:
    @router.get("/decisions/{decision_id}")
    @pages.refusing
    def decision(decision_id: str, facade: FacadeDep) -> HTMLResponse:
        """Show one decision: what was chosen, instead of what, and why."""
        record = queries.goals.decision(facade, decision_id)
        planned = [v for v in facade.store.actions.of_goal(record.goal_id) if v.action.decision_id == decision_id]
        sequence_id = next((view.action.sequence_id for view in planned if view.action.sequence_id), "")
        return pages.page(
            facade,
            "decision.html",
            decision=record,
            goal=facade.store.goals.get(record.goal_id),
            actions=[view.action for view in planned],
            sequence=queries.goals.sequence(facade, sequence_id, facade.clock()),
            cycle_id=facade.store.decisions.cycle_of(decision_id),
            margin=page_data.margin(record),
        )

    @router.get("/outcomes/{outcome_id}")
    @pages.refusing
    def outcome(outcome_id: str, facade: FacadeDep) -> HTMLResponse:
        """Show one outcome: what was seen, what would have been, and the difference."""
        detail = queries.outcomes.detail(facade, outcome_id)
        return pages.page(
            facade,
            "outcome.html",
            policy=CHART_POLICY,
            outcome=detail.outcome,
            estimand=detail.estimand,
            cycle_id=facade.store.outcomes.cycle_of(outcome_id),
        )

    @router.get("/outcomes/{outcome_id}/data")
    def data(outcome_id: str, facade: FacadeDep) -> Response:
        """Return what the chart of an outcome shows."""
        return as_json(outcome_pictures.chart_of(facade, queries.outcomes.existing(facade, outcome_id)))

    @router.get("/outcomes/{outcome_id}/data.csv")
    def table(outcome_id: str, facade: FacadeDep) -> Response:
        """Return the same as a table."""
        return as_csv(outcome_pictures.chart_of(facade, queries.outcomes.existing(facade, outcome_id)), outcome_id)


def _add_what_is_wanted(router: APIRouter, pages: Pages) -> None:
    @router.get("/patterns/{pattern_id}")
    @pages.refusing
    def pattern(pattern_id: str, facade: FacadeDep) -> HTMLResponse:
        """Show one pattern with its evidence."""
        record = facade.store.patterns.newest(pattern_id)
        if record is None:
            raise ForeactError("pattern_unknown", f"There is no pattern {pattern_id}.", status=404)
        is_series = any(info.series == record.subject for info in facade.store.samples.known())
        return pages.page(
            facade,
            "pattern.html",
            pattern=record,
            is_series=is_series,
            goals=[queries.goals.summary(view) for view in facade.store.goals.of_pattern(pattern_id, MOST_GOALS)],
            cycle_id=facade.store.patterns.cycle_of(pattern_id),
        )

    @router.get("/objectives/{name}")
    @pages.refusing
    def objective(name: str, facade: FacadeDep) -> HTMLResponse:
        """Show one objective: its bound, its metrics with their risks, and the goals set for it."""
        views = commands.objectives.listed(facade).objectives
        view = next((each for each in views if each.objective.name == name), None)
        if view is None:
            raise ForeactError("objective_unknown", f"There is no objective {name}.", status=404)
        risks = {each.series: each for each in queries.forecasts.foreseen(facade).breaches if each.objective == name}
        known = [info for info in facade.store.samples.known() if view.objective.matches(info.series)]
        known.sort(key=lambda info: -risks[info.series].probability if info.series in risks else 0.0)
        goals = goals_page(facade, "", "", 1, objective=name)
        return pages.page(
            facade,
            "objective.html",
            view=view,
            series=known[:MOST_SERIES],
            total=len(known),
            risks=risks,
            goals=goals,
            budgets=queries.shares.about(facade, name),
        )

    @router.get("/cycles/{cycle_id}")
    @pages.refusing
    def cycle(cycle_id: str, facade: FacadeDep) -> HTMLResponse:
        """Show one turn of the loop, stage by stage, with what it decided and found."""
        detail = queries.agent.cycle(facade, cycle_id)
        store = facade.store
        return pages.page(
            facade,
            "cycle.html",
            detail=detail,
            goals=store.goals.of_cycle(cycle_id, MOST_SERIES),
            decisions=store.decisions.of_cycle(cycle_id),
            actions=store.actions.of_cycle(cycle_id, MOST_SERIES),
            outcomes=store.outcomes.of_cycle(cycle_id, MOST_SERIES),
            patterns=store.patterns.of_cycle(cycle_id)[:MOST_SERIES],
        )

    @router.get("/cycles/{cycle_id}/forecast.svg")
    def forecast(cycle_id: str, facade: FacadeDep) -> Response:
        """Draw what one turn of the loop foresaw, as a picture that other programs show."""
        drawn = forecast_picture(facade, queries.agent.cycle(facade, cycle_id).cycle)
        return Response(drawn, media_type="image/svg+xml", headers=HEADERS_OF_PICTURE)
