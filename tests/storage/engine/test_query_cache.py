"""What was read is remembered exactly as long as nobody can have changed it."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage import Store, open_store, own_store
from storage.engine.query_cache import (
    ANYTHING,
    CLOCK,
    MOST_ANSWERS,
    SETTLED_S,
    TICK_S,
    WANTED_S,
    QueryCache,
    Sizes,
    written,
)
from storage.facts import CONSIDERED


@pytest.mark.parametrize(
    ("sql", "table"),
    [
        ("SELECT 1 FROM goals", None),
        (" WITH a AS (SELECT 1) SELECT * FROM a", None),
        ("\n INSERT INTO facts VALUES (1)", "facts"),
        ("delete from samples WHERE TRUE", "samples"),
        ("UPDATE goals SET a = 1", "goals"),
        ("CREATE TABLE t (a INT)", ANYTHING),
        ("CHECKPOINT", ANYTHING),
    ],
)
def test_what_a_statement_writes_is_known(sql: str, table: str | None) -> None:
    assert written(sql) == table


def test_an_answer_is_read_again_when_its_table_was_written() -> None:
    recall, read = QueryCache(), list[int]()

    def answer() -> int:
        read.append(1)
        return len(read)

    assert [recall.get(("a",), "k", answer) for _ in range(3)] == [1, 1, 1]
    recall.touch("b")
    assert recall.get(("a",), "k", answer) == 1
    recall.touch("a")
    assert recall.get(("a",), "k", answer) == 2
    recall.touch(ANYTHING)
    assert recall.get(("a",), "k", answer) == 3


def test_an_answer_that_a_write_overtook_is_not_kept() -> None:
    recall = QueryCache()

    def overtaken() -> str:
        recall.touch("a")
        return "old"

    assert recall.get(("a",), "k", overtaken) == "old"
    assert recall.get(("a",), "k", lambda: "new") == "new"


def test_it_keeps_no_more_than_it_may() -> None:
    recall = QueryCache()
    for key in range(MOST_ANSWERS + 5):
        recall.get(("a",), key, lambda key=key: key)  # type: ignore[misc]
    assert recall.get(("a",), 0, lambda: "forgotten") == "forgotten"  # type: ignore[comparison-overlap]
    assert recall.get(("a",), MOST_ANSWERS, lambda: -1) == MOST_ANSWERS


def test_rows_that_are_taken_back_were_never_remembered() -> None:
    with open_store() as store:
        store.facts.set(CONSIDERED, 1)

        def take_back() -> None:
            with store.transaction():
                store.facts.set(CONSIDERED, 2)
                assert store.facts.get(CONSIDERED) == 2
                raise ValueError("no")

        with pytest.raises(ValueError, match="no"):
            take_back()
        assert store.facts.get(CONSIDERED) == 1


def test_inside_a_transaction_only_what_it_wrote_is_read_anew(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.facts.set(CONSIDERED, 1)
    assert (store.facts.get(CONSIDERED), store.goals.counts()) == (1, {})
    asked = list[str]()
    rows = store.engine.rows
    monkeypatch.setattr(store.engine, "rows", lambda sql, params=None: asked.append(sql) or rows(sql, params))
    with store.transaction():
        store.facts.set(CONSIDERED, 2)
        assert (store.facts.get(CONSIDERED), store.goals.counts()) == (2, {})
    assert [sql.split()[0] for sql in asked] == ["INSERT", "SELECT"]


def test_what_is_first_read_inside_a_transaction_is_not_remembered() -> None:
    recall = QueryCache()
    assert recall.get(("a",), "k", lambda: "before others wrote", keep=False) == "before others wrote"
    assert recall.get(("a",), "k", lambda: "now") == "now"


def test_an_owner_that_serves_its_file_sees_what_others_write(tmp_path: Path) -> None:
    with own_store(tmp_path / "a.duckdb") as owner, open_store(tmp_path / "a.duckdb") as other:
        assert owner.facts.get(CONSIDERED) is None
        other.facts.set(CONSIDERED, 1)
        assert owner.facts.get(CONSIDERED) == 1
        owner.facts.set(CONSIDERED, 2)
        assert other.facts.get(CONSIDERED) == 2


@pytest.fixture
def store() -> Store:
    return open_store()


def test_what_is_handed_out_can_be_changed_without_harm(store: Store) -> None:
    assert store.goals.all() == []
    store.goals.all().append("rubbish")  # type: ignore[arg-type]
    assert store.goals.all() == []


def test_a_renewal_shows_the_new_state_only_when_what_is_asked_was_read() -> None:
    recall, shown = QueryCache(), list[int]()
    world = {"a": 1}

    def inner() -> int:
        return world["a"]

    def outer() -> int:
        shown.append(recall.get(("a",), "inner", inner))
        return 10 * shown[-1]

    assert recall.get(("a",), "outer", outer) == 10
    world["a"] = 2
    assert recall.get(("a",), "outer", outer) == 10
    recall.renew({"a": 2})
    assert shown == [1, 2], "what an answer is made of is read anew with it"
    assert recall.get(("a",), "outer", outer) == 20
    assert shown == [1, 2]


def test_what_nobody_asked_for_lately_is_not_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    recall, read, now_s = QueryCache(), list[int](), [100.0]
    monkeypatch.setattr("storage.engine.query_cache.time.monotonic", lambda: now_s[0])

    def answer() -> int:
        read.append(1)
        return len(read)

    recall.get(("a",), "k", answer)
    for size in range(3):
        recall.renew({"a": size})
    assert len(read) == 4
    now_s[0] += WANTED_S
    recall.renew({"a": 9})
    assert len(read) == 4
    assert recall.get(("a",), "k", answer) == 5


def test_what_cannot_be_renewed_fails_whoever_asks_and_nobody_else() -> None:
    recall, is_broken = QueryCache(), list[bool]()

    def answer() -> str:
        if is_broken:
            raise ValueError("gone")
        return "here"

    recall.get(("a",), "k", answer)
    recall.get(("a",), "other", lambda: "well")
    is_broken.append(True)
    recall.renew({"a": 1})
    assert recall.get(("a",), "other", lambda: "read again") == "well"
    with pytest.raises(ValueError, match="gone"):
        recall.get(("a",), "k", answer)


def test_a_size_is_looked_at_once_more_when_it_has_settled() -> None:
    sizes = Sizes()

    def state(size: int, now_s: float) -> object:
        return sizes.take_in({"a": size}, now_s)["a"]

    fresh = state(1, 0.0)
    assert state(1, SETTLED_S / 2) == fresh
    settled = state(1, SETTLED_S)
    assert settled != fresh
    assert state(1, 9 * SETTLED_S) == settled
    assert state(2, 9 * SETTLED_S) not in (fresh, settled)


def test_what_grows_old_by_itself_is_read_anew_after_a_while() -> None:
    sizes = Sizes()
    states = [sizes.take_in({}, now_s)[CLOCK] for now_s in (0.0, TICK_S / 2, TICK_S)]
    assert states[0] == states[1] != states[2]


def test_what_grows_old_by_itself_is_not_remembered_where_nobody_looks(store: Store) -> None:
    read = list[int]()

    def answer() -> int:
        read.append(1)
        return len(read)

    assert [store.engine.recall((CLOCK,), "k", answer) for _ in range(3)] == [1, 2, 3]
