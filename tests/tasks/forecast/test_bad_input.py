"""Whatever is recorded, a cycle forecasts it by a stated method or says why not, and no other series is harmed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from storage.records import Objective, Sample
from tasks.forecast import forecast_batch
from tasks.forecast.risk.outlook import Outlook
from tests.tasks.forecast.fleets import DAY, daily_fleet
from tests.tasks.forecast.loop import HOUR, START, Loop, wave

TICK = START + timedelta(days=7)
HOURS = 24 * 7
GOOD = tuple(f"good{number}" for number in range(5))
METHODS = {"seasonal", "pooled", "short", "constant", "seasonal trending", "pooled trending"}
Samples = Sequence[tuple[datetime, float]]


def hourly(values: Sequence[float] | np.ndarray, first: datetime = START + HOUR) -> Samples:
    return [(first + place * HOUR, float(value)) for place, value in enumerate(values)]


def put(loop: Loop, series: str, samples: Samples) -> None:
    loop.store.samples.append([Sample(metric=series, value=value, ts=ts) for ts, value in samples])


def spiked(value: float) -> Samples:
    values = wave(HOURS)
    values[[30, 31, 90, 160]] = value
    return hourly(values)


def clock_jumps() -> Samples:
    """Two days in, the clock is three hours ahead for ten hours; then it is put right and runs over the same hours."""
    values = wave(HOURS + 10)
    ahead = [(ts + 3 * HOUR, value) for ts, value in hourly(values[48:58], START + 49 * HOUR)]
    return [*hourly(values[:48]), *ahead, *hourly(values[58:], START + 49 * HOUR)]


def interval_changes() -> Samples:
    """Every ten minutes at first, every three hours in the middle, every minute on the last day."""
    minutes = [*range(0, 3 * 1440, 10), *range(3 * 1440, 6 * 1440, 180), *range(6 * 1440, 7 * 1440)]
    level = wave(HOURS + 1, noise=0.2)
    return [(START + timedelta(minutes=m + 1), float(level[m // 60])) for m in minutes]


def shuffled(samples: Samples) -> Samples:
    order = np.random.default_rng(2).permutation(len(samples))
    return [samples[place] for place in order]


BAD: dict[str, tuple[Samples, str]] = {
    "all NaN": (hourly(np.full(HOURS, np.nan)), "refused"),
    "one point": (hourly([4.0], TICK - HOUR), "refused"),
    "29 points": (hourly(wave(29), TICK - 28 * HOUR), "refused"),
    "constant": (hourly(np.full(HOURS, 7.0)), "constant"),
    "constant zero": (hourly(np.zeros(HOURS)), "constant"),
    "two values": (hourly(np.arange(HOURS) % 2), "any"),
    "1e300": (spiked(1e300), "any"),
    "-1e300": (spiked(-1e300), "any"),
    "only 1e300": (hourly(np.full(HOURS, 1e300)), "refused"),
    "both signs of 1e300": (hourly(1e300 * (-1.0) ** np.arange(HOURS)), "refused"),
    "infinite": (spiked(np.inf), "any"),
    "1e-310": (hourly(1e-310 * wave(HOURS)), "any"),
    "1e-300": (hourly(1e-300 * wave(HOURS)), "any"),
    "a clock that jumps": (clock_jumps(), "any"),
    "a step that changes": (interval_changes(), "any"),
    "long silent": (hourly(wave(100)), "any"),
    "only in the future": (hourly(wave(50), TICK + HOUR), "absent"),
}


def filled(folder: Path, **forecaster: object) -> Loop:
    objectives = [Objective(name=f"o{n}", metric=name, bound=56, horizon_s=7_200) for n, name in enumerate(GOOD)]
    loop = Loop(folder, objectives, **forecaster)
    for number, name in enumerate(GOOD):
        put(loop, name, hourly(wave(HOURS + 48, seed=number)))
    return loop


def same(one: Outlook, other: Outlook, series: Sequence[str] = GOOD) -> bool:
    pairs = [(one.by_series()[name], other.by_series()[name]) for name in series]
    paths = [(one.paths()[name], other.paths()[name]) for name in series]
    return all(np.array_equal(a.quantiles, b.quantiles) and a.warnings == b.warnings for a, b in pairs) and all(
        np.array_equal(a, b) for a, b in paths
    )


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Outlook:
    loop = filled(tmp_path_factory.mktemp("alone"))
    loop.cycle(TICK - HOUR)
    return loop.cycle(TICK)


@pytest.mark.parametrize("kind", sorted(BAD))
def test_a_bad_series_has_a_method_or_a_reason_and_harms_no_other(tmp_path: Path, alone: Outlook, kind: str) -> None:
    """A fleet fitted before the bad series came forecasts the others as if it were not there, to the last digit."""
    samples, expected = BAD[kind]
    loop = filled(tmp_path)
    loop.cycle(TICK - HOUR)
    put(loop, "bad", samples)
    outlook = loop.cycle(TICK)
    assert same(outlook, alone)
    found = [forecast for forecast in outlook.forecasts if forecast.series == "bad"]
    if expected == "absent":
        assert found == []
        return
    (bad,) = found
    if expected == "refused":
        assert bad.refusal is not None
        assert "usable points" in bad.refusal
        return
    assert bad.refusal is None
    assert bad.method == expected or (expected == "any" and bad.method in METHODS)
    assert np.isfinite(bad.quantiles).all()
    assert (np.diff(bad.quantiles, axis=1) >= 0).all()


@pytest.mark.parametrize("kind", sorted(BAD))
def test_a_fleet_fitted_beside_a_bad_series_still_forecasts_the_others_well(
    tmp_path: Path, alone: Outlook, kind: str
) -> None:
    loop = filled(tmp_path)
    put(loop, "bad", BAD[kind][0])
    outlook = loop.cycle(TICK)
    for name in GOOD:
        beside, expected = outlook.by_series()[name], alone.by_series()[name]
        width = expected.quantiles[:, 2] - expected.quantiles[:, 0]
        assert (np.abs(beside.point - expected.point) < 0.5 * width).all()
        assert beside.method == expected.method


@pytest.mark.parametrize("kind", ["1e300", "-1e300", "infinite"])
def test_values_that_cannot_be_are_said(tmp_path: Path, kind: str) -> None:
    loop = filled(tmp_path)
    put(loop, "bad", BAD[kind][0])
    (warning, *_) = loop.cycle(TICK).by_series()["bad"].warnings
    assert warning == "4 infinite or implausibly large values were ignored"


def test_all_values_that_cannot_be_are_counted_also_those_before_the_first_good_one() -> None:
    values = daily_fleet(1, 10)
    values[0, : values.shape[1] // 2] = 1e300
    batch = forecast_batch(values, season_lengths=(DAY,), horizon=12)
    assert batch.warnings[0][0].startswith(f"{values.shape[1] // 2} infinite or implausibly large values")
    assert batch.refusals == (None,)


def test_one_recorded_point_does_not_count_as_filled() -> None:
    values = np.full((1, 600), np.nan)
    values[0, 3] = 4.0
    batch = forecast_batch(values, season_lengths=(DAY,), horizon=12)
    assert batch.refusals[0] == "1 usable points; a forecast needs 30"
    assert all("100%" not in warning for warning in batch.warnings[0])


@pytest.mark.parametrize(
    ("values", "levels", "words"),
    [
        (np.empty((2, 0)), (0.1, 0.9), "at least one step"),
        (np.ones((2, 60)), (0.1, np.nan), "ascend strictly"),
        (np.ones((2, 60)), (np.nan,), "ascend strictly"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_words(values: np.ndarray, levels: tuple[float, ...], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        forecast_batch(values, season_lengths=(DAY,), horizon=12, levels=levels)


def test_gaps_that_were_filled_are_said(tmp_path: Path) -> None:
    loop = filled(tmp_path)
    put(loop, "bad", BAD["long silent"][0])
    assert any("filled gaps" in warning for warning in loop.cycle(TICK).by_series()["bad"].warnings)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("unordered", shuffled),
        ("repeated", lambda samples: [*[(ts, -99.0) for ts, _ in samples[::3]], *samples]),
        ("twice the same", lambda samples: [*samples, *samples]),
        ("local", lambda samples: [(ts.astimezone(ZoneInfo("Europe/Berlin")), value) for ts, value in samples]),
        ("with a clock ahead", lambda samples: [*samples, *[(ts + timedelta(days=30), 999.0) for ts, _ in samples]]),
    ],
)
def test_order_repetition_and_time_zones_change_nothing(
    tmp_path: Path, name: str, change: Callable[[Samples], Samples]
) -> None:
    """Of samples of one moment the one recorded last counts."""
    clean, changed = Loop(tmp_path / "a"), Loop(tmp_path / "b")
    samples = hourly(wave(HOURS))
    put(clean, "cpu", samples)
    for sample in change(samples):
        changed.clock.now += timedelta(microseconds=1)
        put(changed, "cpu", [sample])
    one, other = clean.cycle(TICK), changed.cycle(TICK)
    assert same(one, other, ["cpu"])


@pytest.mark.parametrize("night", [datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)])
def test_the_night_the_clocks_change_neither_doubles_nor_loses_an_hour(tmp_path: Path, night: datetime) -> None:
    """Recorded by local clocks with their offset, forecast across the change: as in UTC."""
    berlin, tick = ZoneInfo("Europe/Berlin"), night + timedelta(hours=12)
    local, utc = Loop(tmp_path / "a"), Loop(tmp_path / "b")
    samples = hourly(wave(HOURS), tick - (HOURS - 1) * HOUR)
    put(local, "cpu", [(ts.astimezone(berlin), value) for ts, value in samples])
    put(utc, "cpu", samples)
    one, other = local.cycle(tick), utc.cycle(tick)
    assert same(one, other, ["cpu"])
    assert np.isfinite(local.frames[0].values).all()


def test_a_repeated_moment_recorded_in_one_go_keeps_the_last(tmp_path: Path) -> None:
    loop = Loop(tmp_path)
    put(loop, "cpu", hourly(wave(HOURS)))
    loop.clock.now += timedelta(seconds=1)
    put(loop, "cpu", [(TICK, 1.0)])
    loop.cycle(TICK)
    assert loop.frames[0].row("cpu")[-1] == 1.0


@pytest.mark.parametrize("kind", ["a step that changes", "a clock that jumps", "one point", "1e300"])
def test_a_bad_series_on_a_grid_of_its_own_harms_no_other(tmp_path: Path, kind: str) -> None:
    """With the step left to the loop, what is sampled otherwise is laid on another grid."""
    beside, alone = filled(tmp_path / "a", step_seconds=0), filled(tmp_path / "b", step_seconds=0)
    for loop in (beside, alone):
        loop.cycle(TICK - HOUR)
    put(beside, "bad", BAD[kind][0])
    outlook = beside.cycle(TICK)
    assert same(outlook, alone.cycle(TICK))
    (bad,) = [forecast for forecast in outlook.forecasts if forecast.series == "bad"]
    assert bad.refusal is not None or np.isfinite(bad.quantiles).all()


def test_nothing_recorded_at_all_is_an_empty_outlook(tmp_path: Path) -> None:
    outlook = Loop(tmp_path).cycle(TICK)
    assert outlook.forecasts == ()
    assert outlook.state.state == "unknown"
