"""The store keeps what was acknowledged, once, and shows no one the future."""

from __future__ import annotations

import fcntl
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import (
    ForeactError,
    Store,
    TransientError,
    address_file,
    forecasts,
    is_reserved,
    lock_file,
    open_store,
    own_store,
)
from storage.audit import AuditTrail, Seal
from storage.engine.protocol import connect, literal
from storage.facts import KILL_SWITCH
from storage.records import (
    Action,
    Autonomy,
    Event,
    Forecast,
    Goal,
    GoalState,
    GoalType,
    Intent,
    Receipt,
    ReceiptStatus,
    Sample,
    Transition,
)

HOUR = timedelta(hours=1)


def a_goal(goal_id: str, at: datetime, priority: float = 0.5) -> Goal:
    return Goal(
        goal_id=goal_id,
        goal_type=GoalType.BOTTLENECK_PREVENTION,
        description="Keep cpu below 0.9",
        cause=f"cause-{goal_id}",
        severity=0.5,
        probability=0.5,
        urgency=0.5,
        priority=priority,
        created_at=at,
        deadline=at + HOUR,
    )


def an_action(action_id: str, at: datetime) -> Action:
    return Action(
        action_id=action_id,
        name="notify",
        goal_id="goal-1",
        goal_type=GoalType.BOTTLENECK_PREVENTION,
        plan_id="plan-1",
        decision_id="decision-1",
        level=Autonomy.AUTO,
        created_at=at,
        due_at=at,
        expires_at=at + HOUR,
    )


def test_frame_means_each_step_and_leaves_gaps_nan(store: Store, tick: datetime) -> None:
    moments = [tick - timedelta(seconds=s) for s in (0, 5, 10, 35)]
    store.samples.append([Sample(metric="cpu", value=v, ts=t) for v, t in zip((1, 3, 5, 7), moments, strict=True)])
    frame = store.samples.frame(["cpu"], tick, 10, 4)
    np.testing.assert_array_equal(frame.values, [[7, np.nan, 5, 2]])


def test_the_sample_recorded_last_counts(store: Store, tick: datetime) -> None:
    store.samples.append([Sample(metric="cpu", value=1, ts=tick)])
    store.samples._clock = lambda: tick + HOUR
    store.samples.append([Sample(metric="cpu", value=2, ts=tick)])
    assert store.samples.frame(["cpu"], tick, 10, 1).values[0, 0] == 2


def test_rows_recorded_later_are_invisible(store: Store, tick: datetime) -> None:
    store.samples._clock = lambda: tick + HOUR
    store.samples.append([Sample(metric="cpu", value=1, ts=tick)])
    assert np.isnan(store.samples.frame(["cpu"], tick, 10, 1, as_of=tick).values).all()


def test_many_samples_travel_as_columns(store: Store, tick: datetime) -> None:
    samples = [Sample(metric="cpu", value=i, ts=tick - timedelta(seconds=i), labels={"core": "0"}) for i in range(500)]
    assert store.samples.append(samples) == 500
    (info,) = store.samples.spans(tick - HOUR, tick)
    assert (info.series, info.count, info.interval_s) == ('cpu{core="0"}', 500, 1.0)


def test_the_same_event_twice_is_one_event(store: Store, tick: datetime) -> None:
    event = Event(event_type="deploy", ts=tick, metadata={"version": "1"})
    assert store.events.append([event]) == 1
    assert store.events.append([event]) == 0
    assert store.events.between(tick - HOUR, tick) == [event]


def test_a_goals_state_is_its_last_transition(store: Store, tick: datetime) -> None:
    states = (GoalState.PROPOSED, GoalState.ACTIVE, GoalState.ACHIEVED)
    moves = [Transition(goal_id="g", state=state, at=tick, reason=state) for state in states]
    store.goals.append([a_goal("g", tick)], moves[:2], "cycle-1")
    assert [view.state for view in store.goals.open()] == [GoalState.ACTIVE]
    store.goals.move(moves[2:], "cycle-2")
    assert store.goals.open() == []
    assert store.goals.counts() == {"achieved": 1}


def test_a_repeated_write_changes_nothing(store: Store, tick: datetime) -> None:
    for _ in range(2):
        store.goals.append(
            [a_goal("g", tick)], [Transition(goal_id="g", state=GoalState.ACTIVE, at=tick, reason="")], "c"
        )
        store.actions.append([an_action("a", tick)], "c")
    assert len(store.goals.transitions("g")) == 1
    assert len(store.actions.pending()) == 1


