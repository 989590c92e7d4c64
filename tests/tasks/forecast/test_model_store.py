"""What is fitted once serves the cycles after it, and follows what became of their forecasts."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from storage.fitted import Fitted
from storage.forecasts import Resolved
from storage.records import Objective
from tasks.forecast.fleet.forecast import forecast_chunk
from tasks.forecast.fleet.offsets import no_offsets
from tasks.forecast.fleet_snapshot import STORED_LEVELS, CorruptSnapshot, fit_snapshot, read_snapshot
from tasks.forecast.verification.resolved import past_of
from tests.tasks.forecast.fleets import daily_fleet
from tests.tasks.forecast.loop import HOUR, START, Loop, wave

DAYS = 15


@pytest.fixture
def loop(tmp_path: Path) -> Loop:
    return filled(Loop(tmp_path))


def filled(loop: Loop, days: float = DAYS, series: int = 3) -> Loop:
    for number in range(series):
        loop.record(f"load{number}", wave(round(24 * days), seed=number), START)
    return loop


def fits(loop: Loop) -> int:
    return int(loop.rows("SELECT count(*) FROM fitted WHERE name LIKE 'fleet%'")[0][0])


def test_a_fleet_is_fitted_once_and_serves_for_a_day(loop: Loop) -> None:
    begin = START + timedelta(days=14)
    for hours in range(4):
        loop.cycle(begin + hours * HOUR)
    assert fits(loop) == 1
    loop.cycle(begin + 24 * HOUR)
    assert fits(loop) == 2


def test_a_history_that_has_grown_by_a_quarter_is_fitted_again(loop: Loop) -> None:
    for hours, count in ((48, 1), (58, 1), (64, 2)):
        loop.cycle(START + hours * HOUR)
        assert fits(loop) == count


def test_the_kept_fleet_forecasts_as_the_one_that_was_fitted(loop: Loop, tmp_path: Path) -> None:
    tick = START + timedelta(days=14)
    first = loop.cycle(tick)
    kept = loop.cycle(tick + timedelta(seconds=1))
    np.testing.assert_array_equal(first.batches[0].quantiles, kept.batches[0].quantiles)
    np.testing.assert_array_equal(first.batches[0].scaled_paths, kept.batches[0].scaled_paths)
    other = filled(Loop(tmp_path)).cycle(tick)
    np.testing.assert_array_equal(first.batches[0].quantiles, other.batches[0].quantiles)


def torn(loop: Loop, body: str) -> None:
    (name,) = loop.rows("SELECT name FROM fitted WHERE name LIKE 'fleet%'")[0]
    loop.clock.now += timedelta(seconds=1)
    loop.store.forecasts.fitted.keep(Fitted(name, loop.clock.now, body))


@pytest.mark.parametrize("body", ["", "{", "null", "{}", '{"state": "{}", "series": 3, "steps": 9, "blocks": []}'])
def test_a_corrupt_fleet_is_fitted_anew_and_said_so(loop: Loop, body: str) -> None:
    tick = START + timedelta(days=14)
    sound = loop.cycle(tick)
    torn(loop, body)
    healed = loop.cycle(tick + timedelta(minutes=1))
    assert "fitted again" in healed.notes[0]
    assert healed.batches[0].method == sound.batches[0].method
    assert [line.verb for line in loop.store.audit.latest()].count("forecaster refitted") == 1
    assert loop.cycle(tick + timedelta(minutes=2)).notes == ()


def test_a_state_with_figures_that_no_fit_produces_is_corrupt() -> None:
    kept = fit_snapshot(daily_fleet(), season_lengths=(24, 168), horizon=24, seed=0)
    assert np.array_equal(read_snapshot(kept.to_text()).state.library, kept.state.library)
    for wrong in (kept.to_text().replace("[", "[NaN, ", 4), kept.to_text()[:-200], kept.to_text().replace("24", "25")):
        with pytest.raises(CorruptSnapshot):
            read_snapshot(wrong)


def test_corrupt_curves_are_fitted_anew(loop: Loop) -> None:
    tick = START + timedelta(days=14)
    loop.cycle(tick)
    loop.clock.now += timedelta(seconds=1)
    loop.store.forecasts.fitted.keep(Fitted("recalibration", tick, '{"breach": 1}'))
    assert "recalibration" in loop.cycle(tick + timedelta(minutes=1)).notes[0]
    assert loop.cycle(tick + timedelta(minutes=2)).notes == ()


def test_what_the_ledger_says_moves_the_quantiles_of_later_cycles(tmp_path: Path) -> None:
    """The noise grows after ten days: what a fleet promised on calm days was too narrow."""
    loop = Loop(tmp_path)
    rng = np.random.default_rng(4)
    for number in range(4):
        calm, wild = wave(24 * 10, seed=number), wave(24 * 16, seed=number + 50) + rng.normal(0, 4, 24 * 16)
        loop.record(f"load{number}", np.concatenate([calm, wild]), START)
    for hour in range(0, 24 * 6, 3):
        loop.cycle(START + timedelta(days=9) + hour * HOUR)
    bodies = loop.rows("SELECT body FROM fitted WHERE name LIKE 'fleet%' ORDER BY fitted_at")
    first, last = read_snapshot(bodies[0][0]).state, read_snapshot(bodies[-1][0]).state
    assert not first.offsets.any()
    assert (last.offsets[:, -1] > 0.1).all()
    assert (last.offsets[:, 0] < -0.1).all()
    (stored,) = loop.rows("SELECT offsets FROM forecasts WHERE offsets IS NOT NULL ORDER BY issued_at DESC LIMIT 1")
    np.testing.assert_allclose(np.asarray(stored[0]).reshape(last.offsets.shape), last.offsets, rtol=1e-5)
    values = loop.frames[0].values
    plain = forecast_chunk(values, replace(last, offsets=0 * last.offsets)).quantiles
    assert (np.ptp(forecast_chunk(values, last).quantiles, axis=2) > np.ptp(plain, axis=2)).mean() > 0.99


def test_a_level_shift_of_one_series_widens_no_other_past_the_next_fit(tmp_path: Path) -> None:
    def usual_width(folder: Path, shift: float) -> float:
        loop = Loop(folder)
        for number in range(6):
            loop.record(f"load{number}", wave(24 * 12, seed=number), START)
        odd = wave(24 * 12, seed=10)
        odd[24 * 8 :] += shift
        loop.record("odd", odd, START)
        for hour in range(0, 24 * 4, 4):
            outlook = loop.cycle(START + timedelta(days=7) + hour * HOUR)
        assert fits(loop) >= 4
        return float(np.mean([np.ptp(outlook.by_series()[f"load{n}"].quantiles, axis=1) for n in range(6)]))

    assert usual_width(tmp_path, 500.0) < 1.1 * usual_width(tmp_path, 0.0)


def resolved(offset: float, seed: int = 1) -> Resolved:
    """Forecasts whose 90 % interval was ±(0.2 + offset) scales wide where errors have one scale of deviation."""
    rng, rows = np.random.default_rng(seed), range(40 * 3)
    shape = no_offsets(24, STORED_LEVELS).shape
    reach = np.linspace(-1.0, 1.0, len(STORED_LEVELS))
    scale = [2.0 + number % 3 for number in rows]
    return Resolved(
        {
            "series": [f"s{number % 3}" for number in rows],
            "issued_at": [START + number // 3 * timedelta(days=1) for number in rows],
            "method": ["seasonal"] * len(rows),
            "levels": [STORED_LEVELS] * len(rows),
            "point": [np.full(24, 100.0)] * len(rows),
            "quantiles": [np.tile(100 + (0.2 + offset) * reach * size, (24, 1)).ravel() for size in scale],
            "scale": scale,
            "offsets": [np.tile(offset * reach, (shape[0], 1)).ravel() if offset else None for _ in rows],
            "errors": [rng.normal(0, size, 24) for size in scale],
            "overlapped": [False] * len(rows),
        }
    )


def test_offsets_are_those_that_the_uncalibrated_quantiles_call_for() -> None:
    """Forecasts that were calibrated already ask for the same offsets, or they would be taken back the day after."""
    for offset in (0.0, 1.4):
        found = past_of(resolved(offset), 24).offsets(3_600)
        half = 40 / (40 + 5)
        np.testing.assert_allclose(found[:, -1], half * (1.645 - 0.2), atol=0.2)
        np.testing.assert_allclose(found[:, 0], -half * (1.645 - 0.2), atol=0.2)
        np.testing.assert_allclose(found[:, len(STORED_LEVELS) // 2], 0, atol=0.3)


def test_forecasts_that_take_no_offsets_teach_none() -> None:
    columns = dict(resolved(0.0).columns) | {"method": ["short"] * 120}
    assert not past_of(Resolved(columns), 24).offsets(3_600).any()


def test_joint_errors_of_the_ledger_are_kept_for_objectives(tmp_path: Path) -> None:
    objectives = [Objective(name=f"o{n}", metric=f"load{n}", bound=58, horizon_s=3 * 3_600) for n in range(3)]
    loop = filled(Loop(tmp_path, objectives), days=22)
    for hour in range(0, 24 * 7, 3):
        outlook = loop.cycle(START + timedelta(days=14) + hour * HOUR)
    body = loop.rows("SELECT body FROM fitted WHERE name LIKE 'fleet%' ORDER BY fitted_at DESC LIMIT 1")[0][0]
    blocks = read_snapshot(body).blocks
    assert blocks.series == ("load0", "load1", "load2")
    assert blocks.errors.shape[1:] == (3, 3)
    assert len(blocks.errors) >= 30
    assert "of 500 simulated futures" in outlook.state.reason
    assert sum(outlook.state.probabilities.values()) == pytest.approx(1)
