"""The demo: a simulated shop without the loop and with it, in a folder of its own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from cli.demo_story import write_files
from flows.demo import ThresholdRule, lay_out, play
from handlers.worlds.shop import INFLUENCES, LATE_MINUTE_COST, RESPONSE
from storage.records import GoalType
from tests import IS_THOROUGH, PROJECT

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
    for file in (files.picture, files.narrow):
        picture = ElementTree.fromstring(file.read_text())
        texts = ["".join(each.itertext()) for each in picture.iter() if each.tag.endswith("}text")]
        assert {f"{way.late_minutes:,.0f}" for way in report.ways} <= set(texts)
        assert "prefers-color-scheme: dark" in file.read_text()
    assert "<script" not in files.report.read_text()
    loop.store.close()


def test_readme_the_page_and_the_picture_tell_the_same_figures() -> None:
    nothing, rule, foreact = told_on_the_page()[0]
    assert told_by_a_picture((PROJECT / "docs" / "demo.svg").read_text()) == [nothing, rule, foreact]
    readme = " ".join((PROJECT / "README.md").read_text().split())
    assert f"answers are late for {foreact[1]} minutes; with nothing done it is {nothing[1]}." in readme
    assert f"the right bound gets {rule[1]}." in readme
    assert f"in the first week foreact had {foreact[0]} late minutes and the rule {rule[0]}, so" in readme
    sums = f"so {sum(foreact)} and {sum(rule)} in the fortnight, of {sum(nothing):,} with nothing done"
    assert sums in readme


@pytest.mark.skipif(not IS_THOROUGH, reason="make thorough runs the fortnights, some minutes each")
@pytest.mark.slow
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_fortnight_comes_to_the_figures_that_are_told(seed: int, tmp_path: Path) -> None:
    report = play(lay_out(tmp_path), seed=seed)
    drawn = write_files(report, tmp_path).picture.read_text()
    report.simulation.store.close()
    assert told_by_a_picture(drawn) == told_on_the_page()[seed]


def told_on_the_page() -> dict[int, list[tuple[int, int]]]:
    """Return the late minutes of both weeks of each way, by seed, as docs/simulation.md has them."""
    text = (PROJECT / "docs" / "simulation.md").read_text()
    rows = re.findall(r"^\| `foreact demo --seed (\d+)` \|(.*)\|$", text, re.MULTILINE)
    return {int(seed): [_pair(cell.split("+")) for cell in cells.split("|")] for seed, cells in rows}


def told_by_a_picture(text: str) -> list[tuple[int, int]]:
    """Return the late minutes of both weeks of each way, as a picture of the demo has them."""
    after = re.findall(r'class="big[^"]*"[^>]*>([\d,]+)<', text)
    first, both = zip(*re.findall(r">([\d,]+) in it, ([\d,]+) in all<", text), strict=True)
    told = [_pair(each) for each in zip(first, after, strict=True)]
    assert [sum(each) for each in told] == [int(each.replace(",", "")) for each in both]
    return told


def _pair(words: Sequence[str]) -> tuple[int, int]:
    first, second = (int(each.replace(",", "")) for each in words)
    return first, second


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
