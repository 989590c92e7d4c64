"""Which amounts step, for what, and which are idle: told from frames, actions and objectives alone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from handlers import ActionHandler, elsewhere
from storage.records import Breach, FloatArray, Objective
from tasks.drivers.amount_steps import Move
from tasks.drivers.fitting import DrivenMetrics, fit_driven
from tasks.drivers.responses import RatioResponse
from tasks.drivers.settable_amounts import (
    AmountsNow,
    AmountStep,
    amount_steps,
    foretold,
    spare_amounts,
    unit_cost_of,
)
from tests.tasks.goals.worlds import TICK, frame_of

AGE = Objective(name="age", metric="age", bound=300, severity=0.8)
WELL, STRAINED = np.zeros(120), np.r_[np.zeros(118), 200.0, 500.0]
AMOUNTS = tuple(float(each) for each in range(1, 21))


def setter(name: str = "set_workers", **traits: Any) -> ActionHandler:
    fields: dict[str, Any] = {"sets": "workers", "amounts": AMOUNTS, "metrics": ("age",), "latency_s": 60.0}
    return elsewhere(name, **fields | traits)


def known(
    values: Mapping[str, FloatArray], *actions: ActionHandler, objectives: tuple[Objective, ...] = (AGE,), **more: Any
) -> AmountsNow:
    named = {each.name: each for each in actions or (setter(),)}
    return AmountsNow(objectives, (frame_of(values),), named, **{"driven": DrivenMetrics()} | more)


def step(values: Mapping[str, FloatArray], *actions: ActionHandler, **more: Any) -> AmountStep:
    return amount_steps(known(values, *actions, **more))["workers"]


def with_workers(age: FloatArray, workers: float = 6.0) -> dict[str, FloatArray]:
    return {"age": age, "workers": np.full(len(age), workers)}


def test_a_strained_metric_gets_one_more_and_a_well_one_gives_one_back() -> None:
    assert step(with_workers(STRAINED)).to == 7
    assert step(with_workers(WELL)).to == 5


def test_more_is_added_where_less_is_declared_to_strain_and_less_where_more_is() -> None:
    for effect, to in ((-1.0, 7), (1.0, 5)):
        assert step(with_workers(STRAINED), setter(expected_effect={"age": effect})).to == to


def test_less_that_relieves_is_not_given_back() -> None:
    assert step(with_workers(WELL), setter(expected_effect={"age": 1.0})).move is Move.STAY


def test_where_nobody_knows_which_way_helps_nothing_is_moved_and_a_person_is_asked() -> None:
    hit_ratio = Objective(name="hits", metric="age", side="above", bound=300)
    taken = step(with_workers(500 - STRAINED), objectives=(hit_ratio,))
    assert taken.move is Move.STAY
    assert "expected_effect" in taken.reason


def test_an_amount_that_was_seen_to_do_the_opposite_of_what_it_declares_is_left_and_told() -> None:
    workers = np.repeat([5.0, 8.0] * 8, 12)
    taken = step({"age": 50 * workers, "workers": workers}, setter(expected_effect={"age": -1.0}))
    assert taken.move is Move.STAY
    assert "opposite" in taken.reason


def test_an_amount_that_is_not_recorded_is_not_touched_and_says_what_to_record() -> None:
    taken = step({"age": STRAINED})
    assert taken.move is Move.STAY
    assert "record" in taken.reason


def test_nothing_is_given_up_for_lack_of_data_while_a_driver_is_silent_and_a_breach_is_still_met() -> None:
    driven = AGE.model_copy(update={"driver": "jobs", "capacity": "workers"})
    jobs = np.r_[np.full(90, 30.0), np.full(30, np.nan)]
    for age, move, to in ((WELL, Move.STAY, 6), (STRAINED, Move.RELIEVE, 7)):
        values = with_workers(age) | {"jobs": jobs}
        now = known(values, objectives=(driven,), driven=fit_driven([driven], [frame_of(values)]))
        taken = amount_steps(now)["workers"]
        assert (taken.move, taken.to) == (move, to)
        assert list(spare_amounts(now, {"workers": taken})) == []
        if move is Move.STAY:
            assert "jobs has been silent for 30 min" in taken.reason


def test_a_metric_that_went_silent_moves_nothing() -> None:
    silent = np.r_[STRAINED[:-5], np.full(5, np.nan)]
    taken = step({"age": silent, "workers": np.full(120, 6.0)})
    assert taken.move is Move.STAY
    assert "no recent data" in taken.reason


def test_two_actions_that_set_one_amount_are_one_amount_with_all_that_either_offers() -> None:
    low, high = setter("few", amounts=(1.0, 2.0)), setter("many", amounts=(2.0, 4.0, 8.0))
    steps = amount_steps(known(with_workers(STRAINED, 2.0), low, high))
    assert list(steps) == ["workers"]
    assert steps["workers"].to == 4


def test_no_step_leads_beyond_a_bound_on_the_amount_itself() -> None:
    most = Objective(name="most", metric="workers", bound=6)
    assert step(with_workers(STRAINED), objectives=(AGE, most)).to == 6
    assert step(with_workers(WELL, 9.0), objectives=(AGE, most)).to == 6


def harmed(before: float, after: float, now: float, load: float = 90.0) -> dict[str, FloatArray]:
    """Return a strained age, and a load on a database that jumps with the workers an hour ago."""
    workers = np.r_[np.full(300, before), np.full(40, after), np.full(20, now)]
    age = np.r_[np.zeros(280), np.linspace(200.0, 900.0, 80)]
    noise = np.random.default_rng(2).normal(0, 2, len(age))
    return {"age": age, "workers": workers, "database": noise + np.where(workers >= after, load, 40.0)}


DATABASE = Objective(name="database", metric="database", bound=70, severity=0.8)


def test_an_amount_stops_half_way_before_what_broke_another_bound_that_weighs_as_much() -> None:
    values = harmed(4.0, 12.0, 8.0)
    taken = step(values, objectives=(AGE, DATABASE))
    assert (taken.move, taken.to) == (Move.STAY, 8)
    assert "database was broken" in taken.reason
    lighter = DATABASE.model_copy(update={"severity": 0.3})
    assert step(values, objectives=(AGE, lighter)).to > 8
    assert step(harmed(4.0, 12.0, 8.0, load=60.0), objectives=(AGE, DATABASE)).to > 8, "it did not break"


def test_an_amount_that_broke_another_bound_goes_back_at_once() -> None:
    taken = step(harmed(4.0, 12.0, 12.0), objectives=(AGE, DATABASE), latest={"database": 91.0})
    assert (taken.move, taken.to) == (Move.RELIEVE, 8)


def test_a_bound_that_breaks_by_itself_stops_no_amount() -> None:
    values = harmed(4.0, 12.0, 8.0)
    values["database"] = 55 + 40 * np.sin(np.arange(360) / 7)
    assert step(values, objectives=(AGE, DATABASE)).to > 8


def test_what_one_metric_would_give_back_another_one_keeps() -> None:
    other = Objective(name="late", metric="late", bound=10)
    values = with_workers(WELL) | {"late": np.r_[np.zeros(110), np.full(10, 7.0)]}
    assert step(values, setter(metrics=("age", "late")), objectives=(AGE, other)).move is Move.STAY


@pytest.mark.parametrize(("probability", "move"), [(0.1, Move.GIVE_BACK), (0.9, Move.STAY)])
def test_nothing_is_given_back_before_a_breach_that_is_foretold(probability: float, move: Move) -> None:
    breach = Breach(objective="age", series="age", probability=probability)
    assert step(with_workers(WELL), breaches=(breach,)).move is move


def test_days_that_needed_more_foretell_a_breach_that_the_metrics_own_forecast_does_not() -> None:
    age, workers = np.zeros(1_440 + 60), np.full(1_440 + 60, 6.0)
    age[90:100], workers[100:130] = np.linspace(100, 900, 10), 9.0
    steps = amount_steps(known({"age": age, "workers": workers}))
    (breach,) = foretold(steps, [Breach(objective="age", series="age", probability=0.01)], TICK)
    assert breach.probability > 0.5
    assert breach.expected_at is not None
    assert timedelta(minutes=20) < breach.expected_at - TICK < timedelta(minutes=45)


def test_what_is_idle_is_spare_unless_it_is_declared_to_cost_nothing() -> None:
    for action, count in ((setter(), 1), (setter(unit_cost=0.01), 1), (setter(configured=frozenset({"unit_cost"})), 0)):
        now = known(with_workers(WELL), action)
        spare = list(spare_amounts(now, amount_steps(now)))
        assert len(spare) == count
        assert all((each.to, each.objective) == (5, "age") for each in spare)


def test_what_is_strained_is_not_spare() -> None:
    now = known(with_workers(STRAINED))
    assert list(spare_amounts(now, amount_steps(now))) == []


@pytest.mark.parametrize(("rate", "is_spare"), [(1.0, True), (4.5, False)])
def test_an_amount_with_a_response_is_spare_where_less_would_have_kept_the_bound(rate: float, is_spare: bool) -> None:
    load = Objective(name="load", metric="load", bound=0.8, driver="rate", capacity="workers")
    values = {"load": np.full(120, rate / 6), "rate": np.full(120, rate), "workers": np.full(120, 6.0)}
    driven = DrivenMetrics({"load": RatioResponse(1.0)}, {"workers": 6.0})
    paths, latest = {"rate": np.full((5, 30), rate)}, {"load": rate / 6}
    now = known(values, setter(metrics=()), objectives=(load,), driven=driven, latest=latest, paths=paths)
    assert bool(list(spare_amounts(now, amount_steps(now)))) is is_spare


def test_all_that_can_be_set_costs_little_together_where_nothing_is_said() -> None:
    assert unit_cost_of(setter()) * AMOUNTS[-1] == pytest.approx(0.05)
    assert unit_cost_of(setter(unit_cost=0.3)) == 0.3
    assert unit_cost_of(setter(configured=frozenset({"unit_cost"}))) == 0.0


def test_no_more_is_added_than_may_be_added_at_a_time() -> None:
    strained = np.r_[np.zeros(100), np.linspace(400, 900, 20)]
    values = {"age": strained, "workers": np.r_[np.full(115, 2.0), np.full(5, 5.0)]}
    assert step(values).to == 11
    assert step(values, setter(most_up=2.0)).to == 7
    assert step(values, setter(most_up=0.5)).move is Move.STAY


def test_a_floor_on_the_amount_itself_takes_no_relief_away_and_is_no_reason_to_give_back() -> None:
    floor = Objective(name="enough", metric="workers", side="above", bound=2.0, driver="workers", capacity="workers")
    driven = fit_driven([floor], [frame_of(with_workers(STRAINED))])
    strained = known(with_workers(STRAINED), setter(metrics=()), objectives=(AGE, floor), driven=driven)
    steps = amount_steps(strained)
    assert (steps["workers"].move, steps["workers"].to) == (Move.RELIEVE, 7)
    assert list(spare_amounts(strained, steps)) == []
    alone = known(with_workers(STRAINED), setter(metrics=()), objectives=(floor,), driven=driven)
    assert list(spare_amounts(alone, amount_steps(alone))) == []


def test_an_amount_that_was_hardly_recorded_yet_stays() -> None:
    lately = np.r_[np.full(117, np.nan), 6.0, 6.0, 6.0]
    frames = frame_of({"age": STRAINED}, step_s=300.0), frame_of({"workers": lately}, step_s=15.0)
    young = AmountsNow((AGE,), frames, {"set_workers": setter()}, DrivenMetrics())
    assert amount_steps(young)["workers"].move in {Move.STAY, Move.RELIEVE}
