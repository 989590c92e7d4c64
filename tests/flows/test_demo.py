"""The demo: a simulated shop without the loop and with it, in a folder of its own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from cli.demo_story import write_files
from flows.demo import ThresholdRule, lay_out, play
from handlers.worlds.shop import INFLUENCES, LATE_MINUTE_COST, RESPONSE
from storage.records import GoalType

END = datetime(2026, 3, 2, 20, tzinfo=UTC)


def test_a_configuration_changed_by_hand_is_kept_and_what_was_recorded_is_not(tmp_path: Path) -> None:
    settings = lay_out(tmp_path)
    (settings.home / "foreact.duckdb").write_text("of an earlier demo")
    file = tmp_path / "foreact.toml"
    file.write_text(file.read_text().replace("bound = 250", "bound = 240"))
    assert {each.bound for each in lay_out(tmp_path).objectives} == {240, 0.9}
    assert not (settings.home / "foreact.duckdb").exists()


@pytest.mark.slow
def test_the_demo_sees_the_rush_coming_and_shows_what_that_changed(tmp_path: Path) -> None:
    settings = lay_out(tmp_path)
    report = play(settings, days=1.3, end=END)
    loop = report.simulation
    types = {view.goal.goal_type for view in loop.goals}
    assert GoalType.BOTTLENECK_PREVENTION in types
    assert loop.outcomes
    assert all(outcome.low is not None and outcome.low < outcome.high for outcome in loop.outcomes if outcome.high)
    assert np.isfinite(report.foreact.response_ms).all()
    first = report.foreact.acts[0][0]
    before = [at for at, time in enumerate(report.foreact.times) if time <= first]
    assert np.allclose(report.foreact.response_ms[before], report.nothing.response_ms[before])
    for way in report.ways:
        weeks = [way.late_minutes_between(*week) for week in report.weeks()]
        assert sum(weeks) == way.late_minutes
        assert report.summary()["ways"][way.name]["acts"] == len(way.acts)
    files = write_files(report, tmp_path)
    picture = ElementTree.fromstring(files.picture.read_text())
    texts = ["".join(each.itertext()) for each in picture.iter() if each.tag.endswith("}text")]
    assert {f"{way.late_minutes:,.0f}" for way in report.ways} <= set(texts)
    assert "prefers-color-scheme:dark" in files.picture.read_text()
    assert "<script" not in files.report.read_text()
    loop.store.close()


def test_a_rule_waits_until_answers_are_late_and_then_for_its_act_to_end() -> None:
    rule, five = ThresholdRule(250.0), timedelta(minutes=5)
    decided = [rule.decide(END + five * step, 300.0 if step else 240.0) for step in range(27)]
    assert [step for step, action in enumerate(decided) if action] == [1, 25]


def test_what_acts_cost_the_loop_is_what_they_cost_the_shop(tmp_path: Path) -> None:
    settings = lay_out(tmp_path)
    (objective,) = (each for each in settings.objectives if each.metric == RESPONSE)
    late_all_the_time = LATE_MINUTE_COST * objective.horizon_s / 60 / objective.severity
    for name, influence in INFLUENCES.items():
        assert settings.actions[name].cost == pytest.approx(influence.cost / late_all_the_time, rel=0.02)
    assert settings.actions["add_workers"].latency_seconds == INFLUENCES["add_workers"].starts_after.total_seconds()
