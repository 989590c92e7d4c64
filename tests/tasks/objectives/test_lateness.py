"""P(late) of runs: what it must be whatever the past was, and what follows from queue, elapsed time and upstream."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from storage.records import Event, Objective, series_key
from tasks.objectives.lateness import Warned, deadline_of, late_breach, late_runs, warns_from
from tasks.objectives.run_history import DeploymentRun, RunHistory, run_history
from tasks.objectives.run_lengths import run_lengths

TICK_S = datetime(2026, 3, 10, 5, 0, tzinfo=UTC).timestamp()
LOAD, BULK = "load/nightly", "bulk/copy"
DAY_S = 86_400.0


def objective(**more: Any) -> Objective:
    given = {"name": "in-time", "kind": "deadline", "deployment": LOAD, "bound": 1_800.0}
    return Objective.model_validate(given | more)


def past(
    lengths: Any, deployment: str = LOAD, every_s: float = DAY_S, delay_s: float = 5.0
) -> tuple[DeploymentRun, ...]:
    """Return runs that took so long, oldest first, the last of them due one step before the tick."""
    runs = []
    for place, length in enumerate(lengths):
        due_s = TICK_S - every_s * (len(lengths) - place)
        start_s = due_s + delay_s
        name = f"{deployment} {place}"
        runs.append(DeploymentRun(name, name, deployment, "completed", due_s, start_s, start_s + float(length), "pool"))
    return tuple(runs)


def steady(count: int, length_s: float, seed: int = 0, spread: float = 0.1) -> np.ndarray:
    return np.asarray(length_s * np.exp(np.random.default_rng(seed).normal(0, spread, count)))


def running(since_s: float, deployment: str = LOAD, name: str = "now") -> DeploymentRun:
    return DeploymentRun(name, name, deployment, "running", TICK_S - since_s, TICK_S - since_s, None, "pool")


def waiting(since_s: float, deployment: str = LOAD, name: str = "now", priority: int = 1) -> DeploymentRun:
    return DeploymentRun(name, name, deployment, "scheduled", TICK_S - since_s, work_pool="pool", priority=priority)


def p_late(runs: tuple[DeploymentRun, ...], slots: float | None = None, **more: Any) -> float:
    history = RunHistory(runs, {} if slots is None else {"pool": slots})
    (foretold,) = [each for each in late_runs(history, objective(**more), TICK_S, 0) if each.run.name == "now"]
    return foretold.probability


lengths_of_runs = st.lists(st.floats(1.0, 50_000.0), min_size=3, max_size=30)


@settings(max_examples=30, deadline=None)
@given(lengths_of_runs, st.floats(0, 5_000), st.floats(1, 90_000))
def test_a_probability_lies_between_0_and_1_and_the_end_within_its_interval(
    lengths: list[float], elapsed_s: float, bound: float
) -> None:
    history = RunHistory((*past(lengths), running(elapsed_s)))
    (foretold,) = late_runs(history, objective(bound=bound), TICK_S, 1)
    assert 0 <= foretold.probability <= 1
    assert TICK_S <= foretold.earliest_s <= foretold.end_s <= foretold.latest_s
    assert (foretold,) == late_runs(history, objective(bound=bound), TICK_S, 1)


@settings(max_examples=30, deadline=None)
@given(lengths_of_runs, st.floats(0, 5_000), st.floats(10, 50_000), st.floats(10, 50_000))
def test_a_later_deadline_is_never_likelier_to_be_missed(
    lengths: list[float], elapsed_s: float, one: float, other: float
) -> None:
    runs = (*past(lengths), running(elapsed_s))
    assert p_late(runs, bound=min(one, other)) >= p_late(runs, bound=max(one, other)) - 1e-9


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(1.0, 50_000.0), min_size=3, max_size=40), st.floats(1, 1e5), st.floats(0, 1e5))
def test_what_is_left_of_a_run_is_a_distribution(lengths: list[float], length_s: float, elapsed_s: float) -> None:
    known = run_lengths(np.array(lengths), np.zeros((len(lengths), 0)), np.zeros(0))
    assert known is not None
    assert 0 <= known.longer_given(length_s, elapsed_s) <= 1
    levels = (np.arange(50) + 0.5) / 50
    drawn = known.draw(elapsed_s, levels)
    assert (np.diff(drawn) >= 0).all()
    assert (drawn >= elapsed_s).all()


def test_the_distribution_of_runs_is_that_of_the_past() -> None:
    lengths = steady(150, 600.0, spread=0.3)
    known = run_lengths(lengths, np.zeros((150, 0)), np.zeros(0))
    assert known is not None
    for share in (0.1, 0.5, 0.9):
        assert known.longer_than(float(np.quantile(lengths, share))) == pytest.approx(1 - share, abs=0.06)


def test_two_humps_stay_two_so_that_a_run_past_the_first_is_taken_for_one_of_the_second() -> None:
    lengths = np.where(np.arange(80) % 4 == 0, 1_800.0, 600.0) * steady(80, 1.0, spread=0.03)
    runs = past(lengths)
    early, past_first = p_late((*runs, running(300.0)), bound=1_200.0), p_late((*runs, running(800.0)), bound=1_200.0)
    assert early == pytest.approx(0.25, abs=0.12)
    assert past_first > 0.9


def test_a_level_that_has_moved_is_followed() -> None:
    lengths = np.concatenate([steady(60, 600.0), steady(10, 1_500.0, seed=1)])
    assert p_late((*past(lengths), running(10.0)), bound=1_000.0) > 0.7
    assert p_late((*past(lengths[:60]), running(10.0)), bound=1_000.0) < 0.05


def test_a_run_that_takes_longer_at_some_hours_is_expected_to() -> None:
    first_of_day = np.arange(160) % 4 == 0
    runs = past(np.where(first_of_day, 1_500.0, 600.0) * steady(160, 1.0, spread=0.05), every_s=6 * 3_600.0)
    assert p_late((*runs, running(10.0)), bound=1_000.0) > 0.6
    at_noon = tuple(replace(run, due_s=run.due_s + 6 * 3_600) for run in runs[:-1])
    assert p_late((*at_noon, running(10.0)), bound=1_000.0) < 0.2


def test_the_queue_before_a_run_makes_it_late_and_a_slot_more_or_a_better_queue_does_not() -> None:
    before = (*past(steady(40, 300.0)), *past(steady(40, 1_200.0), BULK))
    full = (running(60.0, BULK, "a"), *(waiting(30.0 - place, BULK, f"b{place}") for place in range(3)))
    late = p_late((*before, *full, waiting(10.0, priority=2)), slots=1)
    assert late > 0.95
    assert p_late((*before, *full, waiting(10.0, priority=2)), slots=4) < 0.1
    first = tuple(replace(run, priority=2) if run.state == "scheduled" else run for run in full)
    assert p_late((*before, *first, waiting(10.0)), slots=1) < 0.5 < late


def test_a_queue_counts_before_the_worker_has_taken_the_first_of_it() -> None:
    before = (*past(steady(40, 300.0)), *past(steady(40, 1_200.0), BULK))
    queue = tuple(waiting(30.0 - place, BULK, f"b{place}") for place in range(3))
    assert p_late((*before, *queue, waiting(10.0)), slots=1) > 0.95
    assert p_late((*before, *queue, waiting(10.0)), slots=4) < 0.1


def test_a_run_waits_for_the_one_it_waited_for_in_the_past_and_is_late_with_it() -> None:
    rng = np.random.default_rng(3)
    extract = past(900.0 * np.exp(rng.normal(0, 0.6, 40)), "extract/nightly")
    load = tuple(
        replace(run, end_s=max(run.due_s + 5, float(before.end_s or 0)) + float(rng.normal(300, 10)))
        for run, before in zip(past(np.ones(40)), extract, strict=True)
    )
    still_on = replace(extract[0], run_id="x", name="x", state="running", due_s=TICK_S - 1_500, end_s=None)
    still_on = replace(still_on, start_s=TICK_S - 1_500)
    done = replace(still_on, state="completed", end_s=TICK_S - 60)
    with_it, without = (p_late((*extract, *load, each, running(300.0)), bound=800.0) for each in (still_on, done))
    assert with_it > 0.6
    assert without < 0.1


def test_deployments_that_only_run_at_the_same_time_do_not_wait_for_each_other() -> None:
    runs = (*past(steady(40, 600.0)), *past(steady(40, 650.0, seed=5), BULK), running(10.0))
    (foretold,) = late_runs(RunHistory(runs), objective(), TICK_S, 0)
    assert foretold.upstream is None


def test_a_deployment_that_often_fails_is_often_late() -> None:
    runs = past(steady(40, 300.0))
    failing = tuple(replace(run, state="failed") if place % 2 else run for place, run in enumerate(runs))
    assert p_late((*runs, running(10.0))) < 0.05
    assert p_late((*failing, running(10.0))) == pytest.approx(0.5, abs=0.1)


def test_of_fewer_than_three_runs_nothing_is_foretold() -> None:
    runs = (*past([300.0, 310.0]), running(10.0))
    assert late_runs(RunHistory(runs), objective(), TICK_S, 0) == ()


def test_a_run_that_is_due_after_the_horizon_is_not_judged_yet() -> None:
    runs = (*past(steady(9, 300.0)), waiting(-7_200.0))
    assert late_runs(RunHistory(runs), objective(), TICK_S, 0) == ()
    (foretold,) = late_runs(RunHistory(runs), objective(horizon_s=8_000), TICK_S, 0)
    assert foretold.earliest_s > TICK_S + 7_200


def test_a_deadline_that_has_passed_is_missed() -> None:
    assert p_late((*past(steady(9, 300.0)), running(3_000.0))) == 1.0


def test_where_runs_are_often_late_only_a_surer_warning_is_given() -> None:
    seldom = past(steady(60, 300.0), every_s=3_600.0)
    often = tuple(replace(run, end_s=run.due_s + 4_000) if place % 4 == 0 else run for place, run in enumerate(seldom))
    assert warns_from(objective(), seldom, TICK_S, UTC) == 0.5
    assert 0.85 < warns_from(objective(), often, TICK_S, UTC) <= 0.97
    assert warns_from(objective(probability_threshold=0.8), seldom, TICK_S, UTC) == 0.8


def test_after_a_warning_in_vain_only_a_certain_one_is_given() -> None:
    runs = past(steady(60, 300.0), every_s=3_600.0)
    ago_s = [place * 5 * DAY_S for place in range(6)]
    asked = [warns_from(objective(), runs, TICK_S, UTC, [TICK_S - each]) for each in ago_s]
    assert asked == [0.99, 0.99, 0.5, 0.5, 0.5, 0.5]
    assert [warns_from(objective(), runs, TICK_S, UTC, [TICK_S - each for each in ago_s[n:]]) for n in (2, 3)] == [
        1.0,
        0.5,
    ]
    assert warns_from(objective(probability_threshold=0.999), runs, TICK_S, UTC, [TICK_S]) == 0.999


def test_a_run_that_was_warned_of_stays_so_however_many_warnings_were_in_vain() -> None:
    runs = (*past(steady(20, 300.0)), running(1_300.0))
    for warned, is_warned_of in ((Warned(in_vain_s=(TICK_S,)), False), (Warned(frozenset({"now"}), (TICK_S,)), True)):
        (told,) = late_runs(RunHistory(runs), objective(), TICK_S, 0, warned)
        assert 0.5 < told.probability < 1
        assert told.is_warned_of is is_warned_of


def test_a_run_in_a_pool_that_is_always_full_waits_for_its_slot_and_no_longer() -> None:
    """What it usually waits is what the queue explains: it does not come on top of the queue."""
    busy = past(steady(40, 1_200.0), BULK)
    queued = tuple(
        replace(run, start_s=float(before.end_s or 0) + 4, end_s=float(before.end_s or 0) + 304)
        for run, before in zip(past(steady(40, 300.0)), busy, strict=True)
    )
    now = RunHistory((*busy, *queued, running(600.0, BULK, "b"), waiting(600.0)), {"pool": 1.0})
    (told,) = late_runs(now, objective(), TICK_S, 0)
    assert told.end_s - TICK_S == pytest.approx(600 + 4 + 300, rel=0.1)


@pytest.mark.parametrize(
    ("due", "deadline"),
    [
        ("2026-03-10T04:30:00+00:00", "2026-03-10T05:00:00+00:00"),
        ("2026-03-10T05:00:00+00:00", "2026-03-11T05:00:00+00:00"),
        ("2026-03-28T23:30:00+00:00", "2026-03-29T04:00:00+00:00"),
        ("2026-10-24T23:30:00+00:00", "2026-10-25T05:00:00+00:00"),
    ],
)
def test_a_time_of_day_is_the_next_one_on_the_clock_of_its_zone(due: str, deadline: str) -> None:
    by = objective(done_by="06:00 Europe/Berlin", bound=2 * DAY_S)
    found = deadline_of(by, datetime.fromisoformat(due).timestamp(), UTC)
    assert datetime.fromtimestamp(found, UTC).isoformat() == deadline


def test_a_time_of_day_that_names_no_zone_is_one_on_the_clocks_of_the_users() -> None:
    due_s = datetime.fromisoformat("2026-03-10T04:30:00+00:00").timestamp()
    without, berlin = objective(done_by="06:00", bound=2 * DAY_S), ZoneInfo("Europe/Berlin")
    assert deadline_of(without, due_s, berlin) == due_s + 1_800
    assert deadline_of(without, due_s, UTC) == due_s + 5_400
    assert deadline_of(objective(done_by="06:00 UTC", bound=2 * DAY_S), due_s, berlin) == due_s + 5_400


def test_of_a_bound_and_a_time_of_day_the_earlier_one_counts() -> None:
    assert deadline_of(objective(done_by="06:00 UTC", bound=60), TICK_S, UTC) == TICK_S + 60
    assert deadline_of(objective(done_by="06:00 UTC", bound=7_200), TICK_S, UTC) == TICK_S + 3_600


@pytest.mark.parametrize(
    "wrong",
    [{"deployment": None}, {"done_by": "25:00"}, {"done_by": "06:00 Nowhere/Town"}, {"bound": 0}, {"kind": "bound"}],
)
def test_a_deadline_that_says_too_little_or_what_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        objective(**({"metric": "m"} | wrong))


def test_an_objective_of_a_time_of_day_alone_allows_a_day() -> None:
    given = {"name": "by-six", "kind": "deadline", "deployment": LOAD, "done_by": "06:00 Europe/Berlin"}
    made = Objective.model_validate(given)
    assert made.bound == DAY_S
    assert made.metric == 'prefect_run_age_seconds{deployment="load/nightly"}'
    assert Objective.model_validate_json(made.model_dump_json()) == made


def told(kind: str, run: str, at_s: float, **more: Any) -> Event:
    metadata = {"run_id": run, "run": run, "due": iso(TICK_S), "work_pool": "pool", **more}
    return Event(
        event_type=f"prefect_run_{kind}",
        ts=datetime.fromtimestamp(at_s, UTC),
        labels={"deployment": LOAD},
        metadata=metadata,
    )


def iso(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat()


def counted(running: float, waiting: float, scheduled: float) -> dict[str, float]:
    labels = {"deployment": LOAD}
    names = ("prefect_running_runs", "prefect_waiting_runs", "prefect_scheduled_runs")
    return dict(zip((series_key(name, labels) for name in names), (running, waiting, scheduled), strict=True))


def test_the_last_step_of_a_run_says_where_it_stands_in_whatever_order_events_come() -> None:
    steps = [
        told("scheduled", "a", TICK_S - 500, priority=3),
        told("started", "a", TICK_S, start=iso(TICK_S)),
        told("completed", "a", TICK_S + 60, start=iso(TICK_S), end=iso(TICK_S + 60)),
    ]
    for order in (steps, steps[::-1]):
        (run,) = run_history(order, {}).runs
        assert (run.state, run.end_s, run.priority) == ("completed", TICK_S + 60, 3)
    (run,) = run_history(steps[:2], {}).runs
    assert (run.state, run.start_s, run.is_open) == ("running", TICK_S, True)


def test_runs_of_a_schedule_that_was_changed_are_gone_with_it() -> None:
    events = [told("scheduled", "old", TICK_S - 900), told("scheduled", "new", TICK_S - 60)]
    assert {run.name for run in run_history(events, {}).runs} == {"old", "new"}
    assert {run.name for run in run_history(events, counted(0, 0, 1)).runs} == {"new"}
    assert run_history(events, counted(0, 0, 0)).runs == ()


def test_the_breach_of_an_objective_is_that_of_its_likeliest_late_run() -> None:
    runs = (*past(steady(20, 300.0)), running(1_700.0, name="old"), running(10.0, name="young"))
    foretold = late_runs(RunHistory(runs), objective(), TICK_S, 0)
    breach = late_breach("in-time", foretold, datetime.fromtimestamp(TICK_S, UTC))
    assert breach.probability == max(each.probability for each in foretold)
    assert breach.series == 'prefect_run_age_seconds{deployment="load/nightly"}'
    assert breach.expected_at is not None
    assert breach.expected_at - timedelta(seconds=1) >= datetime.fromtimestamp(TICK_S - 1, UTC)


def test_the_time_of_day_is_that_of_the_clocks_that_people_look_at() -> None:
    """On clocks that were put forward an hour, what was due at five is due at six and takes as long."""
    by_hour = [600.0 if place % 4 == 0 else 1_500.0 for place in range(80)]
    runs = (*past(by_hour, every_s=21_600.0), waiting(-60.0))
    earlier = tuple(
        replace(
            run,
            due_s=run.due_s - 7_200,
            start_s=None if run.start_s is None else run.start_s - 7_200,
            end_s=None if run.end_s is None else run.end_s - 7_200,
        )
        for run in runs
    )
    (told,) = late_runs(RunHistory(runs), objective(bound=1_000.0), TICK_S, 0)
    there = RunHistory(earlier, zone=timezone(timedelta(hours=2)))
    (same,) = late_runs(there, objective(bound=1_000.0), TICK_S - 7_200, 0)
    assert same.probability == pytest.approx(told.probability)
    here = [*earlier[:-1], replace(earlier[-1], due_s=earlier[-1].due_s + 7_200)]
    (other,) = late_runs(RunHistory(tuple(here)), objective(bound=1_000.0), TICK_S, 0)
    assert other.probability != pytest.approx(told.probability)
