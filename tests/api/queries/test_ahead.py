"""What is foretold comes as one number: for KEDA, and as figures for Prometheus."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from api.queries.ahead import quantile_of
from benchmarks.cluster.simulator import ClusterConfig
from benchmarks.control.fed_autoscaler import LEVELS as FED_LEVELS
from benchmarks.control.fed_autoscaler import FedAutoscaler
from settings import Settings
from storage import Store
from storage.records import Forecast
from tests.api import worlds
from tests.api.conftest import API, BASE, RecordingTrigger

PATH = f"{API}/predictions/value"
LEVELS = (0.05, 0.5, 0.95)


def foretell(store: Store, at: datetime, *series: str, **changes: Any) -> None:
    """Record a forecast that climbs by 1 a step of a minute from 1 to 60, its band one to each side."""
    point = np.arange(1.0, 61.0)
    fields = {
        "issued_at": at,
        "step_s": 60.0,
        "levels": LEVELS,
        "point": point,
        "quantiles": np.column_stack([point - 1, point, point + 1]),
        "method": "m",
    }
    store.forecasts.append([Forecast(series=name, **fields | changes) for name in series], "cycle-1")


def ask(client: TestClient, **parameters: Any) -> dict[str, Any]:
    answer: dict[str, Any] = client.get(PATH, params=parameters).json()
    return answer


def test_the_highest_value_of_the_quantile_within_the_time_is_told(
    client: TestClient, store: Store, tick: datetime
) -> None:
    foretell(store, tick, 'rate{zone="a"}')
    answer = ask(client, series="rate", quantile=0.95, within_seconds=600)
    assert answer == {
        "value": 11.0,
        "series": 'rate{zone="a"}',
        "quantile": 0.95,
        "at": (tick + timedelta(minutes=10)).isoformat().replace("+00:00", "Z"),
        "issued_at": tick.isoformat().replace("+00:00", "Z"),
    }
    assert ask(client, series="rate", quantile=0.5, within_seconds=61)["value"] == 2
    assert ask(client, series="rate", quantile=0.725, within_seconds=60)["value"] == pytest.approx(1.5)


def test_the_autoscaler_of_the_benchmark_is_fed_what_the_endpoint_gives(
    client: TestClient, store: Store, tick: datetime
) -> None:
    day = 100.0 + 60.0 * np.sin(np.arange(105) / 105 * 2 * np.pi)
    fed = FedAutoscaler(ClusterConfig(), len(day))
    quantiles = fed.foretold(np.concatenate([np.tile(day, 4), day[:40]]), seed=1)
    foretell(store, tick, "rate", levels=FED_LEVELS, point=quantiles[:, 0], quantiles=quantiles)
    assert ask(client, series="rate")["value"] == pytest.approx(fed.fed(quantiles), rel=1e-6)


def test_what_has_passed_since_the_forecast_no_longer_counts(
    settings: Settings, store: Store, trigger: RecordingTrigger, tick: datetime
) -> None:
    foretell(
        store, tick, "falling", point=np.arange(60.0, 0, -1), quantiles=np.arange(60.0, 0, -1)[:, None] * [1, 1, 1]
    )
    app = create_app(settings, store=store, trigger=trigger, clock=lambda: tick + timedelta(minutes=30))
    with TestClient(app, base_url=BASE) as client:
        assert ask(client, series="falling", quantile=0.5)["value"] == 30


@pytest.mark.parametrize(
    ("asked", "status", "code"),
    [
        ({"series": "unheard"}, 404, "series_unknown"),
        ({"series": "short"}, 404, "series_unknown"),
        ({"series": "many"}, 409, "series_ambiguous"),
        ({"series": "rate", "quantile": 1}, 422, "request_invalid"),
    ],
)
def test_what_cannot_be_told_is_refused(
    client: TestClient, store: Store, tick: datetime, asked: dict[str, Any], status: int, code: str
) -> None:
    foretell(store, tick, "rate", 'many{n="1"}', 'many{n="2"}')
    foretell(store, tick, "short", refusal="12 samples, 30 are needed")
    answer = client.get(PATH, params=asked)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["remedy"]


@pytest.mark.parametrize("age_minutes", [181, 100_000])
def test_a_forecast_that_is_not_renewed_is_not_told(
    client: TestClient, store: Store, tick: datetime, age_minutes: int
) -> None:
    foretell(store, tick - timedelta(minutes=age_minutes), "rate")
    answer = client.get(PATH, params={"series": "rate"})
    assert (answer.status_code, answer.json()["code"]) == (503, "forecast_stale")


def test_metrics_carry_quantiles_bound_and_probability_of_each_objective(
    client: TestClient, store: Store, tick: datetime
) -> None:
    worlds.a_turn(store, tick)
    text = client.get("/metrics").text
    labels = '{{ahead_seconds="3600",level="{0}",objective="cpu-not-saturated",series="cpu_used_ratio"}}'
    forecast = next(each for each in store.forecasts.of_cycle(str(store.forecasts.latest_cycle())) if each.point.size)
    found = {}
    for quantile in ("0.1", "0.5", "0.9"):
        name = f"foreact_predicted_value{labels.format(quantile)}"
        (line,) = [line for line in text.splitlines() if line.startswith(name)]
        found[quantile] = float(line.split()[-1])
    assert found["0.1"] < found["0.5"] < found["0.9"]
    assert found["0.5"] == pytest.approx(float(quantile_of(forecast, 0.5)[59]))
    assert 'foreact_objective_bound{objective="cpu-not-saturated",side="below"} 0.9' in text
    assert 'foreact_breach_probability{objective="cpu-not-saturated"}' in text
    assert "short_series" not in text


def test_of_very_many_series_those_most_at_risk_are_told(client: TestClient, store: Store, tick: datetime) -> None:
    client.put(f"{API}/objectives/rates", json={"metric": "rate", "bound": 10}).raise_for_status()
    foretell(store, tick, *(f'rate{{n="{number:03}"}}' for number in range(100)))
    lines = [line for line in client.get("/metrics").text.splitlines() if line.startswith("foreact_predicted_value{")]
    assert len(lines) == 20 * 3 * 2
