"""Rows of a store in memory wait until somebody asks for them, and nobody can tell."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage import Store, open_store
from storage.engine.write_buffer import MOST_WAITING, VIEWS, MemoryEngine
from storage.forecasts import BreachResult
from storage.records import Breach, Cycle, GoalState, Pattern, Sample, StatePrediction, Transition
from storage.state_predictions import ForetoldState, RawState, StateResult
from tests.storage.test_store import a_goal

NOW = datetime(2026, 1, 8, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
SHOWN = {
    "samples": "series_id, ts, value",
    "sample_values": "series, ts, value",
    "cycles": "cycle_id, tick",
    "cycle_stages": "cycle_id, stage",
    "patterns": "pattern_id, cycle_id",
    "states": "cycle_id, matures_at, unhealthy",
    "state_results": "cycle_id, came",
    "breaches": "cycle_id, objective, series",
    "breach_results": "cycle_id, objective, happened",
    "goals": "goal_id, cycle_id",
    "goal_transitions": "goal_id, moved_at, state, progress",
    "goal_states": "goal_id, state, progress, since",
}


def a_cycle(number: int) -> Cycle:
    return Cycle(
        cycle_id=f"c{number}",
        agent="a",
        tick=NOW + number * MINUTE,
        autonomous=True,
        configuration_hash="",
        code_version="",
        seed=0,
    )


def a_state(number: int) -> StatePrediction:
    return StatePrediction(at=NOW + number * MINUTE, state="healthy", probabilities={"healthy": 1.0})


def a_pattern(number: int) -> Pattern:
    return Pattern(
        pattern_id=f"p{number}", kind="recurrence", subject="x", statement="x", strength=0.5, evidence={}, p_value=0.1
    )


def a_breach(number: int) -> Breach:
    return Breach(objective=f"o{number}", series="x", probability=0.5)


def a_move(number: int, minute: int) -> Transition:
    states = list(GoalState)
    return Transition(
        goal_id=f"g{number}", state=states[minute % len(states)], at=NOW + minute * MINUTE, reason="r", progress=0.5
    )


def waiting(store: Store) -> set[str]:
    assert isinstance(store.engine, MemoryEngine)
    return {table for table, count in store.engine._waiting.counts.items() if count}


WRITES: dict[str, Callable[[Store, int, int], object]] = {
    "sample": lambda store, a, b: store.samples.append([Sample(metric=f"m{a}", value=b, ts=NOW + b * MINUTE)]),
    "begin": lambda store, a, b: store.cycles.begin(a_cycle(a)),
    "stage": lambda store, a, b: store.cycles.stages_done(f"c{a}", [("measure", NOW, float(b), {})]),
    "patterns": lambda store, a, b: store.patterns.append([a_pattern(b), a_pattern(b + 1)], f"c{a}"),
    "state": lambda store, a, b: store.forecasts.states.append(a_state(a), f"c{a}", RawState(0.1, 0.1)),
    "came": lambda store, a, b: store.forecasts.states.append_results(
        [StateResult(ForetoldState(f"c{a}", a_state(a), RawState(0.1, 0.1)), "healthy")]
    ),
    "breaches": lambda store, a, b: store.forecasts.breaches.append([a_breach(b)], f"c{a}"),
    "goal": lambda store, a, b: store.goals.append([a_goal(f"g{b}", NOW)], [a_move(b, b)], f"c{a}"),
    "move": lambda store, a, b: store.goals.move([a_move(b, a)], f"c{a}"),
    "prune": lambda store, a, b: store.samples.prune(NOW + a * MINUTE),
}


@dataclass(frozen=True)
class Step:
    """Writes that are done one by one, or together; then perhaps a failure, and perhaps a look at some tables."""

    writes: Sequence[tuple[str, int, int]]
    are_together: bool
    fails: bool
    looks_at: Sequence[str]


steps = st.builds(
    Step,
    st.lists(st.tuples(st.sampled_from(sorted(WRITES)), st.integers(0, 3), st.integers(0, 3)), max_size=5),
    st.booleans(),
    st.booleans(),
    st.lists(st.sampled_from(sorted(SHOWN)), max_size=2),
)


def shown(store: Store, tables: Sequence[str]) -> list[list[tuple[Any, ...]]]:
    return [sorted(store.engine.rows(f"SELECT {SHOWN[table]} FROM {table}"), key=repr) for table in tables]


def followed_in(store: Store) -> list[object]:
    """Return what a store follows as long as it lives; a store that was just made reads it."""
    return [
        store.goals.lately(NOW - DAY),
        sorted(each.cycle_id for each in store.forecasts.states.unresolved(NOW + MINUTE, 9)),
        store.cycles.measured_before(NOW + 2 * MINUTE),
    ]


def done(store: Store, step: Step) -> list[object]:
    """Take a step; return what it was told and what it saw."""
    told: list[object] = []

    def write() -> None:
        told.clear()
        told.extend(WRITES[name](store, a, b) for name, a, b in step.writes)
        if step.fails:
            raise RuntimeError

    with suppress(RuntimeError):
        store.together(write) if step.are_together else write()
    return [told, shown(store, step.looks_at)]


@settings(max_examples=30, deadline=None)
@given(st.lists(steps, max_size=8))
def test_a_store_in_memory_and_a_file_hold_the_same(tmp_path_factory: pytest.TempPathFactory, told: list[Step]) -> None:
    """Rows written twice, transactions that fail, and reads in between included."""
    file = tmp_path_factory.mktemp("same") / "a.duckdb"
    with open_store(clock=lambda: NOW) as memory, open_store(file, clock=lambda: NOW) as disk:
        for step in told:
            assert done(memory, step) == done(disk, step)
            followed, read = followed_in(memory), followed_in(Store(disk.engine, disk.clock))
            assert followed == read
        assert shown(memory, sorted(SHOWN)) == shown(disk, sorted(SHOWN))


def test_a_read_within_a_transaction_sees_what_waits_and_a_failure_gives_it_back(store: Store) -> None:
    store.patterns.append([a_pattern(1)], "c1")

    def count() -> int:
        return int(store.engine.rows("SELECT count(*) FROM patterns")[0][0])

    with suppress(RuntimeError), store.transaction():
        store.patterns.append([a_pattern(1)], "c2")
        assert count() == 2
        raise RuntimeError
    assert count() == 1
    store.patterns.append([a_pattern(1)], "c2")
    assert count() == 2


def test_rows_wait_until_their_table_is_named(store: Store) -> None:
    store.cycles.begin(a_cycle(1))
    store.patterns.append([a_pattern(1)], "c1")
    assert waiting(store) == {"cycles", "patterns"}
    assert store.cycles.count() == 1
    assert waiting(store) == {"patterns"}
    store.engine.rows("CHECKPOINT")
    assert waiting(store) == set()


def test_who_asks_for_one_cycle_leaves_the_others_waiting(store: Store) -> None:
    store.patterns.append([a_pattern(1)], "c1")
    store.patterns.append([a_pattern(1)], "c2")
    assert store.patterns.of_cycle("c3") == []
    assert waiting(store) == {"patterns"}
    assert [pattern.pattern_id for pattern in store.patterns.of_cycle("c2")] == ["p1"]
    assert waiting(store) == set()


def test_no_more_rows_wait_than_may(store: Store) -> None:
    for number in range(MOST_WAITING - 1):
        store.samples.append([Sample(metric="a", value=1, ts=NOW + number * MINUTE)])
    assert waiting(store) == {"samples"}
    store.samples.append([Sample(metric="a", value=1, ts=NOW - MINUTE)])
    assert waiting(store) == set()


def test_every_view_of_the_schema_is_known_with_the_tables_that_wait(store: Store) -> None:
    views: dict[str, str] = dict(store.engine.rows("SELECT view_name, sql FROM duckdb_views() WHERE NOT internal"))
    assert views.keys() == VIEWS.keys()
    for view, sql in views.items():
        assert re.search(rf"\b{VIEWS[view]}\b", sql)


def test_a_second_thread_loses_nothing(store: Store) -> None:
    seen: list[int] = []

    def read() -> None:
        while not seen or seen[-1] < 300:
            seen.append(store.engine.rows("SELECT count(*) FROM samples")[0][0])

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(300):
        store.samples.append([Sample(metric="a", value=1, ts=NOW + number * MINUTE)])
    reader.join(60)
    assert seen[-1] == 300
    assert seen == sorted(seen)


def test_results_of_breaches_wait_as_well(store: Store) -> None:
    store.forecasts.append_breach_results([BreachResult("c1", "o", "x", 0.5, 0.5, True)])
    assert waiting(store) == {"breach_results"}
    assert store.forecasts.breach_results(5)["happened"].tolist() == [True]


def test_a_file_gets_every_row_at_once(tmp_path: Path) -> None:
    with open_store(tmp_path / "a.duckdb") as store:
        assert not isinstance(store.engine, MemoryEngine)
        store.patterns.append([a_pattern(1)], "c1")
        with store.engine._connection.cursor() as other:  # type: ignore[attr-defined]
            assert other.execute("SELECT count(*) FROM patterns").fetchone() == (1,)


def test_memory_is_not_packed_like_a_file(store: Store) -> None:
    """DuckDB would do so every 16 MB, and a turn would wait a tenth of a second and more for it."""
    (threshold,) = store.engine.rows("SELECT current_setting('checkpoint_threshold')")[0]
    assert re.fullmatch(r"9\d\d\.\d GiB", threshold)