def test_only_one_run_can_promise_an_act(store: Store, tick: datetime) -> None:
    store.actions.append([an_action("a", tick)], "c")
    intent = Intent(action_id="a", at=tick)
    won: list[bool] = []
    threads = [threading.Thread(target=lambda: won.append(store.actions.claim(intent))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == [False] * 7 + [True]


def test_the_first_receipt_stands(store: Store, tick: datetime) -> None:
    store.actions.append([an_action("a", tick)], "c")
    first = Receipt(action_id="a", status=ReceiptStatus.SUCCEEDED, started_at=tick, finished_at=tick)
    assert store.actions.finish(first)
    assert not store.actions.finish(first.model_copy(update={"status": ReceiptStatus.FAILED}))
    view = store.actions.get("a")
    assert view is not None
    assert view.receipt == first
    assert store.actions.due(tick) == []


def test_forecasts_come_back_as_they_were(store: Store, tick: datetime) -> None:
    forecast = Forecast(
        series="cpu",
        issued_at=tick,
        step_s=60,
        levels=(0.05, 0.5, 0.95),
        point=np.arange(4.0),
        quantiles=np.arange(12.0).reshape(4, 3),
        method="fleet",
    )
    store.forecasts.append([forecast], "c")
    store.forecasts.append([forecast], "c")
    (back,) = store.forecasts.of_cycle("c")
    np.testing.assert_array_equal(back.quantiles, forecast.quantiles)
    found = store.forecasts.before("cpu", tick + HOUR)
    assert found is not None
    assert found[0] == "c"
    assert [cycle for cycle, _ in store.forecasts.unresolved(tick + HOUR, 10)] == ["c"]
    assert store.forecasts.unresolved(tick, 10) == []


def test_many_forecasts_are_written_in_parts_and_all_or_none(
    store: Store, tick: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forecasts, "FORECASTS_AT_ONCE", 2)
    shape = {"issued_at": tick, "step_s": 60, "levels": (0.5,), "point": np.arange(4.0), "method": "fleet"}
    several = [Forecast(series=f"s{n}", quantiles=np.full((4, 1), float(n)), **shape) for n in range(5)]
    store.forecasts.append(several, "c")
    back = store.forecasts.of_cycle("c")
    assert [(each.series, each.quantiles[0, 0]) for each in back] == [(f"s{n}", n) for n in range(5)]
    broken = several[-1].model_copy(update={"quantiles": np.zeros((0, 1)), "point": None})
    with pytest.raises(TypeError):
        store.forecasts.append([*several[:4], broken], "d")
    assert store.forecasts.of_cycle("d") == []


def test_the_audit_trail_breaks_where_a_line_was_changed(store: Store) -> None:
    for number in range(5):
        store.audit.append("loop", "acted", f"action-{number}", {"n": number})
    assert store.audit.first_broken_line() is None
    store.engine.rows("UPDATE audit SET detail = '{\"n\": 9}' WHERE seq = 3")
    assert store.audit.first_broken_line() == 3


def test_the_last_fact_is_in_force(store: Store) -> None:
    store.facts.set(KILL_SWITCH, True)
    store.facts.set(KILL_SWITCH, False, actor="person")
    assert store.facts.get(KILL_SWITCH) is False


@given(st.one_of(st.text(), st.floats(allow_nan=False), st.integers(-(2**62), 2**62), st.booleans(), st.none()))
def test_a_literal_reads_back_as_the_value(value: object) -> None:
    connection = connect(":memory:")
    if isinstance(value, str) and "\x00" in value:
        with pytest.raises(ForeactError):
            literal(value)
        return
    row = connection.execute(f"SELECT {literal(value)}").fetchone()
    connection.close()
    assert row == (value,)


OWNER = """
import sys, time
from pathlib import Path
from datetime import UTC, datetime
from storage import own_store
store = own_store(Path(sys.argv[1]))
print("ready", flush=True)
time.sleep(60)
"""


@contextmanager
def owner_of(path: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([sys.executable, "-c", OWNER, str(path)], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline().strip() == "ready"
        yield owner
        owner.kill()


def test_an_acknowledged_sample_survives_the_owners_death(tmp_path: Path) -> None:
    path = tmp_path / "foreact.duckdb"
    now = datetime(2026, 3, 2, tzinfo=UTC)
    with owner_of(path):
        client = open_store(path)
        client.samples.append([Sample(metric="cpu", value=1, ts=now)])
        with client.transaction():
            client.facts.set(KILL_SWITCH, False)
    with pytest.raises(TransientError):
        client.facts.get(KILL_SWITCH)
    with owner_of(path), open_store(path) as reopened:
        assert reopened.samples.frame(["cpu"], now, 1, 1).values[0, 0] == 1
        assert reopened.facts.get(KILL_SWITCH) is False


def set_and_fail(client: Store) -> None:
    with client.transaction():
        client.facts.set(KILL_SWITCH, False)
        raise RuntimeError


def test_a_rolled_back_transaction_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "foreact.duckdb"
    with owner_of(path), open_store(path) as client:
        with pytest.raises(RuntimeError):
            set_and_fail(client)
        assert client.facts.get(KILL_SWITCH) is None
        client.facts.set(KILL_SWITCH, True)
        assert client.facts.get(KILL_SWITCH) is True


def test_a_second_owner_is_refused_and_told_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "foreact.duckdb"
    with owner_of(path) as owner, pytest.raises(ForeactError) as refusal:
        own_store(path)
    assert refusal.value.code == "store_in_use"
    assert f"process {owner.pid}" in refusal.value.message


def test_while_a_stack_runs_nobody_takes_the_file_from_its_facade(tmp_path: Path) -> None:
    path = tmp_path / "foreact.duckdb"
    with lock_file(path).open("w") as stack:
        fcntl.flock(stack, fcntl.LOCK_EX)
        assert is_reserved(path)
        with pytest.raises(TransientError):
            open_store(path)
        with owner_of(path), open_store(path) as client:
            client.facts.set(KILL_SWITCH, True)
    assert not is_reserved(path)
    with open_store(path) as alone:
        assert alone.facts.get(KILL_SWITCH) is True


def test_the_owner_is_served_at_the_same_port_after_a_restart(tmp_path: Path) -> None:
    file, uris = tmp_path / "foreact.duckdb", []
    for _ in range(2):
        with own_store(file):
            uris.append(json.loads(address_file(file).read_text())["uri"])
    assert uris[0] == uris[1]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(uris[0].rpartition(":")[2])))
        with own_store(file):
            assert json.loads(address_file(file).read_text())["uri"] != uris[0]


def test_a_store_on_another_machine_that_does_not_answer_is_not_taken_for_a_new_one(tmp_path: Path) -> None:
    owned, elsewhere = tmp_path / "hub" / "foreact.duckdb", tmp_path / "worker" / "foreact.duckdb"
    elsewhere.parent.mkdir()
    with own_store(owned):
        address = json.loads(address_file(owned).read_text())
        del address["pid"]
        address_file(elsewhere).write_text(json.dumps(address))
        with open_store(elsewhere) as store:
            store.audit.append("worker", "acted", "far away")
    with pytest.raises(TransientError):
        open_store(elsewhere)
    assert not elsewhere.exists()
    with open_store(owned) as store:
        assert [entry.subject for entry in store.audit.latest()] == ["far away"]
        # Archives lie beside the database, or nowhere.
        seal = Seal("key", 1, elsewhere.with_suffix(".audit-key"))
        assert AuditTrail(store.engine, store.clock, seal).archive(datetime.now(UTC) + timedelta(days=1)) == 0
        assert store.audit.check().findings == []


def test_the_newest_events_are_few_of_each_kind_with_each_labels(tmp_path: Path) -> None:
    start = datetime(2026, 3, 1, tzinfo=UTC)
    with open_store(tmp_path / "events.duckdb") as store:
        store.events.append(
            [
                Event(event_type=kind, ts=start + timedelta(minutes=minute), labels={"of": of})
                for kind in ("ran", "failed", "other")
                for of in ("a", "b")
                for minute in range(5)
            ]
        )
        told = store.events.newest(("ran", "failed"), start, start + timedelta(minutes=3), most=2)
    minutes = [(each.ts - start).total_seconds() / 60 for each in told]
    assert minutes == [3, 3, 3, 3, 2, 2, 2, 2]
    assert {(each.event_type, each.labels["of"]) for each in told} == {
        (kind, of) for kind in ("ran", "failed") for of in ("a", "b")
    }
