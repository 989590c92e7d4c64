"""Change points, clock seasons and co-movement: what is found where it is, and not where it is not."""

from __future__ import annotations

import re

import numpy as np
import pytest

from benchmarks import patterns_worlds as worlds
from benchmarks.patterns_worlds import DAY_STEPS, END_S, STEP_S
from tasks.patterns import PatternInput, SearchSettings
from tasks.patterns.comovement import find_comovement, spearman
from tasks.patterns.finding import Finding
from tasks.patterns.inputs import DAY_S, HOUR_S, WEEK_S
from tasks.patterns.level_changes import find_changes
from tasks.patterns.seasonality import find_seasonality

SETTINGS = SearchSettings()


@pytest.mark.parametrize(("memory", "power"), [(0.0, 0.97), (0.8, 0.85)])
def test_shifts_of_level_are_placed_within_the_hour_and_seldom_invented(memory: float, power: float) -> None:
    hits, invented = [], 0
    for run in range(8):
        values, at = worlds.shift_world(np.random.default_rng(run), memory)
        found = [(f.subject, int(str(f.evidence["step"]))) for f in find_changes(worlds.frame_of(values), SETTINGS)]
        for row, step in enumerate(at):
            hits.append(any(name == f"m{row}" and abs(step - placed) <= 12 for name, placed in found))
        invented += sum(int(name[1:]) >= len(at) for name, _ in found)
    assert np.mean(hits) >= power
    assert invented <= 2


def test_a_change_is_told_in_the_unit_of_its_metric() -> None:
    values = 9.5e8 + 1e7 * worlds.noise(np.random.default_rng(0), 1, 2016, 0.3)
    values[0, 1200:] += 1e8
    frame = PatternInput(["m0"], values, END_S, STEP_S, units={"m0": "bytes"})
    (change,) = find_changes(frame, SETTINGS)
    assert re.search(r"went up from 9\d\d\.?\d* MB to 1\.0\d+ GB at ", change.statement)


@pytest.mark.parametrize("hours", [2, 5, 24, 75])
@pytest.mark.parametrize(("before", "after", "spread"), [(3.0, 5.0, 0.0), (20.0, 50.0, 0.0), (20.0, 500.0, 0.3)])
def test_the_levels_told_are_the_true_ones_however_far_the_move(
    hours: int, before: float, after: float, spread: float
) -> None:
    values = np.where(np.arange(2016) < 2016 - 12 * hours, before, after)
    values = values + np.random.default_rng(1).normal(0, spread, 2016)
    (change,) = find_changes(worlds.frame_of(values[None]), SETTINGS)
    assert float(str(change.evidence["before"])) == pytest.approx(before, abs=0.3 + spread)
    assert float(str(change.evidence["after"])) == pytest.approx(after, abs=0.3 + spread)
    assert f"from {before:.3g} to {after:.3g} at" in change.statement or spread


def test_a_change_gives_the_levels_before_and_after_in_units_of_the_metric() -> None:
    values = 500.0 + 10.0 * worlds.noise(np.random.default_rng(0), 1, 2016, 0.3)
    values[0, 1200:] += 80.0
    (change,) = find_changes(worlds.frame_of(values), SETTINGS)
    assert float(str(change.evidence["before"])) == pytest.approx(500.0, abs=3.0)
    assert float(str(change.evidence["after"])) == pytest.approx(580.0, abs=3.0)
    assert float(str(change.evidence["at_s"])) == pytest.approx(END_S - (2015 - 1200) * STEP_S, abs=600.0)
    assert change.evidence["lasts"] is True


def _of_days(days: float, seed: int = 0, count: int = 20) -> np.ndarray:
    """Return series that follow the day and wander for hours, as hosts with nothing wrong do."""
    rng, n_steps = np.random.default_rng(seed), round(days * DAY_STEPS)
    daily = worlds.daily_waves(rng, count, n_steps)
    return 40.0 + 6.0 * daily + 2.0 * worlds.noise(rng, count, n_steps, 0.99) + worlds.noise(rng, count, n_steps, 0.0)


@pytest.mark.parametrize("days", [0.5, 1.0, 2.5])
def test_the_rise_of_a_morning_is_no_shift_while_the_day_is_not_known(days: float) -> None:
    found = [find_changes(worlds.frame_of(_of_days(days, seed)), SETTINGS) for seed in range(3)]
    assert found == [[], [], []]


def test_a_slow_wander_is_hardly_ever_a_shift() -> None:
    found = [each for seed in range(5) for each in find_changes(worlds.frame_of(_of_days(7, seed)), SETTINGS)]
    assert len(found) <= 5


def test_a_shift_is_told_from_two_known_days_before_it_on() -> None:
    for shifted_at, count in ((1.5, 0), (2.5, 1)):
        values = 50.0 + worlds.noise(np.random.default_rng(0), 1, 5 * DAY_STEPS, 0.3)
        values[0, round(shifted_at * DAY_STEPS) :] += 10.0
        assert len(find_changes(worlds.frame_of(values), SETTINGS)) == count


def test_a_series_that_is_younger_than_its_neighbours_waits_for_its_own_two_days() -> None:
    values = 50.0 + worlds.noise(np.random.default_rng(0), 2, 6 * DAY_STEPS, 0.3)
    values[:, 5 * DAY_STEPS :] += 10.0
    values[1, : 4 * DAY_STEPS] = np.nan
    assert [each.subject for each in find_changes(worlds.frame_of(values), SETTINGS)] == ["m0"]


