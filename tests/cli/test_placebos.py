"""`foreact evaluate --placebo` measures acts that never were on the store's own metrics, and says what it found."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cli.app import app
from cli.placebos import PlaceboQuestion, check_placebos
from settings import Settings, load_settings, utc_now
from storage import Store, open_store
from storage.errors import ForeactError
from storage.facts import PLACEBOS
from storage.records import Sample
from tests import sized

NOW = utc_now()
STEP = timedelta(minutes=5)
DAYS = 5


def _filled(store: Store, series: int = 4) -> Store:
    count = DAYS * 288
    for number in range(series):
        rng = np.random.default_rng(number)
        noise, steps = np.zeros(count), np.arange(count)
        for step in range(1, count):
            noise[step] = 0.8 * noise[step - 1] + rng.normal()
        values = 40 + 5 * np.sin(2 * np.pi * steps / 288) + noise
        store.samples.append(
            [
                Sample(metric=f"load{number}", value=float(value), ts=NOW - STEP * (count - 1 - step))
                for step, value in enumerate(values)
            ]
        )
    return store


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(
        tmp_path, home=tmp_path / ".foreact", use_default_objectives=False, executor={"measure_horizon_seconds": 3_600}
    )


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    with open_store(settings.database_path) as opened:
        yield _filled(opened)


@pytest.mark.slow
def test_history_alone_is_replayed_and_nothing_is_seldom_taken_for_an_effect(store: Store, settings: Settings) -> None:
    seen: list[tuple[int, int]] = []
    found = check_placebos(store, settings, NOW, PlaceboQuestion(DAYS), lambda done, of: seen.append((done, of)))
    assert found.random.count >= 20
    assert found.after_high.count >= 5
    assert found.random.false_alarm_ratio is not None
    assert found.random.false_alarm_ratio <= 0.2
    assert found.random.covered / found.random.count >= 0.75
    assert 1 <= found.widening <= 3
    assert "Doing nothing was taken for an effect in" in found.sentence
    assert seen[-1][0] == seen[-1][1]
    assert store.facts.get(PLACEBOS) == found
    assert not store.actions.latest(10)
    assert not store.outcomes.latest(10)


def test_too_little_history_is_refused_with_what_to_do(settings: Settings) -> None:
    with open_store() as young:
        young.samples.append([Sample(metric="load", value=float(n), ts=NOW - STEP * n) for n in range(40)])
        with pytest.raises(ForeactError) as refused:
            check_placebos(young, settings, NOW, PlaceboQuestion(1))
    assert refused.value.code == "history_empty"
    assert "foreact import" in refused.value.remedy


@pytest.mark.slow
def test_the_command_prints_rates_and_json(store: Store, settings: Settings, tmp_path: Path) -> None:
    store.close()
    words = ["-C", str(tmp_path), "evaluate", "--placebo", "--days", str(sized(2, DAYS))]
    shown = CliRunner().invoke(app, words)
    assert shown.exit_code == 0, shown.output
    for word in ("false alarms", "at random", "after it went high", "held zero", "From now on"):
        assert word in shown.stdout
    told = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout, parse_constant=pytest.fail)
    assert told["random"]["count"] >= 5
    assert 0 <= told["random"]["false_alarm_ratio"] <= 1
