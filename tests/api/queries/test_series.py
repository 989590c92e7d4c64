"""What is drawn of a metric: every extreme of its past, no more points than can be seen, and what belongs to it."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.queries.series import time_range
from storage import Store, open_store
from storage.records import Pattern, Sample
from tests.api import worlds

HOUR = timedelta(hours=1)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=300),
    buckets=st.integers(1, 40),
    gap_s=st.sampled_from([0.5, 7.0, 60.0]),
)
def test_no_extreme_is_lost_and_no_more_is_drawn_than_asked(
    tick: datetime, values: list[float], buckets: int, gap_s: float
) -> None:
    with open_store() as store:
        moments = [tick - timedelta(seconds=gap_s * number) for number in range(len(values))]
        store.samples.append([Sample(metric="m", value=v, ts=at) for v, at in zip(values, moments, strict=True)])
        since = tick - timedelta(seconds=gap_s * len(values))
        at_s, drawn = store.samples.extremes("m", since, tick, buckets)
    assert len(drawn) <= 2 * buckets
    assert (drawn.min(), drawn.max()) == (min(values), max(values))
    assert (np.diff(at_s) > 0).all()
    by_moment = {at.timestamp(): value for at, value in zip(moments, values, strict=True)}
    assert all(by_moment[at] == value for at, value in zip(at_s.tolist(), drawn.tolist(), strict=True))


@pytest.mark.parametrize(("minutes", "name"), [(4, "1h"), (59, "1h"), (90, "6h"), (600, "1d")])
def test_a_young_series_is_shown_in_the_shortest_range_that_holds_it(
    client: TestClient, store: Store, tick: datetime, minutes: int, name: str
) -> None:
    worlds.samples(store, tick, count=minutes)
    assert f'?range={name}" aria-current="page"' in client.get(f"/series/{worlds.SERIES}").text
    assert '?range=7d" aria-current="page"' in client.get(f"/series/{worlds.SERIES}?range=7d").text


def test_of_equal_moments_the_last_recorded_is_drawn(store: Store, tick: datetime) -> None:
    with open_store(clock=iter([tick + timedelta(seconds=n) for n in range(99)]).__next__) as kept:
        for value in (1.0, 2.0):
            kept.samples.append([Sample(metric="m", value=value, ts=tick)])
        assert kept.samples.extremes("m", tick - HOUR, tick, 10)[1].tolist() == [2.0]


def test_the_data_of_a_chart_name_its_objectives_breaches_and_acts(
    client: TestClient, store: Store, tick: datetime
) -> None:
    worlds.samples(store, tick)
    worlds.a_turn(store, tick)
    worlds.a_history(store, tick)
    told = client.get("/series-data", params={"name": worlds.SERIES}).json()
    assert len(told["at_s"]) == 120
    (objective,) = told["context"]["objectives"]
    assert (objective["name"], objective["probability"]) == ("cpu-not-saturated", 0.7)
    assert objective["expected_s"] == (tick + timedelta(minutes=40)).timestamp()
    assert [len(each) for each in told["context"]["fan"]["quantiles"]] == [120] * 5
    assert {each["href"] for each in told["context"]["events"]} == {"/actions/action-2", "/actions/action-3"}
    asked = {"name": worlds.SERIES, "known": told["version"], "after": told["at_s"][-1]}
    assert client.get("/series-data", params=asked).status_code == 204
    older = client.get("/series-data", params=asked | {"after": told["at_s"][-3]}).json()
    assert (len(older["at_s"]), older["context"]) == (2, None)


def test_a_time_gone_by_is_shown_with_what_was_foreseen_and_what_happened_then(
    client: TestClient, store: Store, tick: datetime
) -> None:
    worlds.samples(store, tick, 600)
    begin, end = tick - 5 * HOUR, tick - 3 * HOUR
    for cycle_id, issued_at in (("cycle-0", begin - HOUR), ("cycle-1", begin + HOUR)):
        store.forecasts.append([worlds.a_forecast(worlds.SERIES, issued_at, steps=240)], cycle_id)
    for number, at in enumerate((begin - HOUR, begin + HOUR, end + HOUR)):
        found = Pattern(
            pattern_id=f"p{number}",
            kind="anomaly",
            subject=worlds.SERIES,
            statement=f"number {number}",
            strength=0.5,
            evidence={"at_s": at.timestamp()},
        )
        for cycle_id in ("cycle-0", "cycle-1"):
            store.patterns.append([found], cycle_id)
    worlds.a_turn(store, tick, "cycle-2")
    ends = {"from": f"{begin:%Y-%m-%dT%H:%M}", "to": f"{end:%Y-%m-%dT%H:%M}"}
    told = client.get("/series-data", params={"name": worlds.SERIES, **ends}).json()
    assert (told["at_s"][0] > begin.timestamp(), told["at_s"][-1], told["now_s"]) == (True, end.timestamp(), None)
    assert told["context"]["fan"]["at_s"][0] == (begin - HOUR).timestamp() + 60, "in force when the range began"
    assert told["context"]["fan"]["at_s"][-1] <= end.timestamp()
    assert [each["text"] for each in told["context"]["events"]] == ["number 1"]
    assert [each["probability"] for each in told["context"]["objectives"]] == [None]
    page = client.get(f"/series/{worlds.SERIES}", params=ends).text
    assert "number 1" in page
    assert f'name="from" required value="{ends["from"]}"' in page


@pytest.mark.parametrize(("ago_s", "is_past"), [(-60, False), (59, False), (60, True)])
def test_an_end_in_the_minute_before_now_is_now(tick: datetime, ago_s: int, is_past: bool) -> None:
    end = tick - timedelta(seconds=ago_s)
    shown = time_range(tick, "1d", tick - HOUR, end)
    assert (shown.until, shown.is_past) == (end if is_past else tick, is_past)


@pytest.mark.parametrize(
    ("params", "status", "code"),
    [
        ({"name": "none"}, 404, "series_unknown"),
        ({"name": worlds.SERIES, "range": "3d"}, 422, "range_unknown"),
        ({"name": worlds.SERIES, "from": "2026-03-02T11:00", "to": "2026-03-02T10:00"}, 422, "range_unknown"),
        ({"name": worlds.SERIES, "from": "9999-12-31T23:00:00-14:00"}, 422, "range_unknown"),
        ({"name": worlds.SERIES, "to": "0001-01-01T00:00:00+14:00", "from": "0001-01-01"}, 422, "range_unknown"),
    ],
)
def test_a_wrong_metric_or_range_is_refused_in_words(
    client: TestClient, store: Store, tick: datetime, params: dict[str, str], status: int, code: str
) -> None:
    worlds.samples(store, tick, 3)
    answer = client.get("/series-data", params=params)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


@pytest.mark.parametrize("text", ["100%", "a_b", "x!y", 'say "so"', "ünï", "back\\slash"])
def test_goals_are_found_by_any_text_and_by_nothing_else(store: Store, tick: datetime, text: str) -> None:
    goals = [
        worlds.a_goal("this", tick, description=f"<{text}>"),
        worlds.a_goal("other", tick, description="aXb 100 xy"),
    ]
    moves = [worlds.a_move(goal.goal_id, worlds.GoalState.ACTIVE, tick) for goal in goals]
    store.goals.append(goals, moves, "cycle-1")
    found, total = store.goals.page(text, "open", 10)
    assert ([view.goal.goal_id for view in found], total) == (["this"], 1)
    assert store.goals.page(text, "achieved", 10) == ([], 0)