def test_a_level_that_was_there_before_is_not_new() -> None:
    values = 50.0 + worlds.noise(np.random.default_rng(0), 1, 7 * DAY_STEPS, 0.3)
    values[0, 3 * DAY_STEPS : 5 * DAY_STEPS] -= 10.0
    fell, rose = sorted(
        find_changes(worlds.frame_of(values), SETTINGS), key=lambda each: int(str(each.evidence["step"]))
    )
    assert (fell.evidence["is_new"], fell.evidence["lasts"]) == (True, False)
    assert (rose.evidence["is_new"], rose.evidence["lasts"]) == (False, True)


def test_zero_variance_is_no_shift_and_a_step_between_two_constants_is_one() -> None:
    values = np.full((2, 7 * DAY_STEPS), 50.0)
    assert find_changes(worlds.frame_of(values), SETTINGS) == []
    values[1, 4 * DAY_STEPS :] = 60.0
    assert [each.subject for each in find_changes(worlds.frame_of(values), SETTINGS)] == ["m1"]


@pytest.mark.parametrize("slope", [0.002, 0.01, 0.05])
def test_a_slope_is_no_change_of_level_and_a_step_on_a_slope_is_one(slope: float) -> None:
    values = slope * np.arange(2016) + worlds.noise(np.random.default_rng(0), 3, 2016, 0.3)
    assert find_changes(worlds.frame_of(values), SETTINGS) == []
    values[1, 1200:] += 0.25 * slope * 2016 + 6.0
    (change,) = find_changes(worlds.frame_of(values), SETTINGS)
    assert (change.subject, change.evidence["lasts"]) == ("m1", True)
    assert int(str(change.evidence["step"])) == pytest.approx(1200, abs=12)


def test_a_daily_wave_is_no_change_of_level() -> None:
    wave = np.sign(np.sin(2 * np.pi * np.arange(2016) / DAY_STEPS)) * 5.0
    values = wave + worlds.noise(np.random.default_rng(0), 5, 2016, 0.3)
    assert find_changes(worlds.frame_of(values), SETTINGS) == []


def _clocks(findings: list[Finding]) -> set[tuple[str, float | None]]:
    return {(finding.subject, finding.period_s) for finding in findings}


def test_the_hour_the_day_and_the_week_are_told_apart() -> None:
    step_s, n_steps = 600.0, 4 * 7 * 144
    at_s = END_S - step_s * np.arange(n_steps)[::-1]
    values = 0.5 * worlds.noise(np.random.default_rng(0), 4, n_steps, 0.5)
    values[0] += np.sin(2 * np.pi * at_s / HOUR_S)
    values[1] += np.sin(2 * np.pi * at_s / DAY_S)
    values[2] += 2.0 * (np.floor(at_s / DAY_S) % 7 < 2)
    frame = PatternInput(["hourly", "daily", "weekly", "none"], values, END_S, step_s)
    found = _clocks(find_seasonality(frame, SETTINGS, 0))
    assert found == {("hourly", HOUR_S), ("daily", DAY_S), ("weekly", WEEK_S)}


def test_wandering_noise_seldom_follows_the_day() -> None:
    false = [
        len(find_seasonality(worlds.frame_of(worlds.noise(np.random.default_rng(run), 20, 2016, 0.95)), SETTINGS, run))
        for run in range(15)
    ]
    assert np.mean(false) / 20 <= 0.02


def test_the_peak_of_the_day_is_given_in_local_time() -> None:
    at_s = END_S - STEP_S * np.arange(2016)[::-1]
    # 12:00 UTC is 21:00 in Tokyo.
    values = np.cos(2 * np.pi * (at_s - 12 * HOUR_S) / DAY_S)[None] + 0.1 * worlds.noise(
        np.random.default_rng(0), 1, 2016, 0.0
    )
    (season,) = find_seasonality(worlds.frame_of(values), SearchSettings(timezone="Asia/Tokyo"), 0)
    assert float(str(season.evidence["high_phase_s"])) == pytest.approx(21 * HOUR_S, abs=HOUR_S)


def test_levels_that_share_only_the_time_of_day_do_not_move_together() -> None:
    rng = np.random.default_rng(0)
    wave = 3.0 * np.sin(2 * np.pi * np.arange(2016) / DAY_STEPS)
    values = worlds.noise(rng, 10, 2016, 0.9) + wave
    assert np.abs(spearman(values)[0][0, 1]) > 0.5
    assert find_comovement(worlds.frame_of(values), SETTINGS) == []


def test_series_surprised_together_or_in_opposition_form_groups() -> None:
    rng = np.random.default_rng(0)
    values = worlds.noise(rng, 8, 2016, 0.8)
    shared, opposed = worlds.noise(rng, 2, 2016, 0.8)
    values[:3] += shared
    values[3] += opposed
    values[4] -= opposed
    found = {finding.subject: finding for finding in find_comovement(worlds.frame_of(values), SETTINGS)}
    assert set(found) == {"m0, m1, m2", "m3, m4"}
    assert found["m3, m4"].evidence["opposed"] is True
    assert found["m0, m1, m2"].evidence["opposed"] is False


def test_the_rank_correlation_allows_for_memory() -> None:
    values = worlds.noise(np.random.default_rng(0), 60, 2016, 0.95)
    _, p_values = spearman(values)
    assert (p_values[np.triu_indices(60, 1)] <= 0.05).mean() <= 0.08


def test_the_closest_of_more_series_than_are_compared_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(3)
    values = random.normal(size=(700, 300))
    values[[20, 333, 640]] += 2.0 * random.normal(size=300)
    whole = find_comovement(worlds.frame_of(values), SearchSettings())
    monkeypatch.setattr("tasks.patterns.comovement._MOST_COMPARED", 50)
    (finding,) = find_comovement(worlds.frame_of(values), SearchSettings())
    assert finding.evidence["metrics"] == ["m20", "m333", "m640"]
    assert [each.subject for each in whole] == [finding.subject]
