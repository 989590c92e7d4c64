"""Single stages on a real store: what a forecast came to, what an act changed, what is learned from it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

from flows.simulate import TickClock
from flows.wiring import live_context
from handlers import from_callable
from settings import Settings, load_settings
from storage import open_store
from storage.records import (
    Action,
    Belief,
    Breach,
    Event,
    Forecast,
    Objective,
    Outcome,
    ReceiptStatus,
    Sample,
    Strategy,
    Verdict,
)
from tasks.context import Context
from tasks.forecast.task import settle
from tasks.learn.knowledge import current_learner
from tasks.learn.task import learn
from tasks.measure.task import measure, plan_undo
from tests.tasks.execute.acts import TICK, action_of, receipt_of

MINUTE = timedelta(minutes=1)
HISTORY = 600


class OneAct:
    """A store with metrics of one value a minute, an act in the middle, and a clock that is moved by hand."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.clock = TickClock(TICK)
        self.store = open_store(clock=self.clock)
        undo = {"undo": lambda params, before, context: {"success": True}}
        self.actions = {"restart": from_callable("restart", lambda params, goal_id: {"success": True}, hooks=undo)}

    def context(self, tick: datetime, cycle: str = "cycle") -> Context:
        self.clock.now = tick
        return live_context(self.settings, self.store, tick, cycle, actions=self.actions, now=self.clock)

    def record(self, series: str, values: np.ndarray, first: datetime, step: timedelta = MINUTE) -> None:
        samples = [
            Sample(metric=series, value=float(value), ts=first + step * place) for place, value in enumerate(values)
        ]
        self.store.samples.append(samples)

    def forecast(self, series: str, level: float, steps: int = 60, step_s: float = 60) -> None:
        self.store.forecasts.append([forecast_of(series, level, steps, step_s)], f"cycle-{series}")

    def act(self, action: Action, at: datetime, status: ReceiptStatus = ReceiptStatus.SUCCEEDED) -> None:
        self.store.actions.append([action], "cycle-1")
        self.store.actions.finish(receipt_of(action.action_id, at, status))


def forecast_of(series: str, level: float, steps: int = 60, step_s: float = 60) -> Forecast:
    point = np.full(steps, level)
    quantiles = np.stack([point - 2, point, point + 2], axis=1)
    levels = (0.05, 0.5, 0.95)
    return Forecast(
        series=series, issued_at=TICK, step_s=step_s, levels=levels, point=point, quantiles=quantiles, method="level"
    )


@pytest.fixture
def bench(tmp_path: Any) -> OneAct:
    objectives = (
        Objective(name="cpu", metric="cpu_usage", bound=90, guards=("throughput",), horizon_s=1_800),
        Objective(name="flow", metric="throughput", bound=10, side="above"),
    )
    settings = load_settings(tmp_path, home=tmp_path, objectives=objectives, use_default_objectives=False)
    return OneAct(settings)


def noise(count: int, level: float, seed: int = 0) -> np.ndarray:
    return level + np.random.default_rng(seed).normal(0, 1, count)


def quiet_day(bench: OneAct, series: str, level: float, after: float, minutes: int = 60) -> None:
    """Record ten quiet hours, forecast more of the same, and record what came instead."""
    bench.record(series, noise(HISTORY, level), TICK - (HISTORY - 1) * MINUTE)
    bench.forecast(series, level)
    bench.record(series, noise(minutes, after, seed=1), TICK + MINUTE)


def only(outcomes: tuple[Outcome, ...]) -> Outcome:
    assert len(outcomes) == 1
    return outcomes[0]


def test_an_act_is_judged_against_the_forecast_issued_before_it(bench: OneAct) -> None:
    quiet_day(bench, "cpu_usage", level=50, after=40)
    bench.act(action_of(), TICK)
    assert measure.fn(bench.context(TICK + 9 * MINUTE)) == ()
    outcome = only(measure.fn(bench.context(TICK + 10 * MINUTE)))
    assert outcome.verdict is Verdict.IMPROVED
    assert outcome.low is not None
    assert outcome.high is not None
    assert outcome.low < -10 < outcome.high < 0
    assert measure.fn(bench.context(TICK + 11 * MINUTE)) == ()


