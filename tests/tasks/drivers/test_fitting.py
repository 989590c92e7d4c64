"""What cannot be fitted is said with its reason, and nothing is planned on a driver that fell silent."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from handlers import ActionHandler
from handlers.contract.action import elsewhere
from storage.records import FloatArray, Frame, Objective
from tasks.drivers.fitting import DrivenMetrics, driver_paths, fit_driven, fit_metric, with_own_amounts
from tasks.drivers.responses import CapacityResponse, ProductResponse, QueueResponse, RatioResponse
from tasks.drivers.settable_amounts import AmountsNow, SpareAmount, amount_steps, spare_amounts

END = datetime(2026, 3, 5, tzinfo=UTC)
LOAD = Objective(name="load", metric="load", bound=0.8, driver="rate", capacity="servers")
N = 200


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


def test_a_capacity_that_is_declared_to_strain_and_never_varied_is_not_taken_to_share_the_load() -> None:
    rows = frame(load=0.008 * rates(), rate=rates(), servers=np.full(N, 0.9))
    assert isinstance(fit_driven([LOAD], [rows]).responses["load"], RatioResponse)
    driven = fit_driven([LOAD], [rows], strained_by_more=["load"])
    assert driven.responses == {}
    assert "makes the metric worse, as its action declares" in driven.unfitted["load"]


def test_a_capacity_that_strains_as_declared_is_fitted_once_it_varied() -> None:
    servers = np.where(np.arange(N) < 90, 0.9, 0.5)
    driven = fit_driven(
        [LOAD], [frame(load=0.01 * rates() * servers, rate=rates(), servers=servers)], strained_by_more=["load"]
    )
    assert isinstance(driven.responses["load"], ProductResponse)


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
