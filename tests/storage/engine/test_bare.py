"""A bare run's engine lets rows wait and follows values, and nobody can tell it from plain DuckDB."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from pydantic import TypeAdapter

from storage import Store, open_store
from storage.engine.bare import MOST_WAITING, VIEWS, BareEngine
from storage.engine.local import LocalEngine
from storage.engine.protocol import connect
from storage.facts import CONSIDERED, Family
from storage.forecasts import BreachResult, ForecastError
from storage.migrations import migrate
from storage.records import Breach, Cycle, Forecast, GoalState, Pattern, Sample, StatePrediction, Transition
from storage.samples import SampleWindow
from storage.state_predictions import ForetoldState, RawState, StateResult
from tests import sized
from tests.storage.engine.test_followed import a_forecast
from tests.storage.test_store import a_goal

NOW = datetime(2026, 1, 8, tzinfo=UTC)
LINES = Family("f", TypeAdapter(int), "numbers by name", written_by=(), read_by=())
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
SHOWN = {
    "samples": "series_id, ts, value",
    "sample_values": "series, ts, value",
    "cycles": "cycle_id, tick",
    "cycle_stages": "cycle_id, stage",
    "patterns": "pattern_id, cycle_id",
    "forecasts": "cycle_id, series, matures_at, refusal",
    "errors": "cycle_id, matures_at",
    "states": "cycle_id, matures_at, unhealthy",
    "state_results": "cycle_id, came",
    "breaches": "cycle_id, objective, series",
    "breach_results": "cycle_id, objective, happened",
    "goals": "goal_id, cycle_id",
    "goal_transitions": "goal_id, moved_at, state, progress",
    "goal_states": "goal_id, state, progress, since",
    "facts": "name, value",
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


def an_error(cycle_id: str, forecast: Forecast) -> ForecastError:
    return ForecastError(cycle_id, "a", forecast.issued_at, 60, np.zeros(len(forecast.point)), 1.0, False)


def waiting(store: Store) -> set[str]:
    assert isinstance(store.engine, BareEngine)
    return {table for table, rows in store.engine._waiting.counts.items() if rows}


def shown(store: Store, table: str) -> list[tuple[Any, ...]]:
    return sorted(store.engine.rows(f"SELECT {SHOWN[table]} FROM {table}"), key=repr)


def seen_in(window: SampleWindow, *names: str) -> object:
    return window.spans(), window.frame(names, 60, 6).values.tobytes()


def a_turn(store: Store, number: int, stage: str) -> bool:
    is_new = store.cycles.begin(a_cycle(number))
    store.cycles.stages_done(f"c{number}", [(stage, NOW, 0.1, {})])
    return is_new


Write = Callable[[Store, int, int], object]


def pruned(store: Store, before: datetime) -> None:
    """Delete what is older than a moment from several tables, each by a statement."""
    for table, column in (
        ("forecasts", "issued_at"),
        ("errors", "issued_at"),
        *((name, "recorded_at") for name in ("breaches", "states", "breach_results", "state_results")),
    ):
        store.engine.rows(f"DELETE FROM {table} WHERE {column} < $before", {"before": before})


NEW: dict[str, Write] = {
    "sample": lambda store, a, b: store.samples.append([Sample(metric=f"m{a}", value=b, ts=NOW + b * MINUTE)]),
    "patterns": lambda store, a, b: store.patterns.append([a_pattern(b), a_pattern(b + 1)], f"c{a}"),
    "forecast": lambda store, a, b: store.forecasts.append([a_forecast(NOW, b + 1), a_forecast(NOW, 1, "no")], f"c{a}"),
    "errors": lambda store, a, b: store.forecasts.append_errors([an_error(f"c{a}", a_forecast(NOW, b + 1))]),
    "state": lambda store, a, b: store.forecasts.states.append(a_state(b), f"c{a}", RawState(0.1, 0.1)),
    "unjudged": lambda store, a, b: store.forecasts.states.append(a_state(b), f"c{a}"),
    "came": lambda store, a, b: store.forecasts.states.append_results(
        [StateResult(ForetoldState(f"c{a}", a_state(b), RawState(0.1, 0.1)), "healthy")]
    ),
    "breaches": lambda store, a, b: store.forecasts.breaches.append([a_breach(b)], f"c{a}"),
    "goal": lambda store, a, b: store.goals.append([a_goal(f"g{a}", NOW)], [a_move(a, b)], f"c{a}"),
    "move": lambda store, a, b: store.goals.move(
        [a_move(b % 4, 10 * a + b), a_move(1 + b % 4, 10 * a + b + 5)], f"c{a}"
    ),
    "begin": lambda store, a, b: store.cycles.begin(a_cycle(a)),
    "turn": lambda store, a, b: a_turn(store, a, "measure" if b % 2 else "monitor"),
}
"""Writes that make new rows where the first number is new."""
WRITES: dict[str, Write] = NEW | {
    "fact": lambda store, a, b: store.facts.set(LINES.of(str(a)), b),
    "prune samples": lambda store, a, b: store.engine.rows(
        "DELETE FROM samples WHERE ts < $before", {"before": NOW + a * MINUTE}
    ),
    "prune": lambda store, a, b: pruned(store, NOW + a * MINUTE),
}
FOLLOWED: dict[str, Callable[[Store, int], object]] = {
    "late goals": lambda store, n: store.goals.lately(NOW - n * DAY),
    "states due": lambda store, n: sorted(
        store.forecasts.states.unresolved(NOW + n * MINUTE, 9), key=lambda state: state.cycle_id
    ),
    "forecasts due": lambda store, n: [
        (cycle_id, len(each.point)) for cycle_id, each in store.forecasts.unresolved(NOW + n * MINUTE, 500)
    ],
    "last measured": lambda store, n: store.cycles.measured_before(NOW + n * MINUTE),
    "facts": lambda store, n: [store.facts.get(LINES.of(str(n))), store.facts.matching(LINES)],
    "recent samples": lambda store, n: seen_in(store.samples.recent(NOW - n * DAY, NOW + 3 * MINUTE), "m0", "m1", "m2"),
    "some samples": lambda store, n: seen_in(
        store.samples.window(NOW - n * MINUTE, NOW + 3 * MINUTE, series=["m1"]), "m1"
    ),
}
few, minutes = st.integers(0, 2), st.integers(0, 4)
sometimes = st.booleans()


class BareBesidePlain(RuleBasedStateMachine):
    """Both do the same: write, alone or in transactions that may fail, ask, and write in another thread meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.plain = Store(LocalEngine(connect(":memory:"), is_alone=False), self.a_clock())
        migrate(self.plain.engine)
        self.both = (open_store(clock=self.a_clock()), self.plain)
        self.open, self.elsewhere, self.fresh = list[ExitStack](), ThreadPoolExecutor(1), count(10)
        self.is_mixed = False

    @staticmethod
    def a_clock() -> Callable[[], datetime]:
        ticks = count()
        return lambda: NOW + timedelta(milliseconds=next(ticks))

    @rule(name=st.sampled_from(sorted(WRITES)), a=few, b=minutes, is_asked=sometimes)
    def write(self, name: str, a: int, b: int, is_asked: bool) -> None:
        if not (self.is_mixed and name.startswith("prune")):
            bare, plain = (WRITES[name](store, a, b) for store in self.both)
            assert bare == plain
        self.ask_all(is_asked)

    @precondition(lambda self: not self.open)
    @rule(
        writes=st.lists(st.tuples(st.sampled_from(sorted(NEW)), few, minutes), min_size=1, max_size=4),
        fails=sometimes,
        is_asked=sometimes,
    )
    def write_together(self, writes: list[tuple[str, int, int]], fails: bool, is_asked: bool) -> None:
        def write(store: Store) -> list[object]:
            done = [NEW[name](store, a, b) for name, a, b in writes]
            if fails:
                raise RuntimeError
            return done

        bare, plain = (self.done(store, write) for store in self.both)
        assert bare == plain
        self.ask_all(is_asked)

    @staticmethod
    def done(store: Store, write: Callable[[Store], list[object]]) -> list[object]:
        with suppress(RuntimeError):
            return store.together(lambda: write(store))
        return []

    @precondition(lambda self: not self.open)
    @rule()
    def begin(self) -> None:
        for store in self.both:
            self.open.append(ExitStack())
            self.open[-1].enter_context(store.transaction())

    @precondition(lambda self: self.open)
    @rule(fails=sometimes, is_asked=sometimes)
    def end(self, fails: bool, is_asked: bool) -> None:
        for stack in self.open:
            stack.__exit__(*(RuntimeError, RuntimeError(), None) if fails else (None, None, None))
        self.open, self.is_mixed = [], False
        self.ask_all(is_asked)

    @precondition(lambda self: not self.open)
    @rule()
    def write_what_cannot_be_told(self) -> None:
        for store in self.both:
            store.engine.rows("CHECKPOINT")

    @rule(name=st.sampled_from(sorted(NEW)), b=minutes, is_asked=sometimes)
    def write_elsewhere(self, name: str, b: int, is_asked: bool) -> None:
        number, self.is_mixed = next(self.fresh), bool(self.open)
        for store in self.both:
            self.elsewhere.submit(NEW[name], store, number, b).result()
            for name_asked in FOLLOWED if is_asked else ():
                self.elsewhere.submit(FOLLOWED[name_asked], store, 3).result()
        self.ask_all(is_asked)

    @rule(name=st.sampled_from(sorted(FOLLOWED)), n=minutes)
    def ask(self, name: str, n: int) -> None:
        bare, plain = (FOLLOWED[name](store, n) for store in self.both)
        assert bare == plain or self.is_mixed, name

    @rule(table=st.sampled_from(sorted(SHOWN)))
    def show(self, table: str) -> None:
        bare, plain = (shown(store, table) for store in self.both)
        assert bare == plain or self.is_mixed, table

    def ask_all(self, is_asked: bool) -> None:
        for name in FOLLOWED if is_asked else ():
            self.ask(name, 3)

    def teardown(self) -> None:
        if self.open:
            self.end(fails=False, is_asked=True)
        self.ask_all(True)
        for table in SHOWN:
            self.show(table)
        self.elsewhere.shutdown()
        for store in self.both:
            store.close()


