"""What cannot be fitted is said with its reason, and nothing is planned on a driver that fell silent."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from handlers import ActionHandler
from handlers.contract.action import elsewhere
from storage.records import FloatArray, Frame, Objective
from tasks.drivers.fitting import DrivenMetrics, driver_paths, fit_driven, fit_metric, with_own_amounts
from tasks.drivers.responses import CapacityResponse, QueueResponse, RatioResponse
from tasks.drivers.settable_amounts import AmountsNow, SpareAmount, amount_steps, spare_amounts

END = datetime(2026, 3, 5, tzinfo=UTC)
LOAD = Objective(name="load", metric="load", bound=0.8, driver="rate", capacity="servers")
N = 200


WANTED = Objective(name="wanted", metric="servers", side="above", bound=1, driver="servers", capacity="servers")


def frame(**rows: FloatArray) -> Frame:
    return Frame(series=tuple(rows), values=np.stack(list(rows.values())), end=END, step_s=60.0)


def rates() -> FloatArray:
    return 100 + 50 * np.sin(np.arange(N) / 20)


def test_an_objective_that_cannot_be_fitted_is_told_with_the_reason() -> None:
    unrelated = np.random.default_rng(0).normal(5, 1, N)
    driven = fit_driven([LOAD], [frame(load=unrelated, rate=rates(), servers=np.full(N, 4.0))])
    assert driven.responses == {}
    assert "No response of load" in driven.unfitted["load"]
    assert "change it once" in driven.unfitted["load"]


def strained(**rows: FloatArray) -> DrivenMetrics:
    return fit_driven([LOAD, WANTED], [frame(**rows)], strained_by_more=["load"])


def test_a_capacity_that_is_declared_to_strain_is_followed_in_proportion_also_where_it_never_varied() -> None:
    rows = {"load": 0.008 * rates(), "rate": rates(), "servers": np.full(N, 0.9)}
    assert isinstance(fit_driven([LOAD], [frame(**rows)]).responses["load"], RatioResponse)
    response = strained(**rows | {"load": np.minimum(rows["load"], 0.79)}).responses["load"]
    assert float(response.metric(np.array(100.0), np.array(0.45))) == pytest.approx(0.4, rel=0.02)


def test_what_strains_more_than_it_did_is_followed_as_it_is_now() -> None:
    servers = np.where(np.arange(N) < 90, 0.9, 0.5)
    load = 0.01 * rates() * servers * np.where(np.arange(N) < N - 5, 0.5, 0.8)
    response = strained(load=load, rate=rates(), servers=servers).responses["load"]
    assert float(response.metric(np.array(100.0), np.array(0.5))) == pytest.approx(0.4, rel=0.02)


def test_where_the_bound_broke_half_way_to_what_went_well_is_tried_until_more_went_well() -> None:
    rate, servers = np.full(N, 100.0), np.full(N, 0.3)
    servers[-6:-3] = 0.9
    load = np.where(servers > 0.5, 12.0, 0.1)
    load[-3] = 6.0
    response = strained(load=load, rate=rate, servers=servers).responses["load"]
    reached = [float(response.metric(np.array(100.0), np.array(each))) for each in (0.55, 0.65)]
    assert reached[0] < LOAD.bound < reached[1], "what is left of the larger amount is not the smaller one's"
    servers[-1], load[-1] = 0.9, 0.2
    assert float(strained(load=load, rate=rate, servers=servers).responses["load"].metric(rate, np.array(1.0))[0]) < 0.5


def test_an_amount_that_relieves_nothing_is_not_lowered_for_ever() -> None:
    servers = np.where(np.arange(N) < N - 20, 0.9, 0.1)
    driven = strained(load=np.full(N, 2.0), rate=rates(), servers=servers)
    assert "load" not in driven.responses
    assert "do not show that less of it relieves" in driven.unfitted["load"]


def test_an_amount_that_strains_and_that_nothing_wants_is_not_planned() -> None:
    rows = frame(load=0.008 * rates(), rate=rates(), servers=np.full(N, 0.9))
    driven = fit_driven([LOAD], [rows], strained_by_more=["load"])
    assert driven.responses == {}
    assert "add an objective on it" in driven.unfitted["load"]


def test_less_content_is_less_work_for_what_serves_it() -> None:
    rate, servers = rates(), np.where(np.arange(N) < N // 2, 4.0, 8.0)
    content = np.where(np.arange(N) % 30 < 15, 1.0, 0.25)
    by_content = LOAD.model_copy(update={"name": "content", "capacity": "content"})
    rows = frame(load=0.01 * rate * content / servers, rate=rate, servers=servers, content=content)
    response = fit_driven([LOAD, by_content], [rows], strained_by_more=["content"]).responses["load"]
    assert float(response.metric(np.array(100.0), np.array(4.0))) == pytest.approx(0.25, rel=0.02)


def test_a_capacity_that_is_not_recorded_is_named() -> None:
    driven = fit_driven([LOAD], [frame(load=rates(), rate=rates())])
    assert driven.unfitted["load"].startswith("servers is not recorded")


def test_on_a_driver_that_fell_silent_nothing_is_planned() -> None:
    rate, servers = rates(), np.where(np.arange(N) < 90, 4.0, 6.0)
    assert fit_driven([LOAD], [frame(load=0.01 * rate / servers, rate=rate, servers=servers)]).responses
    silent = rate.copy()
    silent[-30:] = np.nan
    driven = fit_driven([LOAD], [frame(load=0.01 * rate / servers, rate=silent, servers=servers)])
    assert driven.responses == {}
    assert "rate has been silent for 30 min" in driven.unfitted["load"]


def test_a_load_stuck_at_its_ceiling_needs_at_least_what_the_smallest_load_that_filled_it_says() -> None:
    fitted = fit_metric(np.ones(N), rates(), np.full(N, 3.0), 60.0, most=0.8)
    assert fitted is not None
    assert isinstance(fitted.response, RatioResponse)
    assert fitted.response.work == pytest.approx(3.0 / 50, rel=0.1)
    assert fit_metric(np.ones(N), rates(), np.full(N, 3.0), 60.0, most=2.0) is None


def test_a_response_time_that_explodes_near_full_use_is_fitted_steep() -> None:
    rate, servers = rates(), np.where(np.arange(N) % 90 < 45, 12.0, 16.0)
    truth = QueueResponse(0.1, 0.075, 8.0)
    fitted = fit_metric(truth.metric(rate, servers), rate, servers, 60.0)
    assert fitted is not None
    assert isinstance(fitted.response, QueueResponse)
    assert fitted.response.steepness > 1
    assert float(fitted.response.metric(np.array(150.0), np.array(24.0))) == pytest.approx(0.1, rel=0.1)
    assert float(fitted.response.metric(np.array(150.0), np.array(11.5))) > 0.3


def test_after_how_long_an_increase_works_is_seen_in_the_data() -> None:
    rate, servers = rates(), 4.0 + np.arange(N) // 40
    working = np.concatenate([np.full(3, 4.0), servers[:-3]])
    driven = fit_driven([LOAD], [frame(load=0.01 * rate / working, rate=rate, servers=servers)])
    assert driven.latency_s == {"servers": 180.0}


def test_an_objective_on_what_an_action_sets_is_known_without_a_fit() -> None:
    plain = Objective(name="content", metric="dimmer", side="above", bound=1.0)
    (own,) = with_own_amounts([plain], [setter("dimmer", 0.5, 1.0)])
    known = [frame(dimmer=np.full(5, 0.9))]
    assert isinstance(fit_driven([own], known).responses["content"], CapacityResponse)
    assert set(np.unique(driver_paths({}, known, [own])["dimmer"])) == {0.9}
    assert with_own_amounts([plain], [setter("servers", 1.0)]) == (plain,)


def setter(sets: str, *amounts: float) -> ActionHandler:
    return elsewhere(f"set_{sets}", sets=sets, amounts=amounts, unit_cost=0.01)


class TestSpare:
    """The load is .5 with six servers and .6 with five, now and in all futures; four give .75, within a tenth of .8."""

    def spare(self, *amounts: float, rate_ahead: float = 300.0, load_now: float = 0.5) -> tuple[SpareAmount, ...]:
        seen = frame(load=np.full(N, load_now), rate=np.full(N, 300.0), servers=np.full(N, 6.0))
        known = AmountsNow(
            objectives=(LOAD,),
            frames=[seen],
            actions={"set_servers": setter("servers", *amounts)},
            driven=DrivenMetrics({"load": RatioResponse(0.01)}, {"servers": 6.0}),
            latest={"load": load_now},
            paths={"rate": np.full((20, 30), rate_ahead)},
        )
        return tuple(spare_amounts(known, amount_steps(known)))

    def test_the_next_lesser_amount_that_keeps_all_bounds_is_to_spare(self) -> None:
        (spare,) = self.spare(4.0, 5.0, 6.0, 7.0)
        assert (spare.now, spare.to, spare.objective) == (6.0, 5.0, "load")

    def test_nothing_is_to_spare_where_less_breaks_a_bound_now_or_later_or_the_metric_is_not_seen_to_be_well(
        self,
    ) -> None:
        assert not self.spare(3.0, 6.0)
        assert not self.spare(4.0, 6.0)
        assert not self.spare(5.0, 6.0, rate_ahead=420.0)
        assert not self.spare(5.0, 6.0, load_now=0.85)
