"""darts from end to end: a model of it serves a metric through a cycle, and what is stored comes out as its series."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from api.processes.layout import Layout
from cli.checks import examine
from flows.notebook import darts_forecast, darts_history, darts_scores
from storage.errors import ForeactError
from tasks.forecast.forecasters.darts_model import DartsForecaster
from tests.tasks.forecast.loop import HOUR, START, Loop, wave

TICK = START + timedelta(days=6)
NAIVE_ARGUMENTS = {"arguments": {"darts:NaiveSeasonal": {"K": 24}}}
NAIVE = {"per_metric": {"cpu": "darts:NaiveSeasonal"}} | NAIVE_ARGUMENTS


def recorded(folder: Path, **forecaster: object) -> Loop:
    loop = Loop(folder, **forecaster)
    loop.record("cpu", wave(24 * 7 + 1), START)
    loop.record("disk", wave(24 * 7 + 1, seed=1), START)
    return loop


def test_a_darts_model_with_arguments_serves_its_metric_through_a_cycle(tmp_path: Path) -> None:
    served, plain = recorded(tmp_path, **NAIVE).cycle(TICK), recorded(tmp_path).cycle(TICK)
    cpu, disk = served.by_series()["cpu"], served.by_series()["disk"]
    assert cpu.method == "darts:NaiveSeasonal"
    np.testing.assert_array_equal(disk.quantiles, plain.by_series()["disk"].quantiles)
    last_day = served.frames[0].row("cpu")[-24:]
    assert np.corrcoef(cpu.point, last_day)[0, 1] > 0.95
    assert (np.diff(cpu.quantiles, axis=1) >= 0).all()


def test_the_forecast_of_a_darts_model_is_stored_settled_and_scored(tmp_path: Path) -> None:
    loop = recorded(tmp_path, **NAIVE)
    loop.cycle(TICK)
    loop.cycle(TICK + 24 * HOUR)
    assert len(loop.store.forecasts.errors("cpu", None, 5)) == 1
    scores = darts_scores(loop.store, "cpu", issued_before=TICK)
    assert 0.5 < scores["mase"] < 2
    assert 0 <= scores["coverage_90"] <= 1
    assert scores["steps"] == 24


def many(folder: Path, **forecaster: object) -> Loop:
    served = {"per_metric": {f"m{number}": "darts:NaiveSeasonal" for number in range(5)}} | NAIVE_ARGUMENTS
    loop = Loop(folder, **served | forecaster)
    for number in range(5):
        loop.record(f"m{number}", wave(24 * 7, seed=number), START)
    return loop


def test_models_out_of_time_leave_the_fleet_standing_in_and_each_series_gets_its_turn(tmp_path: Path) -> None:
    loop = many(tmp_path, model_budget_seconds=1e-9)
    reached = []
    for turn in range(6):
        outlook = loop.cycle(TICK + turn * timedelta(minutes=1))
        (own,) = [each for each in outlook.forecasts if each.method == "darts:NaiveSeasonal"]
        reached.append(own.series)
        others = [each for each in outlook.forecasts if each is not own]
        assert all("no time left in this cycle" in each.warnings[0] for each in others)
        assert {each.method for each in others} == {"seasonal"}
    assert reached == ["m0", "m1", "m2", "m3", "m4", "m0"]


def test_within_its_time_every_series_is_served_and_the_backtest_is_kept_for_a_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, asked = many(tmp_path), []
    estimate = DartsForecaster._spread
    monkeypatch.setattr(DartsForecaster, "_spread", lambda *given: asked.append(loop.clock.now) or estimate(*given))
    for hours in (0, 1, 23, 24):
        outlook = loop.cycle(TICK + hours * HOUR)
        assert {each.method for each in outlook.forecasts} == {"darts:NaiveSeasonal"}
    assert asked == [TICK, TICK + 24 * HOUR]


def test_paths_of_a_model_break_together_with_those_of_the_fleet(tmp_path: Path) -> None:
    """Both follow one cause: where a path of the one runs high, that of the other does."""
    shared = np.random.default_rng(7).normal(0, 1, 24 * 7).cumsum()
    loop = Loop(tmp_path, **NAIVE)
    for number, name in enumerate(("cpu", "disk", "net")):
        loop.record(name, wave(24 * 7, noise=0.1, seed=number) + 3 * shared, START)
    (batch,) = loop.cycle(TICK).batches
    cpu, disk = batch.scaled_paths[0].mean(axis=1), batch.scaled_paths[1].mean(axis=1)
    assert batch.method[:2] == ("darts:NaiveSeasonal", batch.method[2])
    assert np.corrcoef(cpu, disk)[0, 1] > 0.8


def test_a_model_that_breaks_leaves_the_fleet_standing_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*values: object, **how: object) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr("tasks.forecast.method_per_series.get", lambda name, options: broken)
    outlook = recorded(tmp_path, per_metric={"cpu": "seasonal_naive"}).cycle(TICK)
    cpu = outlook.by_series()["cpu"]
    assert cpu.warnings == ("seasonal_naive failed (MemoryError: no room); the fleet forecast is used instead",)
    assert cpu.method == outlook.by_series()["disk"].method


WRONG = [
    ("darts:Crystal", {}, "Use a class of darts.models"),
    ("crystal", {}, "Use one of"),
    ("darts:Theta", {"season_mode": "weekly"}, "See the class in the darts documentation"),
    ("darts:Theta", {"colour": "red"}, "See the class in the darts documentation"),
    ("darts_ridge", {"alpha": "much"}, "Give alpha or nothing"),
    ("fleet", {"speed": 3}, "Remove them"),
]


@pytest.mark.parametrize(("method", "arguments", "remedy"), WRONG)
def test_a_method_configured_wrongly_stops_no_series_and_is_told_once(
    tmp_path: Path, method: str, arguments: dict[str, object], remedy: str
) -> None:
    loop = recorded(tmp_path, per_metric={"cpu": {"method": method, "arguments": arguments}})
    told, plain = loop.cycle(TICK).by_series(), recorded(tmp_path).cycle(TICK).by_series()
    np.testing.assert_array_equal(told["cpu"].quantiles, plain["cpu"].quantiles)
    (warning,) = told["cpu"].warnings
    assert warning.startswith("the method configured for cpu is wrong: ")
    assert remedy in warning
    assert told["disk"].warnings == ()
    loop.cycle(TICK + HOUR)
    (line,) = [each for each in loop.store.audit.latest() if each.verb == "forecaster misconfigured"]
    assert line.subject == "cpu"
    assert remedy in line.detail["trouble"]
    ((finding, text),) = [
        (each.finding, each.text)
        for each in examine(Layout(loop.settings, tmp_path, "t"))
        if each.what == "forecasters"
    ]
    assert finding == "wrong"
    assert remedy in text


def test_two_metrics_are_served_by_one_method_with_arguments_of_their_own(tmp_path: Path) -> None:
    own = {"method": "darts:NaiveSeasonal", "arguments": {"K": 1}}
    served = recorded(tmp_path, **NAIVE | {"per_metric": {"cpu": "darts:NaiveSeasonal", "disk": own}}).cycle(TICK)
    assert {each.method for each in served.forecasts} == {"darts:NaiveSeasonal"}
    assert np.ptp(served.by_series()["disk"].point) < 2 < 8 < np.ptp(served.by_series()["cpu"].point)


def test_history_and_forecast_come_out_of_the_store_as_one_line(tmp_path: Path) -> None:
    loop = recorded(tmp_path)
    outlook = loop.cycle(TICK)
    history = darts_history(loop.store, "cpu", until=TICK)
    forecast = darts_forecast(loop.store, "cpu", issued_before=TICK)
    assert history.freq == forecast.freq
    assert forecast.start_time() - history.end_time() == history.freq
    assert list(forecast.components) == ["cpu_q0.050", "cpu_q0.250", "cpu_q0.500", "cpu_q0.750", "cpu_q0.950"]
    np.testing.assert_allclose(history.values()[:, 0], loop.frames[0].row("cpu")[-len(history) :])
    np.testing.assert_allclose(forecast.values(), outlook.by_series()["cpu"].quantiles, rtol=1e-6)
    day = darts_history(loop.store, "cpu", until=TICK, step_s=7_200, steps=12)
    assert len(day) == 12


def test_scores_are_those_that_darts_metrics_gives(tmp_path: Path) -> None:
    """Worked out by hand beside: the mean error over the mean change from day to day, and the share in the band."""
    loop = recorded(tmp_path)
    forecast = loop.cycle(TICK).by_series()["cpu"]
    scores = darts_scores(loop.store, "cpu", issued_before=TICK)
    truth, past = wave(24 * 7 + 1)[145:], loop.frames[0].row("cpu")
    change = np.nanmean(np.abs(past[24:] - past[:-24]))
    assert scores["mase"] == pytest.approx(np.abs(truth - forecast.point).mean() / change, rel=1e-4)
    inside = (truth >= forecast.quantiles[:, 0]) & (truth <= forecast.quantiles[:, -1])
    assert scores["coverage_90"] == pytest.approx(inside.mean())


def test_what_is_not_there_is_refused_with_a_remedy(tmp_path: Path) -> None:
    loop = recorded(tmp_path)
    loop.cycle(START + timedelta(days=7))
    for ask, code in (
        (lambda: darts_history(loop.store, "nowhere", until=TICK), "series_unknown"),
        (lambda: darts_forecast(loop.store, "cpu", issued_before=TICK), "series_unknown"),
        (lambda: darts_scores(loop.store, "cpu", issued_before=TICK + timedelta(days=9)), "forecast_not_resolved"),
    ):
        with pytest.raises(ForeactError) as refusal:
            ask()
        assert refusal.value.code == code