@pytest.mark.slow
def test_a_bare_run_is_answered_as_plain_duckdb_answers() -> None:
    """Rows written twice, transactions that fail, statements, and what another thread does meanwhile included."""
    run_state_machine_as_test(
        BareBesidePlain, settings=settings(max_examples=sized(12, 40), stateful_step_count=30, deadline=None)
    )


def test_what_waits_is_read_again_when_it_was_lost_to_others_while_a_transaction_failed(store: Store) -> None:
    NEW["state"](store, 1, 1)
    with suppress(RuntimeError), store.transaction():
        assert shown(store, "states") == [("c1", NOW + MINUTE, pytest.approx(0.1))]
        with ThreadPoolExecutor(1) as elsewhere:
            elsewhere.submit(store.forecasts.states.unresolved, NOW + MINUTE, 9).result()
        raise RuntimeError
    assert [each.cycle_id for each in store.forecasts.states.unresolved(NOW + MINUTE, 9)] == ["c1"]


def test_what_a_transaction_read_before_others_wrote_is_not_kept(store: Store) -> None:
    with store.transaction(), ThreadPoolExecutor(1) as elsewhere:
        assert shown(store, "cycles") == []
        elsewhere.submit(store.facts.set, CONSIDERED, 1).result()
        assert store.facts.get(CONSIDERED) is None
    assert store.facts.get(CONSIDERED) == 1


