"""Once a day the loop learns what comes late from its own record, and says in the audit trail what that may do."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flows.wiring import live_context
from settings import load_settings
from storage import Store, open_store
from storage.facts import LATE_POLICIES, LateStanding
from storage.records import GoalType, Sample
from tasks.context import Context
from tasks.learn.late_review import late_advice, review_late
from tests.tasks.learn.late.choices import START, STEP_S, lived

KIND = GoalType.BOTTLENECK_PREVENTION
DAYS = 45
END = START + timedelta(days=DAYS)


@pytest.fixture
def recorded(tmp_path: Path) -> Store:
    """Return a store with what a loop would have logged and measured where an act harms later."""
    opened = open_store(clock=lambda: END)
    choices, latency = lived("regret", 1, DAYS)
    samples = [
        Sample(metric="latency", value=float(value), ts=START + timedelta(seconds=(step + 1) * STEP_S))
        for step, value in enumerate(latency)
    ]
    opened.samples.append(samples)
    opened.choices.append(choices)
    return opened


def turn(store: Store, folder: Path, at: datetime = END, **executor: Any) -> Context:
    settings = load_settings(folder, home=folder, executor=executor)
    return live_context(settings, store, at, "simulation")


def standing(store: Store) -> LateStanding | None:
    return store.facts.get(LATE_POLICIES.of(KIND))


def test_what_harms_later_is_found_in_the_record_and_audited(recorded: Store, tmp_path: Path) -> None:
    review_late(turn(recorded, tmp_path))
    kept = standing(recorded)
    assert kept is not None
    assert kept.is_admitted
    assert kept.low_h is not None
    assert kept.low_h > 0
    lines = [line for line in recorded.audit.latest(10) if line.verb == "late policy admitted"]
    assert lines[0].detail["acts"] is False, "a shadow by default"


def test_by_default_what_is_admitted_is_still_only_said(recorded: Store, tmp_path: Path) -> None:
    review_late(turn(recorded, tmp_path))
    for mode, tries in (("shadow", False), ("act", True)):
        advice = late_advice(turn(recorded, tmp_path, late_effects=mode), (), (), {}, ())
        assert advice is not None
        assert advice.tries is tries
        assert KIND in advice.admitted


@pytest.mark.parametrize("executor", [{"late_effects": "off"}, {"enable_learning": False}, {"dry_run": True}])
def test_where_it_is_off_nothing_is_learned_or_said(recorded: Store, tmp_path: Path, executor: dict[str, Any]) -> None:
    context = turn(recorded, tmp_path, **executor)
    review_late(context)
    assert standing(recorded) is None
    assert late_advice(context, (), (), {}, ()) is None


def test_it_is_learned_anew_after_a_day_with_new_choices_and_not_before(recorded: Store, tmp_path: Path) -> None:
    review_late(turn(recorded, tmp_path))
    first = standing(recorded)
    extra, _ = lived("regret", 2, DAYS + 1)
    later = [each.model_copy(update={"choice_id": f"{each.choice_id}-more"}) for each in extra if each.at > END]
    recorded.choices.append(later)
    review_late(turn(recorded, tmp_path, END + timedelta(hours=1)))
    assert standing(recorded) == first
    review_late(turn(recorded, tmp_path, END + timedelta(days=1)))
    again = standing(recorded)
    assert again is not None
    assert first is not None
    assert again.at > first.at


def test_with_few_choices_nothing_is_looked_at(tmp_path: Path) -> None:
    store = open_store(clock=lambda: END)
    store.choices.append(lived("regret", 1, 10)[0])
    review_late(turn(store, tmp_path))
    assert standing(store) is None


def test_choices_come_back_as_they_were_logged(recorded: Store) -> None:
    choices, _ = lived("regret", 1, DAYS)
    assert recorded.choices.newest(KIND, START) == choices
    assert recorded.choices.append(choices[:3]) == 0
    assert recorded.choices.counts() == {KIND: len(choices)}
