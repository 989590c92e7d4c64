"""The stage gathers what the planner is asked: amounts, responses, what was learned, what is still taking effect."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

from flows.cycle import bare
from flows.simulate import TickClock
from flows.wiring import live_context
from handlers import ActionHandler, from_callable
from settings import ActionSettings, Settings, load_settings
from storage import Store, open_store
from storage.facts import INSIGHTS
from storage.records import (
    Event,
    GoalState,
    GoalType,
    Intent,
    ObjectiveKind,
    Receipt,
    ReceiptStatus,
    Sample,
    Transition,
    stable_id,
)
from tasks.configured_actions import configured_actions
from tasks.context import Context
from tasks.drivers.in_force import breaches_in_force
from tasks.forecast.task import forecast
from tasks.goals.task import decide, evidence, goals
from tasks.monitor.task import monitor
from tasks.plan import PlanProblem, Realised
from tasks.plan.task import plan, problem
from tests.flows.worlds import DRIVEN, MINUTE, START
from tests.tasks.plan.worlds import goal_of

LOAD = DRIVEN.model_copy(update={"metric": "busy", "denominator": "workers"})


class Rising:
    """Arrivals that climb under three workers: the load per worker crosses 0.8 within the hour."""

    def __init__(self) -> None:
        self.minute = 0

    def observe(self, tick: datetime) -> Iterator[Sample | Event]:
        while START + (self.minute + 1) * MINUTE <= tick:
            self.minute += 1
            arrivals = 10 + self.minute * 0.4 + np.sin(self.minute)
            for name, value in (("arrivals", arrivals), ("busy", 0.05 * arrivals), ("workers", 3.0)):
                yield Sample(metric=name, value=float(value), ts=START + self.minute * MINUTE)


class Rig:
    """A store, a rising load and one handler that sets the number of workers."""

    def __init__(self, folder: Any, **more: Any) -> None:
        self.clock = TickClock(START)
        self.store: Store = open_store(clock=self.clock)
        self.rising = Rising()
        self.calls: list[dict[str, Any]] = []
        self.handler: ActionHandler = from_callable(
            "scale", self._scale, default_level="auto", metrics=("busy/workers",), sets="workers", unit_cost=0.02,
            latency_s=300.0, cooldown_s=0.0, runs_in_process=True, risk="low",
        )  # fmt: skip
        self.settings: Settings = load_settings(
            folder,
            home=folder,
            use_default_objectives=False,
            objectives=(LOAD,),
            agent={"analysis_interval_minutes": 1},
            actions={"scale": {"sets": "workers", "amounts": {"least": 1, "most": 8}, "cooldown_seconds": 0}},
            **more,
        )

    def _scale(self, params: dict[str, Any], goal_id: str) -> dict[str, bool]:
        self.calls.append(params)
        return {"success": True}

    def context(self, minute: int) -> Context:
        tick = START + minute * MINUTE
        self.clock.now = tick
        self.store.samples.append([each for each in self.rising.observe(tick) if isinstance(each, Sample)])
        actions = {"scale": self.handler}
        return live_context(self.settings, self.store, tick, "simulation", actions=actions, now=self.clock)

    def asked(self, minute: int) -> PlanProblem:
        context = self.context(minute)
        frames = bare(monitor, context)
        outlook = bare(forecast, context, frames)
        return problem(context, bare(goals, context, outlook, ()), outlook)


@pytest.fixture
def rig(tmp_path: Any) -> Rig:
    return Rig(tmp_path)


def test_the_ratio_of_two_metrics_is_recorded_once_a_step_and_forecast_like_any_other(rig: Rig) -> None:
    asked = rig.asked(92)
    assert "busy/workers" in asked.paths
    bare(monitor, rig.context(93))
    frame = rig.store.samples.frame(["busy/workers", "busy"], START + 93 * MINUTE, 60.0, 93)
    assert frame.row("busy/workers") == pytest.approx(frame.row("busy") / 3.0)
    (span,) = [info for info in rig.store.samples.spans(START, START + 93 * MINUTE) if info.series == "busy/workers"]
    assert span.count == 93


def test_response_and_capacity_are_fitted_to_what_was_recorded(rig: Rig) -> None:
    asked = rig.asked(92)
    assert asked.capacities == {"workers": 3.0}
    at_six = asked.responses["load"].metric(np.array([60.0]), np.array([6.0]))
    assert at_six == pytest.approx(0.05 * 60 / 6, rel=0.05)


def test_a_goal_is_raised_on_what_the_driver_foretells_and_amounts_are_offered_for_it(rig: Rig) -> None:
    asked = rig.asked(92)
    (view,) = asked.goals
    assert (view.goal.objective, view.goal.series) == ("load", "busy/workers")
    assert [each.params["amount"] for each in asked.candidates[view.goal.goal_id]] == list(range(1, 9))
    assert asked.traits["scale"].unit_cost == 0.02


def test_what_is_shown_of_a_driven_objective_is_what_its_driver_foretells(rig: Rig) -> None:
    context = rig.context(92)
    outlook = bare(forecast, context, bare(monitor, context))
    bare(goals, context, outlook, ())
    (shown,) = breaches_in_force(rig.store, context.cycle_id)
    (used,) = evidence(context, outlook, ()).breaches
    assert shown == used
    assert shown not in outlook.breaches
    assert breaches_in_force(rig.store, "another") == ()


def test_latency_and_cost_of_the_configuration_go_before_what_an_action_says_of_itself(rig: Rig) -> None:
    (offered, *_) = rig.asked(92).candidates.popitem()[1]
    assert offered.latency_s == 300.0
    scale = rig.settings.actions["scale"].model_dump() | {"latency_seconds": 120, "cost": 0.01}
    rig.settings = rig.settings.model_copy(update={"actions": {"scale": ActionSettings(**scale)}})
    (offered, *_) = rig.asked(93).candidates.popitem()[1]
    assert (offered.latency_s, offered.cost) == (120.0, 0.01)


def test_effects_of_the_configuration_go_before_what_an_action_says_of_itself(rig: Rig) -> None:
    scale = rig.settings.actions["scale"].model_dump() | {"expected_change": {"busy/workers": -0.4}}
    rig.settings = rig.settings.model_copy(update={"actions": {"scale": ActionSettings(**scale)}})
    context = rig.context(92)
    handler = context.actions["scale"]
    assert (dict(handler.expected_effect), dict(handler.expected_change)) == ({}, {"busy/workers": -0.4})
    (offered, *_) = rig.asked(93).candidates.popitem()[1]
    assert (offered.expected_effect, offered.expected_change) == ({}, {"busy/workers": -0.4})


def test_an_action_serves_the_metrics_and_goals_that_the_configuration_names(rig: Rig) -> None:
    for said in ({"metrics": "other_*"}, {"goal_types": ["COST_REDUCTION"]}):
        scale = rig.settings.actions["scale"].model_dump() | said
        changed = rig.settings.model_copy(update={"actions": {"scale": ActionSettings(**scale)}})
        handler = configured_actions(changed, rig.context(92).actions)["scale"]
        assert not handler.serves(goal_of(series="busy/workers"))


def test_what_was_added_lately_is_known_to_be_on_its_way(rig: Rig) -> None:
    context = rig.context(92)
    outlook = bare(forecast, context, bare(monitor, context))
    (action,) = bare(plan, context, bare(goals, context, outlook, ()), outlook).actions
    assert action.series is None
    view = next(each for each in rig.store.actions.latest(5) if each.action.action_id == action.action_id)
    rig.store.actions.claim(Intent(action_id=view.action.action_id, at=context.tick))
    done = {"started_at": context.tick, "finished_at": context.tick}
    rig.store.actions.finish(Receipt(action_id=action.action_id, status=ReceiptStatus.SUCCEEDED, **done))
    (commitment,) = rig.asked(93).commitments
    assert commitment.sets == "workers"
    assert commitment.rises_until == context.tick + timedelta(seconds=300)


def test_what_outcomes_taught_reaches_the_planner(rig: Rig) -> None:
    gain = {"count": 4, "predicted": 2.0, "realised": 1.0}
    better = {"BOTTLENECK_PREVENTION": {"SCHEDULED": {"ADAPTIVE": 0.95}}}
    told = {"predictions": {"scale": gain}, "strategy_advice": {"tried": {}, "better": better}}
    rig.store.facts.set(INSIGHTS, told)
    asked = rig.asked(92)
    assert asked.realised == {"scale": Realised(4, 2.0, 1.0)}
    assert asked.advice is not None
    assert asked.advice.choose("BOTTLENECK_PREVENTION", "ADAPTIVE", ["ADAPTIVE", "SCHEDULED"]).strategy == "SCHEDULED"


def test_the_holdout_that_is_configured_reaches_the_draw(tmp_path: Any) -> None:
    rig = Rig(tmp_path, executor={"holdout_ratio": 0.3})
    assert rig.asked(92).nothing_floor == 0.3


def test_a_driven_goal_that_was_achieved_is_raised_again_as_soon_as_the_driver_calls_for_it(rig: Rig) -> None:
    (view,) = rig.asked(92).goals
    closed = Transition(
        goal_id=view.goal.goal_id, state=GoalState.ACHIEVED, at=START + 92 * MINUTE, reason="held", progress=1.0
    )
    rig.store.goals.append((), (closed,), stable_id("c", 1))
    context = rig.context(93)
    outlook = bare(forecast, context, bare(monitor, context))
    assert [goal.objective for goal in decide(context, evidence(context, outlook, ())).new] == ["load"]


def test_idle_capacity_is_a_goal_of_its_own_type_by_what_drives_it(tmp_path: Any) -> None:
    idle = LOAD.model_copy(update={"name": "idle", "kind": ObjectiveKind.HEADROOM, "side": "above", "bound": 0.7})
    rig = Rig(tmp_path)
    rig.settings = rig.settings.model_copy(update={"objectives": (idle,)})
    (view,) = rig.asked(40).goals
    assert view.goal.goal_type is GoalType.RESOURCE_OPTIMIZATION
    assert "at the present workers, arrivals will make it break this" in view.goal.because["sentence"]


def test_a_goal_that_informs_is_offered_what_reports_and_nothing_that_acts(rig: Rig) -> None:
    context = rig.context(92)
    outlook = bare(forecast, context, bare(monitor, context))
    (acting,) = bare(goals, context, outlook, ())
    informing = acting.model_copy(update={"goal": acting.goal.model_copy(update={"informs": True, "goal_id": "i"})})
    assert problem(context, (informing,), outlook).candidates["i"] == ()
    assert problem(context, (informing, acting), outlook).candidates["i"] != ()
    result = bare(plan, context, (informing,), outlook)
    assert result.actions == ()
    assert [each.explanation[:35] for each in result.decisions] == ["Nothing: this goal informs. The goal"[:35]]
