"""Predictions are those of the newest cycle, cut to the horizon, or say what is missing."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pytest
from fastapi.testclient import TestClient

from api import queries
from storage import Store
from storage.records import StatePrediction
from storage.state_predictions import ForetoldState, RawState, StateResult
from tests.api import worlds
from tests.api.conftest import API

PATH = f"{API}/predictions"


def test_forecasts_are_cut_to_the_horizon(client: TestClient, store: Store, tick: datetime) -> None:
    worlds.samples(store, tick)
    worlds.a_turn(store, tick)
    answer = client.get(PATH, params={"horizon_hours": 0.5}).json()
    (cpu,) = [each for each in answer["series"] if each["series"] == worlds.SERIES]
    assert len(cpu["timestamps"]) == len(cpu["point"]) == len(cpu["low"]) == len(cpu["high"]) == 30
    assert datetime.fromisoformat(cpu["timestamps"][0]) == tick + timedelta(minutes=1)
    assert datetime.fromisoformat(cpu["timestamps"][-1]) == tick + timedelta(minutes=30)
    assert all(low <= point <= high for low, point, high in zip(cpu["low"], cpu["point"], cpu["high"], strict=True))
    assert cpu["unit"] == "ratio"
    assert answer["note"] is None


def test_a_shorter_reach_than_asked_for_is_said(client: TestClient, store: Store, tick: datetime) -> None:
    worlds.a_turn(store, tick)
    answer = client.get(PATH).json()
    assert (answer["horizon_hours"], answer["available_hours"]) == (24, 2)
    assert "2 hours" in answer["note"]
    assert "1 day" in answer["note"]


def test_state_breaches_and_calibration_come_along(client: TestClient, store: Store, tick: datetime) -> None:
    worlds.a_turn(store, tick)
    worlds.a_ledger(store, tick)
    answer = client.get(PATH, params={"horizon_hours": 2}).json()
    assert answer["predicted_state"]["state"] == "degraded"
    assert answer["predicted_state"]["probability"] == 0.65
    assert answer["breaches"][0]["objective"] == "cpu-not-saturated"
    calibration = answer["calibration"]
    assert calibration["coverage_90"] == pytest.approx(0.9)
    assert calibration["resolved_forecasts"] == calibration["resolved_breaches"] == 4
    assert calibration["breach_brier"] == pytest.approx(0.04)


def test_the_reliability_of_breaches_and_states_is_published(client: TestClient, store: Store, tick: datetime) -> None:
    worlds.a_turn(store, tick)
    worlds.a_ledger(store, tick)
    for number, (unhealthy, came) in enumerate([(0.9, "critical"), (0.9, "degraded"), (0.2, "healthy")]):
        shares = {"healthy": 1 - unhealthy, "degraded": unhealthy, "critical": 0.0}
        at = tick - timedelta(minutes=number)
        state = StatePrediction(at=at, state="healthy", probabilities=shares)
        raw = RawState(unhealthy, 0.0)
        store.forecasts.states.append_results([StateResult(ForetoldState(f"old-{number}", state, raw), came)])
    calibration = client.get(PATH).json()["calibration"]
    assert calibration["breach_reliability"] == [{"foretold": 0.8, "happened": 1.0, "count": 4}]
    assert calibration["breach_auc"] is None
    assert calibration["resolved_states"] == 3
    assert calibration["state_brier"] == pytest.approx(0.02)
    assert calibration["state_reliability"] == [
        {"foretold": 0.2, "happened": 0.0, "count": 1},
        {"foretold": 0.9, "happened": 1.0, "count": 2},
    ]


def test_a_refused_series_says_why(client: TestClient, store: Store, tick: datetime) -> None:
    worlds.a_turn(store, tick)
    (short,) = [each for each in client.get(PATH).json()["series"] if each["series"] == "short_series"]
    assert (short["point"], short["refusal"]) == ([], "12 samples, 30 are needed")


def test_one_series_can_be_asked_for(client: TestClient, store: Store, tick: datetime) -> None:
    worlds.a_turn(store, tick)
    assert [s["series"] for s in client.get(PATH, params={"series": worlds.SERIES}).json()["series"]] == [worlds.SERIES]
    unknown = client.get(PATH, params={"series": "nowhere"})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "series_unknown")


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "nothing is recorded"),
        (12, "30 samples are needed, 12 so far; about 18 minutes"),
        (60, "The next cycle comes within 1 hour"),
    ],
)
def test_without_a_forecast_the_note_says_what_is_missing(
    client: TestClient, store: Store, tick: datetime, count: int, said: str
) -> None:
    worlds.samples(store, tick, count)
    answer = client.get(PATH).json()
    assert answer["series"] == []
    assert answer["predicted_state"]["state"] == "unknown"
    assert said in answer["note"]


@pytest.mark.parametrize("horizon", ["0", "-1", "720.1", "nan", "inf", "soon", ""])
def test_a_horizon_out_of_range_is_refused(client: TestClient, horizon: str) -> None:
    answer = client.get(PATH, params={"horizon_hours": horizon})
    assert answer.status_code == 422
    assert "horizon_hours" in answer.json()["detail"]


def test_the_newest_cycle_counts(client: TestClient, store: Store, tick: datetime) -> None:
    worlds.a_turn(store, tick - timedelta(hours=1), "cycle-0")
    worlds.a_turn(store, tick, "cycle-1")
    answer = client.get(PATH).json()
    assert answer["cycle_id"] == "cycle-1"
    assert datetime.fromisoformat(answer["issued_at"]) == tick


@pytest.mark.parametrize(("level", "width"), [(50.0, 1.0), (1.7e9, 1.0), (1e-9, 1e-12), (1e60, 1e58)])
def test_a_band_is_shown_as_wide_as_it_is_at_any_level(tick: datetime, level: float, width: float) -> None:
    quantiles = level + width * np.array([[-1.23456, 0.0, 1.23456]] * 3)
    forecast = worlds.a_forecast(worlds.SERIES, tick, levels=(0.05, 0.5, 0.95), point=quantiles[:, 1])
    told = queries.forecasts.series_forecast(forecast.model_copy(update={"quantiles": quantiles}))
    np.testing.assert_allclose(np.subtract(told.high, told.low), 2 * 1.23456 * width, rtol=1e-3)
    np.testing.assert_allclose(np.subtract(told.point, level), 0, atol=1e-3 * width)


def test_no_more_digits_are_sent_than_the_band_bears(tick: datetime) -> None:
    quantiles = 50 + np.array([[-1.23456789, 0.123456789, 1.23456789]] * 3)
    forecast = worlds.a_forecast(worlds.SERIES, tick, levels=(0.05, 0.5, 0.95), point=quantiles[:, 1])
    told = queries.forecasts.series_forecast(forecast.model_copy(update={"quantiles": quantiles}))
    assert (told.low[0], told.point[0], told.high[0]) == (48.765, 50.123, 51.235)


def test_a_point_far_outside_a_hair_thin_band_is_shown_as_it_is(tick: datetime) -> None:
    quantiles = np.array([[0.0, 0.0, 1e-300], [1e10, 1e10, 1e10]])
    forecast = worlds.a_forecast(worlds.SERIES, tick, levels=(0.05, 0.5, 0.95), point=quantiles[:, 1])
    told = queries.forecasts.series_forecast(forecast.model_copy(update={"quantiles": quantiles}))
    assert told.point == [0.0, 1e10]
    assert told.high == [1e-300, 1e10]
