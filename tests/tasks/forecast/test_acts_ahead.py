"""A forecast says what will come with the acts in force, and how little is known of what they do."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from storage.records import FloatArray, Frame
from tasks.forecast.acts_ahead import with_acts
from tasks.forecast.batch import ForecastBatch
from tasks.interventions.effect_over_time import ActEffects, PassingAct, fit_effects

END = datetime(2026, 3, 6, tzinfo=UTC)
STEP_S = 300.0
STEPS, AHEAD, PATHS = 1_200, 24, 400


def act(back: int, action: str = "shed") -> PassingAct:
    return PassingAct("load", f"{action} {back}", action, END - timedelta(seconds=back * STEP_S), 3_600.0)


def history(acts: list[PassingAct], change: float) -> FloatArray:
    values = 100 + np.random.default_rng(0).normal(0, 3, STEPS)
    for each in acts:
        begins = STEPS - round((END - each.start).total_seconds() / STEP_S)
        values[begins : begins + 12] += change
    return values


def effects_of(values: FloatArray, acts: list[PassingAct]) -> ActEffects:
    effects = fit_effects(values, END, STEP_S, acts)
    assert effects is not None
    return effects


def foretold() -> ForecastBatch:
    return ForecastBatch.from_paths(100 + np.random.default_rng(1).normal(0, 3, (1, PATHS, AHEAD)))


def frame_of(values: FloatArray) -> Frame:
    return Frame(series=("load",), values=values[None, :], end=END, step_s=STEP_S)


def test_what_an_act_in_force_still_does_is_added_for_as_long_as_it_lasts() -> None:
    acts = [*map(act, range(60, 1_000, 40)), act(6)]
    values = history(acts, -30.0)
    batch = with_acts(foretold(), frame_of(values), {"load": effects_of(values, acts)}, seed=1)
    assert batch.point[0, :6].mean() == pytest.approx(70, abs=5)
    assert batch.point[0, 7:].mean() == pytest.approx(100, abs=4)
    assert batch.paths_of(0)[:, :6].mean() == pytest.approx(batch.point[0, :6].mean(), abs=1)


def test_what_is_not_known_of_an_act_that_just_ran_widens_quantiles_and_paths() -> None:
    acts = [act(200), act(1, "new")]
    values = history(acts[:1], -30.0)
    plain, batch = foretold(), with_acts(foretold(), frame_of(values), {"load": effects_of(values, acts)}, seed=1)
    width = batch.quantiles[0, :, -1] - batch.quantiles[0, :, 0]
    assert (width[2:10] > 1.2 * (plain.quantiles[0, :, -1] - plain.quantiles[0, :, 0])[2:10]).all()
    assert batch.paths_of(0)[:, 5].std() > 1.2 * plain.paths_of(0)[:, 5].std()
    assert (np.diff(batch.quantiles, axis=2) >= 0).all()


def test_a_refused_forecast_and_series_without_acts_stay_as_they_are() -> None:
    acts = [act(6)]
    values = history(acts, -30.0)
    refused = replace(foretold(), refusals=("silent",))
    assert with_acts(refused, frame_of(values), {"load": effects_of(values, acts)}, seed=1) is refused
    plain = foretold()
    assert with_acts(plain, frame_of(values), {}, seed=1) is plain
