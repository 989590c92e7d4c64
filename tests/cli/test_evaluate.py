"""`foreact evaluate` compares forecasters on what is recorded, and says what it could not compare."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cli.app import app
from cli.evaluation import Question, evaluate_store
from settings import ForecasterSettings, load_settings, utc_now
from storage import open_store
from storage.errors import ForeactError
from storage.records import Sample
from tests.tasks.forecast.loop import START, Loop, wave

END = START + timedelta(days=7)
OPTIONS = ForecasterSettings(step_seconds=3_600)
COLUMNS = ("mase", "scaled_crps", "coverage", "brier", "auc", "breach_time_error", "ms_per_series")


@pytest.fixture
def loop(tmp_path: Path) -> Loop:
    filled = Loop(tmp_path)
    for number in range(4):
        filled.record(f"load{number}", wave(24 * 7 + 1, seed=number), START)
    return filled


def test_fleet_naive_and_a_darts_model_stand_side_by_side(loop: Loop) -> None:
    question = Question(days=7, horizon=12, origins=5, extra=("darts:NaiveMean",))
    seen: list[tuple[int, int]] = []
    (group,) = evaluate_store(loop.store, END, question, OPTIONS, lambda done, of: seen.append((done, of)))
    assert [row.forecaster for row in group.rows] == ["fleet", "seasonal_naive", "darts:NaiveMean"]
    assert (group.step_s, group.series, group.horizon) == (3_600, 4, 12)
    for row in group.rows:
        assert row.forecasts == 20
        assert all(np.isfinite(getattr(row, name)) for name in COLUMNS)
    fleet, naive, mean = group.rows
    assert fleet.mase < naive.mase < mean.mase
    assert 0.8 <= fleet.coverage <= 1
    assert seen == [(done, 15) for done in range(1, 16)]


def test_groups_of_other_steps_have_tables_of_their_own_and_short_ones_say_why_not(loop: Loop) -> None:
    loop.record("young", np.arange(20.0), END - timedelta(minutes=20), timedelta(minutes=1))
    question = Question(days=7, horizon=12, origins=2)
    groups = list(evaluate_store(loop.store, END, question, ForecasterSettings()))
    assert [(group.step_s, bool(group.rows)) for group in groups] == [(60, False), (3_600, True)]
    assert "34 are needed" in groups[0].reason


def test_series_can_be_chosen_and_arguments_come_from_the_configuration(loop: Loop) -> None:
    options = ForecasterSettings(step_seconds=3_600, arguments={"darts:NaiveSeasonal": {"K": 24}})
    question = Question(days=7, horizon=12, origins=3, extra=("darts:NaiveSeasonal",), series="load[01]")
    (group,) = evaluate_store(loop.store, END, question, options)
    naive, darts = group.rows[1:]
    assert group.series == 2
    assert darts.mase == pytest.approx(naive.mase, abs=0.1)  # with K = 1, the default, it is more than twice that


def test_nothing_recorded_and_unknown_models_are_refused(loop: Loop) -> None:
    for question, code in (
        (Question(7, 12, 2, series="nothing*"), "history_empty"),
        (Question(7, 12, 2, extra=("darts:Crystal",)), "unknown_darts_model"),
        (Question(7, 12, 2, extra=("crystal",)), "unknown_forecaster"),
    ):
        with pytest.raises(ForeactError) as refusal:
            list(evaluate_store(loop.store, END, question, OPTIONS))
        assert refusal.value.code == code


def test_the_command_prints_a_table_and_json_that_any_reader_takes(tmp_path: Path) -> None:
    now, values = utc_now(), wave(24 * 6)
    with open_store(load_settings(tmp_path, home=tmp_path / ".foreact").database_path) as store:
        first = now - timedelta(hours=len(values) - 1)
        store.samples.append(
            [Sample(metric="load", value=float(v), ts=first + timedelta(hours=n)) for n, v in enumerate(values)]
        )
    words = ["-C", str(tmp_path), "evaluate", "--horizon", "6", "--origins", "2"]
    shown = CliRunner().invoke(app, words)
    assert shown.exit_code == 0, shown.output
    for word in ("fleet", "seasonal_naive", "MASE", "sCRPS", "covers", "Brier", "AUC", "late by", "ms"):
        assert word in shown.stdout
    (group,) = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout, parse_constant=pytest.fail)
    assert [row["forecaster"] for row in group["rows"]] == ["fleet", "seasonal_naive"]
