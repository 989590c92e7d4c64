"""The demo: the loop on a simulated shop, in a folder of its own."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from flows.demo import lay_out, play
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
def test_the_demo_sees_the_rush_coming_and_does_something(tmp_path: Path) -> None:
    report = play(lay_out(tmp_path), END, days=2.5)
    types = {view.goal.goal_type for view in report.goals}
    assert {GoalType.BOTTLENECK_PREVENTION, GoalType.CAPACITY_PLANNING} <= types
    assert report.outcomes
    assert all(outcome.low is not None and outcome.low < outcome.high for outcome in report.outcomes if outcome.high)
    report.store.close()
