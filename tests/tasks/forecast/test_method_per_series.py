"""Each series is served by the method that the configuration names."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from storage.errors import ForeactError
from storage.records import Frame
from tasks.forecast.method_per_series import MethodPerSeries, forecast_frame

END = datetime(2026, 3, 2, tzinfo=UTC)


def a_frame() -> Frame:
    rng = np.random.default_rng(3)
    values = 10 + np.sin(np.arange(200) / 8) + 0.1 * rng.standard_normal((3, 200))
    return Frame(series=("cpu", 'disk{mount="/"}', 'disk{mount="/data"}'), values=values, end=END, step_s=600)


def test_a_metric_is_served_by_the_method_named_for_it() -> None:
    serving = MethodPerSeries(per_metric={"disk": "seasonal_naive"})
    batch = forecast_frame(a_frame(), serving, 24, 0)
    plain = forecast_frame(a_frame(), MethodPerSeries(), 24, 0)
    assert batch.method[0] == plain.method[0]
    np.testing.assert_array_equal(batch.quantiles[0], plain.quantiles[0])
    assert batch.method[1] == batch.method[2] != plain.method[1]
    assert batch.paths.shape == plain.paths.shape


def test_any_darts_model_serves_by_class_name() -> None:
    serving = MethodPerSeries(per_metric={"cpu": "darts:ExponentialSmoothing"})
    batch = forecast_frame(a_frame(), serving, 12, 0)
    assert batch.method[0] == "darts:ExponentialSmoothing"
    assert np.isfinite(batch.quantiles).all()
    assert (np.diff(batch.quantiles, axis=2) >= 0).all()


def test_a_method_nobody_knows_is_refused() -> None:
    with pytest.raises(ForeactError) as refusal:
        forecast_frame(a_frame(), MethodPerSeries(default="crystal-ball"), 12, 0)
    assert refusal.value.code == "unknown_forecaster"


def test_a_share_stays_a_share_and_other_metrics_are_not_bounded() -> None:
    climb = np.clip(np.linspace(0.1, 0.98, 200), 0, 1)
    frame = Frame(series=("cpu_used_ratio", "queue"), values=np.stack([climb, climb]), end=END, step_s=60)
    batch = forecast_frame(frame, MethodPerSeries(), 60, 0)
    assert batch.paths[0].max() <= 1 + 1e-6
    assert batch.quantiles[0].max() <= 1
    assert batch.paths[1].max() > 1
