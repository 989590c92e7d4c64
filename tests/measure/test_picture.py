"""An outcome picture shows what was expected beside what came."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from storage.errors import ForeactError
from tasks.measure import OutcomePicture, measure_effect, outcome_picture, render
from tests.measure.worlds import HORIZON, rhythm

START = datetime(2026, 3, 1, tzinfo=UTC)
WORLD = rhythm(7)


def _picture(**changes: object) -> OutcomePicture:
    moments = [START + timedelta(minutes=15 * step) for step in range(100 + HORIZON)]
    observed = WORLD.after - 2 * WORLD.sd
    observed[3] = np.nan
    given: dict[str, object] = {
        "action": "limit_process_affinity",
        "metric": "cpu_used_ratio",
        "acted_at": moments[99],
        "history_at": moments[:100],
        "history": WORLD.history[-100:],
        "after_at": moments[100:],
        "observed": observed,
        "forecast": WORLD.forecast,
        "effect": measure_effect(observed, WORLD.forecast, WORLD.ledger),
    }
    return outcome_picture(**(given | changes))  # type: ignore[arg-type]


def test_the_svg_names_the_action_and_its_verdict() -> None:
    drawn = render(_picture()).decode()
    assert drawn.lstrip().startswith("<?xml")
    assert "limit_process_affinity on cpu_used_ratio: improved" in drawn
    assert "expected without action" in drawn


def test_the_same_picture_gives_the_same_bytes() -> None:
    assert render(_picture()) == render(_picture())


def test_a_png_is_a_png() -> None:
    assert render(_picture(), "png").startswith(b"\x89PNG")


def test_the_band_of_the_forecast_is_kept_where_given() -> None:
    low, high = WORLD.forecast - 1, WORLD.forecast + 1
    np.testing.assert_array_equal(_picture(band=(low, high)).low, low)


def test_an_outcome_without_data_can_be_drawn_and_says_so() -> None:
    silent = np.full(HORIZON, np.nan)
    effect = measure_effect(silent, WORLD.forecast, WORLD.ledger)
    picture = _picture(observed=silent, effect=effect)
    assert "unknown" in render(picture).decode()
    assert picture.to_record()["observed"] == [None] * HORIZON


def test_the_record_is_plain_json() -> None:
    record = json.loads(json.dumps(_picture().to_record(), allow_nan=False))
    assert record["observed"][3] is None
    assert record["verdict"] == "improved"


def test_lengths_that_disagree_are_refused() -> None:
    with pytest.raises(ForeactError) as refused:
        _picture(forecast=WORLD.forecast[:-1])
    assert refused.value.code == "picture_shape"