def test_a_move_that_comes_through_late_does_not_count_over_one_made_after_it(store: Store) -> None:
    store.goals.append([a_goal("g1", NOW)], [a_move(1, 0)], "c1")
    with ThreadPoolExecutor(1) as elsewhere:
        with store.transaction():
            store.goals.move([a_move(1, 1)], "c2")
            elsewhere.submit(store.goals.lately, NOW - DAY).result()
            elsewhere.submit(store.goals.move, [a_move(1, 2)], "c3").result()
        (view, *_), _ = store.goals.lately(NOW - DAY)
    assert view.since == NOW + 2 * MINUTE
    assert view == store.goals.get("g1")


@pytest.mark.parametrize(
    ("name", "n", "write"),
    [
        ("late goals", 1, "goal"),
        ("late goals", 1, "move"),
        ("states due", 3, "state"),
        ("forecasts due", 1, "forecast"),
        ("last measured", 4, "turn"),
        ("recent samples", 1, "sample"),
        ("some samples", 3, "sample"),
    ],
)
def test_what_is_followed_is_read_once(
    store: Store, monkeypatch: pytest.MonkeyPatch, name: str, n: int, write: str
) -> None:
    for first, number in (("goal", 1), ("goal", 2), ("turn", 1), ("sample", 1)):
        NEW[first](store, number, -1)
    FOLLOWED["recent samples"](store, 1)
    FOLLOWED[name](store, n)
    NEW[write](store, 1 if write == "sample" else 3, 1)
    for way in ("rows", "columns"):
        monkeypatch.setattr(store.engine, way, lambda sql, params=None: pytest.fail(sql))
    FOLLOWED[name](store, n)


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
        assert not isinstance(store.engine, BareEngine)
        store.patterns.append([a_pattern(1)], "c1")
        with store.engine._connection.cursor() as other:  # type: ignore[attr-defined]
            assert other.execute("SELECT count(*) FROM patterns").fetchone() == (1,)


def test_memory_is_not_packed_like_a_file(store: Store) -> None:
    """DuckDB would do so every 16 MB, and a turn would wait a tenth of a second and more for it."""
    (threshold,) = store.engine.rows("SELECT current_setting('checkpoint_threshold')")[0]
    assert re.fullmatch(r"9\d\d\.\d GiB", threshold)
