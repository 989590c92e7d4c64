"""What cannot be seen is left as it is."""

from __future__ import annotations

from datetime import timedelta

from storage.records import ReceiptStatus, Sample
from tasks.execute.situation import silence_now
from tests.tasks.execute.acts import GOAL, SERIES, TICK, action_of, goal_of, opening
from tests.tasks.execute.conftest import Desk


def test_a_series_is_silent_after_five_of_its_own_gaps(desk: Desk) -> None:
    hourly = goal_of("goal-2", series="cost")
    desk.store.goals.append([hourly], [opening(hourly)], "cycle-1")
    for hours in range(48, 0, -1):
        desk.hear(TICK - timedelta(hours=hours), "cost")
    for minutes in range(120, 0, -1):
        desk.hear(TICK - timedelta(minutes=60 + minutes), "latency")
    desk.hear(TICK - timedelta(days=60), "forgotten")
    assert silence_now(desk.context()).series == {"latency", "forgotten"}
    assert silence_now(desk.context(TICK + timedelta(hours=5))).series == {SERIES, "cost", "latency", "forgotten"}


def test_a_metric_is_silent_when_none_of_its_series_is_heard(desk: Desk) -> None:
    for host, days in (("a", 60), ("b", 0)):
        desk.store.samples.append(
            [Sample(metric="load", value=1.0, ts=TICK - timedelta(days=days), labels={"host": host})]
        )
    desk.hear(TICK - timedelta(days=60), "forgotten")
    silence = silence_now(desk.context())
    assert silence.series == {'load{host="a"}', "forgotten"}
    assert silence.metrics == {"forgotten"}


def test_an_action_whose_guard_is_silent_waits(desk: Desk) -> None:
    desk.hear(TICK - timedelta(days=2), "latency")
    desk.plan(action_of(guards=("latency",)))
    assert desk.execute() == {}
    desk.hear(TICK, "latency")
    assert desk.execute()["a"].status is ReceiptStatus.SUCCEEDED


def test_an_action_on_a_silent_series_waits_and_goes_when_it_speaks_again(desk: Desk) -> None:
    later = TICK + timedelta(minutes=30)
    desk.plan(action_of(at=later, goal_id=GOAL))
    assert desk.execute(later) == {}
    desk.hear(later)
    assert desk.execute(later)["a"].status is ReceiptStatus.SUCCEEDED