def test_a_window_waits_for_the_last_step_that_belongs_to_it(bench: OneAct) -> None:
    """The act ended half a minute into a step: its ten whole minutes end half a minute later than ten minutes on."""
    quiet_day(bench, "cpu_usage", level=50, after=40)
    bench.act(action_of(), TICK + timedelta(seconds=30))
    assert measure.fn(bench.context(TICK + timedelta(minutes=10, seconds=30))) == ()
    assert len(only(measure.fn(bench.context(TICK + 11 * MINUTE))).evidence["observed"]) == 10


def test_no_data_after_the_act_is_unknown(bench: OneAct) -> None:
    quiet_day(bench, "cpu_usage", level=50, after=40, minutes=0)
    bench.act(action_of(), TICK)
    assert only(measure.fn(bench.context(TICK + 20 * MINUTE))).verdict is Verdict.UNKNOWN


def test_two_acts_on_one_metric_are_confounded(bench: OneAct) -> None:
    quiet_day(bench, "cpu_usage", level=50, after=40)
    bench.act(action_of("a"), TICK)
    bench.act(action_of("b", name="scale"), TICK + MINUTE)
    found = measure.fn(bench.context(TICK + 30 * MINUTE))
    assert [outcome.verdict for outcome in found] == [Verdict.CONFOUNDED, Verdict.CONFOUNDED]


def test_an_act_that_makes_its_metric_worse_is_undone_and_judged_up_to_then(bench: OneAct) -> None:
    quiet_day(bench, "cpu_usage", level=50, after=70)
    bench.act(action_of(), TICK)
    measure.fn(bench.context(TICK + 6 * MINUTE))
    undo = bench.store.actions.undo_for("a")
    assert undo is not None
    bench.store.actions.finish(receipt_of(undo.action.action_id, TICK + 7 * MINUTE))
    outcome = only(measure.fn(bench.context(TICK + 8 * MINUTE)))
    assert outcome.verdict is Verdict.WORSE
    assert outcome.horizon_s == 420


def test_a_guard_is_watched_by_the_side_of_its_own_objective(bench: OneAct) -> None:
    quiet_day(bench, "cpu_usage", level=50, after=50)
    quiet_day(bench, "throughput", level=100, after=80)
    bench.act(action_of(guards=("throughput",)), TICK)
    measure.fn(bench.context(TICK + 6 * MINUTE))
    undo = bench.store.actions.undo_for("a")
    assert undo is not None
    told = next(line for line in bench.store.audit.latest() if line.verb == "undo planned")
    assert told.detail["reason"].startswith("throughput got worse")


def test_the_guards_of_an_act_that_aims_at_no_metric_of_its_own_are_watched_as_well(bench: OneAct) -> None:
    """What an amount does to its own metric is told by the driver; what it does to others by their forecasts."""
    quiet_day(bench, "throughput", level=100, after=80)
    bench.act(action_of(series=None, guards=("throughput",)), TICK)
    measure.fn(bench.context(TICK + 6 * MINUTE))
    assert bench.store.actions.undo_for("a") is not None
    told = next(line for line in bench.store.audit.latest() if line.verb == "undo planned")
    assert told.detail["reason"].startswith("throughput got worse")
    assert bench.store.outcomes.harmful() == {"a"}


def test_guards_of_an_amount_that_stay_as_they_were_undo_nothing(bench: OneAct) -> None:
    quiet_day(bench, "throughput", level=100, after=100)
    bench.act(action_of(series=None, guards=("throughput",)), TICK)
    measure.fn(bench.context(TICK + 6 * MINUTE))
    assert bench.store.actions.undo_for("a") is None


