"""The lists: goals, actions, metrics, objectives, patterns, decisions, outcomes, cycles, and the search over all."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse

from api import commands, queries
from api.dashboard.paging import ROWS_A_PAGE, PageOfRows, cut, found, offset_of
from api.dashboard.rendering import Pages
from api.dependencies import FacadeDep
from api.facade import Facade
from api.models.goals import ActionDetail, GoalSummary
from api.models.history import ObjectiveView
from storage.facts import STANDINGS
from storage.records import Autonomy, GoalState, Pattern
from tasks.objectives.in_force import objectives_in_force

Text = Annotated[str, Query(max_length=200, description="What the rows contain")]
Number = Annotated[int, Query(ge=1, le=100_000, description="Which page, from 1")]
FOUND_OF_EACH = 8
MOST_PAIRS = 50


def add(router: APIRouter, pages: Pages) -> None:
    """Add the lists to a router."""
    _add_goals_and_actions(router, pages)
    _add_what_is_watched(router, pages)
    _add_what_was_done(router, pages)


def _add_goals_and_actions(router: APIRouter, pages: Pages) -> None:
    @router.get("/search")
    def search(facade: FacadeDep, q: Text = "") -> HTMLResponse:
        """Find a text in all that is recorded."""
        pages_found = _everywhere(facade, q.strip()) if q.strip() else {}
        shown = {title: rows for title, rows in pages_found.items() if rows.total}
        return pages.page(facade, "search.html", q=q, found=shown, most=FOUND_OF_EACH, in_force=in_force(facade))

    @router.get("/goals")
    def goals(
        facade: FacadeDep, q: Text = "", state: Text = "", objective: Text = "", page: Number = 1
    ) -> HTMLResponse:
        """List goals, newest first."""
        rows, states = goals_page(facade, q, state, page, objective=objective), ["open", *GoalState]
        return pages.page(facade, "goals.html", page=rows, q=q, state=state, states=states, objective=objective)

    @router.get("/actions")
    def actions(facade: FacadeDep, q: Text = "", page: Number = 1) -> HTMLResponse:
        """List actions, newest first."""
        return pages.page(facade, "actions.html", page=actions_page(facade, q, page), q=q)


def _add_what_is_watched(router: APIRouter, pages: Pages) -> None:
    @router.get("/series")
    def series(facade: FacadeDep, q: Text = "", page: Number = 1) -> HTMLResponse:
        """List metrics, those likely to break an objective first."""
        rows = cut(queries.series.listed(facade, q), page, "/series", (("q", q),))
        return pages.page(facade, "series_list.html", page=rows, q=q)

    @router.get("/objectives")
    def objectives(
        facade: FacadeDep,
        q: Text = "",
        page: Number = 1,
        metric: Annotated[str, Query(max_length=10_000, description="The metric that another one is set for")] = "",
    ) -> HTMLResponse:
        """List the objectives in force, with the form that sets another one."""
        rows = cut(_objectives(facade, q), page, "/objectives", (("q", q),))
        return pages.page(facade, "objectives.html", page=rows, q=q, metric=metric)

    @router.get("/patterns")
    def patterns(facade: FacadeDep, q: Text = "", page: Number = 1) -> HTMLResponse:
        """List the patterns in force, strongest first."""
        rows = cut(_patterns(facade, q), page, "/patterns", (("q", q),))
        return pages.page(facade, "patterns.html", page=rows, q=q)


def _add_what_was_done(router: APIRouter, pages: Pages) -> None:
    @router.get("/composed-plans")
    def composed_plans(facade: FacadeDep) -> HTMLResponse:
        """Show sequences of actions step by step, what is declared for them, and what pairs add."""
        return pages.page(facade, "composed.html", told=queries.sequences.composed_plans(facade))

    @router.get("/late-effects")
    def late_effects(facade: FacadeDep) -> HTMLResponse:
        """Show what was learned of effects that come late or add up, and where it would do otherwise."""
        return pages.page(facade, "late.html", told=queries.late_effects.late_effects(facade))

    @router.get("/rollout")
    def rollout(facade: FacadeDep, q: Text = "", page: Number = 1) -> HTMLResponse:
        """Show how far each action may go, and what is missing for the next level."""
        told = queries.rollout.rollout(facade)
        pairs = [each for each in told.pairs if _contains(q, each.action, each.goal_type or "")]
        rows = cut([each for each in pairs if each.goal_type], page, "/rollout", (("q", q),))
        unused = [each for each in pairs if not each.goal_type]
        return pages.page(facade, "rollout.html", page=rows, q=q, unused=unused, note=told.note, levels=list(Autonomy))

    @router.get("/learning")
    def learning(facade: FacadeDep) -> HTMLResponse:
        """Show what was learned: rates, effects, beliefs beside what came, and how far each action may go."""
        learned = queries.agent.insights(facade)
        pairs = [each for each in queries.rollout.rollout(facade).pairs if each.goal_type]
        return pages.page(facade, "learning.html", insights=learned, pairs=pairs[:MOST_PAIRS])

    @router.get("/decisions")
    def decisions(facade: FacadeDep, q: Text = "", chosen: Text = "", page: Number = 1) -> HTMLResponse:
        """List what was decided, newest first; with `chosen` = "act" only where something was to be done."""
        rows, total = facade.store.decisions.page(q.strip(), ROWS_A_PAGE, offset_of(page), is_act=chosen == "act")
        asked = (("q", q), ("chosen", chosen))
        shown = PageOfRows(rows, total, page, "/decisions", asked)
        return pages.page(facade, "decisions.html", page=shown, q=q, chosen=chosen)

    @router.get("/outcomes")
    def outcomes(facade: FacadeDep, q: Text = "", page: Number = 1) -> HTMLResponse:
        """List outcomes, newest first."""
        rows = found(facade.store.outcomes.page, q, page, "/outcomes")
        return pages.page(facade, "outcomes.html", page=rows, q=q)

    @router.get("/cycles")
    def cycles(facade: FacadeDep, q: Text = "", page: Number = 1) -> HTMLResponse:
        """List the turns of the loop, newest first."""
        return pages.page(facade, "cycles.html", page=found(facade.store.cycles.page, q, page, "/cycles"), q=q)


def goals_page(
    facade: Facade, text: str, state: str, number: int, most: int = ROWS_A_PAGE, objective: str = ""
) -> PageOfRows[GoalSummary]:
    """Return a page of the goals that contain a text, in a state; with an objective only those set for it."""
    views, total = facade.store.goals.page(text.strip(), state, most, offset_of(number), objective)
    standings = facade.store.facts.get(STANDINGS) or {}
    rows = [queries.goals.summary(view, standings.get(view.goal.goal_id)) for view in views]
    return PageOfRows(rows, total, number, "/goals", (("q", text), ("state", state), ("objective", objective)))


def actions_page(facade: Facade, text: str, number: int, most: int = ROWS_A_PAGE) -> PageOfRows[ActionDetail]:
    """Return a page of the actions that contain a text."""
    views, now = found(facade.store.actions.page, text, number, "/actions", most), facade.clock()
    rows = [queries.goals.action_detail(facade, view, now) for view in views.rows]
    return PageOfRows(rows, views.total, number, views.address, views.asked)


def _objectives(facade: Facade, text: str) -> list[ObjectiveView]:
    views = commands.objectives.listed(facade).objectives
    return [each for each in views if _contains(text, each.objective.name, each.objective.metric)]


def in_force(facade: Facade) -> set[str]:
    """Return the names of the objectives in force: those have a page."""
    return {each.name for each in objectives_in_force(facade.in_force, facade.store)}


def _patterns(facade: Facade, text: str) -> list[Pattern]:
    known = queries.agent.patterns(facade).patterns
    return [each for each in known if _contains(text, each.kind, each.subject, each.statement)]


def _contains(text: str, *fields: str) -> bool:
    return any(text.strip().casefold() in field.casefold() for field in fields)


def _everywhere(facade: Facade, text: str) -> dict[str, PageOfRows[Any]]:
    """Return what contains a text, by the heading under which it is shown."""
    asked, store, most = (("q", text),), facade.store, FOUND_OF_EACH
    return {
        "Metrics": cut(queries.series.listed(facade, text), 1, "/series", asked),
        "Goals": goals_page(facade, text, "", 1, most),
        "Actions": actions_page(facade, text, 1, most),
        "Objectives": cut(_objectives(facade, text), 1, "/objectives", asked),
        "Patterns": cut(_patterns(facade, text), 1, "/patterns", asked),
        "Decisions": found(store.decisions.page, text, 1, "/decisions", most),
        "Outcomes": found(store.outcomes.page, text, 1, "/outcomes", most),
        "Cycles": found(store.cycles.page, text, 1, "/cycles", most),
        "Audit trail": found(store.audit.page, text, 1, "/audit", most),
    }
