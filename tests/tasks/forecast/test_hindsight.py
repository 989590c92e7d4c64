"""What came after the moment of a turn, or was recorded after it, has no part in what was foretold."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from tasks.forecast import ForecastBatch, forecast_batch
from tests.tasks.forecast.loop import HOUR, START, Loop, wave

TICK = START + timedelta(days=7)
WILD = [1e6] * 12


def loop_of(folder: Path) -> Loop:
    loop = Loop(folder)
    for seed, name in enumerate(("cpu", "disk")):
        loop.record(name, wave(24 * 7 + 1, seed=seed))
    return loop


@pytest.mark.parametrize("recorded_at", [TICK - HOUR, TICK + HOUR])
def test_values_of_a_moment_after_the_tick_never_change_its_forecast(tmp_path: Path, recorded_at: datetime) -> None:
    plain, loop = loop_of(tmp_path).cycle(TICK).by_series(), loop_of(tmp_path)
    loop.clock.now = recorded_at
    loop.record("cpu", WILD, TICK + HOUR)
    told = loop.cycle(TICK).by_series()
    for name in ("cpu", "disk"):
        np.testing.assert_array_equal(told[name].quantiles, plain[name].quantiles)
    loop.cycle(TICK + 13 * HOUR)  # they are in the store, for whoever may see them
    assert np.nanmax(loop.frames[0].row("cpu")) == WILD[0]


def test_values_recorded_after_the_tick_never_change_a_forecast_of_what_was_known_then(tmp_path: Path) -> None:
    def foretold(as_of: datetime | None) -> ForecastBatch:
        frame = loop.store.samples.frame(["cpu", "disk"], TICK, 3_600, 24 * 7, as_of=as_of)
        return forecast_batch(frame.values, season_lengths=frame.season_lengths, horizon=24)

    loop = loop_of(tmp_path)
    before = foretold(TICK)
    loop.clock.now = TICK + HOUR
    loop.record("cpu", WILD, TICK - 11 * HOUR)
    np.testing.assert_array_equal(foretold(TICK).quantiles, before.quantiles)
    assert not np.array_equal(foretold(None).quantiles, before.quantiles)