def test_a_guard_that_gets_better_undoes_nothing(bench: OneAct) -> None:
    quiet_day(bench, "cpu_usage", level=50, after=50)
    quiet_day(bench, "throughput", level=100, after=120)
    bench.act(action_of(guards=("throughput",)), TICK)
    measure.fn(bench.context(TICK + 6 * MINUTE))
    assert bench.store.actions.undo_for("a") is None
    found = measure.fn(bench.context(TICK + 10 * MINUTE))
    assert {outcome.role: outcome.verdict for outcome in found}["guard"] is Verdict.IMPROVED


@pytest.mark.parametrize(
    ("severity", "events", "is_undone"), [(0.5, 0, True), (0.4, 0, False), (0.5, 1, False), (0.5, 9, True)]
)
def test_what_a_graver_objective_measures_is_watched_unasked_unless_a_rare_event_may_have_moved_it(
    tmp_path: Any, severity: float, events: int, is_undone: bool
) -> None:
    objectives = (
        Objective(name="cpu", metric="cpu_usage", bound=90, horizon_s=1_800, severity=0.5),
        Objective(name="flow", metric="throughput", bound=90, side="above", severity=severity),
    )
    bench = OneAct(load_settings(tmp_path, home=tmp_path, objectives=objectives, use_default_objectives=False))
    for series, level, after in (("cpu_usage", 50, 50), ("throughput", 100, 80)):
        bench.record(series, noise(HISTORY, level), TICK - (HISTORY - 1) * MINUTE)
        bench.record(series, noise(60, after, seed=1), TICK + MINUTE)
    bench.store.forecasts.append([forecast_of("cpu_usage", 50), forecast_of("throughput", 100)], "cycle-1")
    bench.store.events.append([Event(event_type="release", ts=TICK - n * 60 * MINUTE) for n in range(events)])
    bench.act(action_of(), TICK)
    measure.fn(bench.context(TICK + 6 * MINUTE))
    assert (bench.store.actions.undo_for("a") is not None) is is_undone


def test_an_undo_is_planned_once(bench: OneAct) -> None:
    bench.act(action_of(), TICK)
    context, view = bench.context(TICK), bench.store.actions.get("a")
    assert view is not None
    assert plan_undo(context, view, "once").action_id == plan_undo(context, view, "twice").action_id
    assert len(bench.store.actions.pending()) == 1


def outcome_of(number: int, effect: float = 0.5, **changes: Any) -> Outcome:
    fields: dict[str, Any] = {
        "outcome_id": f"outcome-{number}",
        "action_id": f"a{number}",
        "action": "restart",
        "goal_id": "goal-1",
        "goal_type": "BOTTLENECK_PREVENTION",
        "strategy": Strategy.IMMEDIATE,
        "series": "cpu_usage",
        "measured_at": TICK + number * MINUTE,
        "acted_at": TICK,
        "horizon_s": 600,
        "effect_sd_units": effect,
        "standard_error_sd_units": 0.2,
        "verdict": Verdict.IMPROVED,
    }
    return Outcome(**fields | changes)


def test_what_was_learned_is_learned_once(bench: OneAct) -> None:
    bench.store.outcomes.append([outcome_of(1), outcome_of(2)], "cycle-1")
    first = learn.fn(bench.context(TICK))
    assert first is not None
    assert first.outcome_count == 2
    assert learn.fn(bench.context(TICK + MINUTE)) is None
    bench.store.outcomes.append([outcome_of(1), outcome_of(3)], "cycle-2")
    second = learn.fn(bench.context(TICK + 2 * MINUTE))
    assert second is not None
    assert second.outcome_count == 3


@pytest.mark.parametrize("verdict", [Verdict.UNKNOWN, Verdict.CONFOUNDED])
def test_nothing_is_learned_from_what_could_not_be_measured(bench: OneAct, verdict: Verdict) -> None:
    bench.store.outcomes.append([outcome_of(1, verdict=verdict)], "cycle-1")
    assert learn.fn(bench.context(TICK)) is None


