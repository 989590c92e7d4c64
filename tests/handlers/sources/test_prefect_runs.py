"""The Prefect source, against a server that answers as Prefect's does; tests/flows has it against a real one."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from handlers import discover_sources
from storage.errors import ForeactError, TransientError
from storage.records import Event, Sample
from tests.handlers.conftest import Request, Server

SOURCE = discover_sources()["prefect_runs"]
NOW = datetime(2026, 3, 2, 11, 20, 30, tzinfo=UTC)
LOAD = 'deployment="load/nightly"'


def iso(minutes: float) -> str:
    return (NOW + timedelta(minutes=minutes)).isoformat().replace("+00:00", "Z")


def run_row(
    name: str, kind: str, due: float, start: float | None = None, end: float | None = None, **more: Any
) -> dict[str, Any]:
    """Return a run as Prefect writes it, times in minutes from now."""
    changed = end if end is not None else start if start is not None else due - 600
    return {
        "id": name,
        "name": name,
        "deployment_id": "d-load",
        "work_pool_name": "pool",
        "work_queue_name": "default",
        "state": {"type": kind, "name": kind.title(), "timestamp": iso(changed)},
        "expected_start_time": iso(due),
        "next_scheduled_start_time": None,
        "start_time": None if start is None else iso(start),
        "end_time": None if end is None else iso(end),
        "created": iso(due - 700),
        "run_count": 1,
    } | more


RUNS = [
    run_row("old", "COMPLETED", -3_000, -2_999, -2_980),
    run_row("quick", "COMPLETED", -90, -88, -78),
    run_row("broken", "CRASHED", -60, -60, -50, run_count=3),
    run_row("gone", "CANCELLED", -45, None, -41),
    run_row("now", "RUNNING", -20, -10),
    run_row("next", "SCHEDULED", -5, state={"type": "SCHEDULED", "name": "Late", "timestamp": iso(-4)}),
    run_row("later", "SCHEDULED", 60),
    run_row("of ours", "COMPLETED", -30, -30, -29, deployment_id="d-own"),
    run_row("subflow", "COMPLETED", -30, -30, -29, deployment_id=None),
]
DEPLOYMENTS = [
    {
        "id": "d-load",
        "name": "nightly",
        "flow_id": "f-load",
        "tags": [],
        "work_pool_name": "pool",
        "global_concurrency_limit": {"limit": 2},
    },
    {"id": "d-own", "name": "cycle", "flow_id": "f-own", "tags": ["foreact", "loop"], "work_pool_name": "foreact"},
]
LISTS = {
    "flows/filter": [{"id": "f-load", "name": "load"}, {"id": "f-own", "name": "cycle"}],
    "deployments/filter": DEPLOYMENTS,
    "work_pools/filter": [{"name": "pool", "concurrency_limit": 4}],
    "work_pools/pool/queues/filter": [{"name": "default", "priority": 7}],
    "v2/concurrency_limits/filter": [
        {"name": "database", "limit": 10, "active_slots": 3, "active": True},
        {"name": "deployment:d-load", "limit": 2, "active_slots": 1, "active": True},
    ],
}


def prefect_answer(request: Request) -> tuple[int, str]:
    path, body = request.path.removeprefix("/api/"), json.loads(request.body)
    rows = LISTS[path] if path in LISTS else [run for run in RUNS if is_asked_for(run, body["flow_runs"])]
    return 200, json.dumps(rows[body["offset"] : body["offset"] + body["limit"]])


def is_asked_for(run: dict[str, Any], asked: dict[str, Any]) -> bool:
    if "end_time" in asked:
        return run["end_time"] is not None and moment(run["end_time"]) >= moment(asked["end_time"]["after_"])
    before = moment(asked["expected_start_time"]["before_"])
    return run["state"]["type"] in asked["state"]["type"]["any_"] and moment(run["expected_start_time"]) <= before


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)


@pytest.fixture
def api(server: Server) -> Server:
    server.answer = prefect_answer
    return server


def pull(
    api: Server, since_min: float | None = None, until_min: float = 0, **options: Any
) -> tuple[dict[str, dict[datetime, float]], list[Event]]:
    since = None if since_min is None else NOW + timedelta(minutes=since_min)
    told = list(SOURCE.pull({"api_url": f"{api.url}/api"} | options, since, NOW + timedelta(minutes=until_min)))
    samples: dict[str, dict[datetime, float]] = {}
    for each in told:
        if isinstance(each, Sample):
            samples.setdefault(each.series, {})[each.ts] = each.value
    return samples, [each for each in told if isinstance(each, Event)]


def minutes(series: dict[datetime, float]) -> dict[float, float]:
    return {(ts - NOW).total_seconds() / 60: value for ts, value in series.items()}


def test_ended_runs_tell_how_long_they_took_and_waited_and_whether_they_failed(api: Server) -> None:
    samples, _ = pull(api)
    assert minutes(samples[f"prefect_run_duration_seconds{{{LOAD}}}"]) == {-2_980: 1_140, -78: 600, -50: 600}
    assert minutes(samples[f"prefect_start_delay_seconds{{{LOAD}}}"]) == {-2_999: 60, -88: 120, -60: 0, -10: 600}
    assert minutes(samples[f"prefect_run_failed{{{LOAD}}}"]) == {-2_980: 0, -78: 0, -50: 1, -41: 0}
    assert minutes(samples[f"prefect_run_retries{{{LOAD}}}"])[-50] == 2


def test_what_ran_and_waited_is_told_for_every_minute_of_the_last_day(api: Server) -> None:
    samples, _ = pull(api)
    running, waiting = (minutes(samples[f"prefect_{name}_runs{{{LOAD}}}"]) for name in ("running", "waiting"))
    assert len(running) == 1_441
    assert [running[at] for at in (-88.5, -87.5, -78.5, -77.5, -55.5, -9.5, 0)] == [0, 1, 1, 0, 1, 1, 1]
    assert [waiting[at] for at in (-90.5, -89.5, -88.5, -87.5, -43.5, -40.5, -19.5, 0)] == [0, 1, 1, 0, 1, 0, 1, 1]
    queue = minutes(samples['prefect_queue_depth{work_pool="pool",work_queue="default"}'])
    assert queue == waiting


def test_the_age_is_that_of_the_oldest_run_that_is_due_and_not_done(api: Server) -> None:
    samples, _ = pull(api)
    age = minutes(samples[f"prefect_run_age_seconds{{{LOAD}}}"])
    assert [age[at] for at in (-90.5, -80.5, -70.5, -19.5, 0)] == [0, 570, 0, 30, 1_200]


def test_limits_are_told_with_how_much_of_them_is_used(api: Server) -> None:
    samples, _ = pull(api)
    now = {series: row[NOW] for series, row in samples.items() if NOW in row}
    assert now['prefect_pool_slots{work_pool="pool"}'] == 4
    assert now['prefect_pool_slots_used_ratio{work_pool="pool"}'] == 0.25
    assert now[f"prefect_deployment_slots_used_ratio{{{LOAD}}}"] == 0.5
    assert now['prefect_limit_used_ratio{limit="database"}'] == 0.3
    assert now[f"prefect_scheduled_runs{{{LOAD}}}"] == 1
    assert not [series for series in now if "deployment:" in series]


def test_each_step_of_a_run_is_an_event_that_names_it(api: Server) -> None:
    _, events = pull(api)
    steps = {(each.metadata["run"], each.event_type.removeprefix("prefect_run_")) for each in events}
    assert steps == {
        ("old", "started"),
        ("old", "completed"),
        ("quick", "started"),
        ("quick", "completed"),
        ("broken", "started"),
        ("broken", "failed"),
        ("gone", "cancelled"),
        ("now", "started"),
        ("next", "late"),
        ("later", "scheduled"),
    }
    assert {each.labels["deployment"] for each in events} == {"load/nightly"}
    (late,) = [each for each in events if each.event_type == "prefect_run_late"]
    assert (late.metadata["run_id"], late.metadata["priority"], late.metadata["work_pool"]) == ("next", 7, "pool")


def test_pulling_in_pieces_tells_of_the_same_runs_as_pulling_at_once(api: Server) -> None:
    pieces = [pull(api, -55, -49), pull(api, -49, -15), pull(api, -15, 0)]
    samples, events = pull(api, -55, 0)
    for metric in ("prefect_run_duration_seconds", "prefect_start_delay_seconds", "prefect_waiting_runs"):
        series = f"{metric}{{{LOAD}}}"
        joined = {at: value for piece, _ in pieces for at, value in piece.get(series, {}).items()}
        # Beside the full minutes each pull tells of the moment it was asked about.
        assert {at: joined[at] for at in samples[series]} == samples[series]
        assert all(at.second == NOW.second for at in joined.keys() - samples[series].keys())
    assert {str(each) for each in events} <= {str(each) for _, piece in pieces for each in piece}


def test_a_state_that_was_told_of_late_is_still_an_event_of_the_next_pull(api: Server) -> None:
    _, events = pull(api, -49, 0)
    assert ("broken", "prefect_run_failed") in {(each.metadata["run"], each.event_type) for each in events}


def test_only_wanted_deployments_are_read(api: Server) -> None:
    assert pull(api, exclude=["load/*"])[1] == []
    _, events = pull(api, include=["cycle/*"])
    assert {each.labels["deployment"] for each in events} == {"cycle/cycle"}


def test_long_lists_are_read_page_by_page(api: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = pull(api)
    monkeypatch.setattr("handlers.support.prefect_reader.PAGE", 2)
    assert pull(api) == whole


def test_a_login_goes_along_and_one_that_is_refused_is_told(api: Server) -> None:
    pull(api, headers={"Authorization": "Bearer t"})
    assert api.requests[0].headers["authorization"] == "Bearer t"
    api.answer = lambda request: (401, "{}")
    with pytest.raises(
        ForeactError, match=r"refuses this login \(401\).*headers: the header Authorization, with Bearer and the key"
    ):
        pull(api)


def test_a_server_that_is_not_there_or_busy_is_worth_another_try(server: Server) -> None:
    with pytest.raises(TransientError, match="cannot be reached"):
        pull(Server(url="http://127.0.0.1:9"))
    server.answer = lambda request: (500, "busy")
    with pytest.raises(TransientError, match="answered 500"):
        pull(server)


@pytest.mark.parametrize(("status", "text"), [(404, "{}"), (200, "<html>"), (200, '{"detail": 1}'), (422, "[]")])
def test_what_is_no_prefect_api_is_refused_with_the_remedy(server: Server, status: int, text: str) -> None:
    server.answer = lambda request: (status, text)
    with pytest.raises(ForeactError, match="it ends in /api") as refusal:
        pull(server)
    assert refusal.value.code == "prefect_no_api"


@pytest.mark.parametrize("url", [None, "", "127.0.0.1:4200", "ftp://x"])
def test_an_address_that_is_none_is_refused(server: Server, url: Any) -> None:
    with pytest.raises(ForeactError, match="is not the HTTP address"):
        pull(server, api_url=url)


def test_answers_in_another_shape_are_refused_and_say_what_is_missing(server: Server) -> None:
    def without_names(request: Request) -> tuple[int, str]:
        return 200, json.dumps([{"id": "x"}]) if request.path.endswith("flows/filter") else "[]"

    server.answer = without_names
    with pytest.raises(ForeactError, match="answers otherwise than expected: KeyError"):
        pull(server)


def test_a_run_that_ended_as_nobody_knows_is_refused_as_another_shape(
    api: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{__name__}.RUNS", [*RUNS, run_row("odd", "VANISHED", -30, -29, -28)])
    with pytest.raises(ForeactError, match=r"answers otherwise than expected: KeyError.*VANISHED") as refusal:
        pull(api)
    assert refusal.value.code == "prefect_schema"


@pytest.mark.parametrize(("ahead_s", "said"), [(-100, ""), (100, ""), (1_800, "ahead"), (-1_800, "behind")])
def test_a_server_whose_clock_is_not_ours_is_refused(api: Server, ahead_s: float, said: str) -> None:
    api.clock = datetime.now(UTC) + timedelta(seconds=ahead_s)
    if not said:
        assert pull(api)[1]
        return
    with pytest.raises(ForeactError, match=r"clock of the Prefect server at \S+ is (1800|1799|1801) s") as refusal:
        pull(api)
    assert refusal.value.code == "prefect_clock"
    assert said in refusal.value.message
