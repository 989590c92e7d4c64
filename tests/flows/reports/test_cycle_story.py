"""A turn as people read it in Prefect: short in its name, whole in its summary, and safe whatever a name contains."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from prefect import Task

from flows import cycle
from flows.reports.cycle_story import CycleStory, escaped
from storage.actions import ActionView
from storage.records import ReceiptStatus
from tasks.stage_story import told
from tests.tasks.execute.acts import TICK, action_of, receipt_of
from tests.tasks.plan.worlds import goal_of, view_of

SUMMARIES: dict[str, dict[str, Any]] = {
    "monitor": {"series": 12, "steps_s": [10.0]},
    "patterns": {"level_shift": 2, "season": 1},
    "measure": {"improved": 1, "no_effect": 2},
    "forecast": {"forecasts": 11, "refusals": 1, "likely_breaches": 1, "state": "degraded"},
    "goals": {"open": 2, "goals": ["a", "b"]},
    "plan": {"decisions": 2, "actions": ["renice 4711"]},
    "execute": {"succeeded": 1},
    "learn": {"outcomes": 7},
}
STAGES = [{"stage": name, "summary": each, "duration_s": 0.25} for name, each in SUMMARIES.items()]
QUIET = CycleStory("cycle", datetime(2026, 3, 2, 14, 5, tzinfo=UTC), STAGES, page="http://127.0.0.1:5003/")


def busy() -> CycleStory:
    done = ActionView(action_of("done"), None, None, receipt_of("done", TICK, ReceiptStatus.SUCCEEDED))
    waits = ActionView(action_of("waits"), None, None, None)
    return replace(QUIET, goals=[view_of(goal_of("a")), view_of(goal_of("b"))], acts=[done], waiting=[waits])


def test_a_name_tells_when_and_what() -> None:
    assert QUIET.name == "cycle 14:05"
    assert busy().name == "cycle 14:05 · 2 goals · 1 act · 1 waiting"


def test_every_stage_of_a_turn_has_a_sentence_of_its_own() -> None:
    run = {each.name for each in vars(cycle).values() if isinstance(each, Task)}
    assert set(SUMMARIES) <= run
    assert all(told(name, {}).endswith(".") and told(name, SUMMARIES[name]).endswith(".") for name in SUMMARIES)
    assert QUIET.sentence == (
        "Watching 12 series. Found 2 level shifts and 1 season. "
        "Measured what acts changed: 1 improved and 2 no effect. "
        "Forecast 11 series; 1 cannot be forecast yet; 1 breach is likely. The state is degraded. 2 goals are open. "
        "Planned renice 4711. 1 action succeeded. Learned; 7 outcomes so far."
    )


def test_a_turn_says_where_its_picture_is_drawn() -> None:
    assert replace(QUIET, cycle_id="cycle-1").picture == "http://127.0.0.1:5003/cycles/cycle-1/forecast.svg"


def test_a_summary_links_to_the_page_and_names_goals_acts_and_what_waits() -> None:
    text = busy().markdown
    assert text.startswith("# cycle 14:05 · 2 goals · 1 act · 1 waiting\n")
    assert [text.count(part) for part in ("\n## Done\n", "\n## Waits for you\n", "](http://127.0.0.1:5003/)")] == [
        1
    ] * 3
    assert [row["page"] for row in busy().board] == [f"http://127.0.0.1:5003/goals/{name}" for name in "ab"]


@given(st.text())
def test_a_name_from_outside_starts_no_link_table_or_markup(text: str) -> None:
    shown = escaped(text)
    assert "\n" not in shown
    for place, each in enumerate(shown):
        if each in "`*_{}[]()<>#|!":
            before = shown[:place]
            assert (len(before) - len(before.rstrip("\\"))) % 2 == 1


def test_patterns_are_counted_in_words_that_people_use() -> None:
    said = told("patterns", {"anomaly": 2, "comovement": 1, "seasonality": 3, "change_point": 2, "recurrence": 1})
    assert said == "Found 2 anomalies, 1 co-movement, 3 seasons, 2 level shifts and 1 recurrence."