def test_a_corrupt_belief_is_replayed_from_the_outcomes_and_said_so_once(bench: OneAct) -> None:
    bench.store.outcomes.append([outcome_of(1), outcome_of(2)], "cycle-1")
    sound = learn.fn(bench.context(TICK))
    assert sound is not None
    torn = Belief(belief_id="torn", at=TICK, outcome_count=2, state=sound.state | {"mean": None, "recent_ids": None})
    bench.clock.now = TICK + MINUTE
    bench.store.outcomes.believe(torn, "cycle-2")
    healed = learn.fn(bench.context(TICK + 2 * MINUTE))
    assert healed is not None
    assert healed.state == sound.state
    assert learn.fn(bench.context(TICK + 3 * MINUTE)) is None
    assert [line.verb for line in bench.store.audit.latest()].count("belief replayed") == 1
    assert current_learner(bench.context(TICK + 3 * MINUTE)).outcome_count == 2


def foretell(bench: OneAct, cycle: str, **steps_s: float) -> None:
    """Forecast 60 steps of each series and say that each objective breaks."""
    forecasts = [forecast_of(series, 50, step_s=step_s) for series, step_s in steps_s.items()]
    bench.store.forecasts.append(forecasts, cycle)
    names = {"cpu_usage": "cpu", "throughput": "flow"}
    breaches = [Breach(objective=names[series], series=series, probability=0.6) for series in steps_s]
    bench.store.forecasts.breaches.append(breaches, cycle)


def results(bench: OneAct) -> list[bool]:
    return [bool(happened) for happened in bench.store.forecasts.breach_results(10)["happened"]]


def test_a_breach_is_settled_when_the_forecast_of_its_own_series_is(bench: OneAct) -> None:
    """Throughput is forecast for ten minutes, CPU for an hour: at ten minutes nothing is known of the CPU's breach."""
    foretell(bench, "cycle-1", cpu_usage=60, throughput=10)
    bench.record("throughput", np.full(60, 5.0), TICK + timedelta(seconds=10), timedelta(seconds=10))
    bench.record("cpu_usage", np.r_[np.full(20, 50.0), 95.0, np.full(39, 50.0)], TICK + MINUTE)
    settle(bench.context(TICK + 10 * MINUTE))
    assert results(bench) == [True]
    settle(bench.context(TICK + 60 * MINUTE))
    assert results(bench) == [True, True]
    settle(bench.context(TICK + 61 * MINUTE))
    assert len(results(bench)) == 2
    assert len(bench.store.forecasts.errors(None, None, 10)) == 2


def test_a_breach_that_an_act_may_have_prevented_says_nothing_about_the_forecast(bench: OneAct) -> None:
    foretell(bench, "cycle-1", cpu_usage=60)
    bench.record("cpu_usage", np.full(60, 50.0), TICK + MINUTE)
    bench.act(action_of(), TICK + 5 * MINUTE)
    settle(bench.context(TICK + 60 * MINUTE))
    assert results(bench) == []
    (error,) = bench.store.forecasts.errors(None, None, 10)
    assert error.overlapped


@pytest.mark.parametrize("status", [ReceiptStatus.SKIPPED, ReceiptStatus.DRY_RUN])
def test_what_touched_nothing_leaves_the_ledger_clean(bench: OneAct, status: ReceiptStatus) -> None:
    foretell(bench, "cycle-1", cpu_usage=60)
    bench.record("cpu_usage", np.full(60, 50.0), TICK + MINUTE)
    bench.act(action_of(), TICK + 5 * MINUTE, status)
    settle(bench.context(TICK + 60 * MINUTE))
    assert results(bench) == [False]


def test_an_act_of_days_ago_still_marks_a_long_forecast(bench: OneAct) -> None:
    bench.forecast("cpu_usage", 50, steps=100, step_s=3_600)
    bench.act(action_of(), TICK + timedelta(hours=2))
    settle(bench.context(TICK + timedelta(hours=100)))
    (error,) = bench.store.forecasts.errors(None, None, 10)
    assert error.overlapped
