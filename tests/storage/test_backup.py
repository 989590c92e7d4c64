"""A backup is whole, verified and made while the loop runs; to restore one loses nothing by accident."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from storage import ForeactError, open_store
from storage.copies import back_up, checksum_file, give_back_room, restore, verified
from storage.engine.damage import damage_mark, log_of
from storage.records import Action, Approval, Autonomy, GoalType, Receipt, ReceiptStatus, Sample
from tests import PROJECT

NOW = datetime(2026, 6, 1, tzinfo=UTC)
OWNER = """
import sys
from pathlib import Path
from storage import own_store
with own_store(Path(sys.argv[1])):
    print("owned", flush=True)
    sys.stdin.read()
"""


@contextmanager
def an_owner(path: Path) -> Iterator[None]:
    command = [sys.executable, "-c", OWNER, str(path)]
    with subprocess.Popen(command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        owner.stdout.readline()
        yield
        owner.communicate()


def fill(path: Path, count: int = 100) -> None:
    with open_store(path) as store:
        put(store, count)
        store.audit.append("ada", "approved", "act-1")


def put(store: object, count: int, first: int = 0) -> None:
    samples = [Sample(metric="m", value=float(k), ts=NOW + timedelta(seconds=k)) for k in range(first, first + count)]
    store.samples.append(samples)  # type: ignore[attr-defined]


def values(path: Path) -> list[float]:
    with open_store(path) as store:
        return [value for (value,) in store.engine.rows("SELECT value FROM samples ORDER BY ts")]


def test_a_backup_is_for_its_owner_alone_wherever_it_lies(tmp_path: Path) -> None:
    database, copy, umask = tmp_path / "f.duckdb", tmp_path / "b.duckdb", os.umask(0o022)
    try:
        fill(database)
        with open_store(database) as store:
            back_up(store.engine, copy, database)
    finally:
        os.umask(umask)
    assert [stat.S_IMODE(file.stat().st_mode) for file in (copy, copy.with_suffix(".audit-key"))] == [0o600] * 2


def test_a_backup_made_while_others_write_holds_all_that_was_acknowledged_before(tmp_path: Path) -> None:
    database, copy = tmp_path / "f.duckdb", tmp_path / "copies" / "b.duckdb"
    copy.parent.mkdir()
    with an_owner(database), open_store(database) as store:
        put(store, 50)
        facts = back_up(store.engine, copy)
        put(store, 50, first=50)
    assert facts.sha256 in checksum_file(copy).read_text()
    restore(copy, tmp_path / "new" / "f.duckdb", now=NOW)
    assert values(tmp_path / "new" / "f.duckdb") == [float(k) for k in range(50)]
    assert len(values(database)) == 100
    assert sorted(each.name for each in copy.parent.iterdir()) == ["b.duckdb", "b.duckdb.sha256"]


def test_a_backup_never_overwrites(tmp_path: Path) -> None:
    fill(tmp_path / "f.duckdb")
    (tmp_path / "b.duckdb").write_text("precious")
    with open_store(tmp_path / "f.duckdb") as store, pytest.raises(ForeactError) as refusal:
        back_up(store.engine, tmp_path / "b.duckdb")
    assert refusal.value.code == "file_exists"
    assert (tmp_path / "b.duckdb").read_text() == "precious"


def test_a_backup_that_cannot_be_written_leaves_nothing_behind_and_the_store_usable(tmp_path: Path) -> None:
    fill(tmp_path / "f.duckdb")
    with open_store(tmp_path / "f.duckdb") as store:
        with pytest.raises(ForeactError) as refusal:
            back_up(store.engine, tmp_path / "nowhere" / "b.duckdb")
        put(store, 1, first=500)
    assert refusal.value.code == "backup_failed"
    assert len(values(tmp_path / "f.duckdb")) == 101


def test_to_restore_over_a_database_must_be_said_and_even_then_sets_it_aside(tmp_path: Path) -> None:
    database, copy = tmp_path / "f.duckdb", tmp_path / "b.duckdb"
    fill(database)
    with open_store(database) as store:
        back_up(store.engine, copy)
        put(store, 7, first=1000)
    with pytest.raises(ForeactError) as refusal:
        restore(copy, database, now=NOW)
    assert refusal.value.code == "database_exists"
    assert len(values(database)) == 107
    _, aside = restore(copy, database, now=NOW, replaces=True)
    assert aside is not None
    assert (len(values(database)), len(values(aside))) == (100, 107)


def test_nothing_is_restored_while_somebody_uses_the_database(tmp_path: Path) -> None:
    database, copy = tmp_path / "f.duckdb", tmp_path / "b.duckdb"
    fill(database)
    with open_store(database) as store:
        back_up(store.engine, copy)
    with an_owner(database), pytest.raises(ForeactError) as refusal:
        restore(copy, database, now=NOW, replaces=True)
    assert refusal.value.code == "store_in_use"


@pytest.mark.parametrize("place", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_backup_with_one_wrong_byte_is_not_restored(tmp_path: Path, place: float) -> None:
    database, copy = tmp_path / "f.duckdb", tmp_path / "b.duckdb"
    fill(database)
    with open_store(database) as store:
        back_up(store.engine, copy)
    held = bytearray(copy.read_bytes())
    held[int(place * len(held))] ^= 0xFF
    copy.write_bytes(held)
    with pytest.raises(ForeactError) as refusal:
        restore(copy, tmp_path / "new.duckdb", now=NOW)
    assert refusal.value.code == "backup_unusable"
    assert not (tmp_path / "new.duckdb").exists()


def test_a_damaged_backup_is_refused_without_its_checksum_too(tmp_path: Path) -> None:
    database, copy = tmp_path / "f.duckdb", tmp_path / "b.duckdb"
    fill(database)
    with open_store(database) as store:
        back_up(store.engine, copy)
    held = bytearray(copy.read_bytes())
    for place in range(20_000, len(held), 10_000):
        held[place] ^= 0xFF
    copy.write_bytes(held)
    checksum_file(copy).write_bytes(b"\xff")
    with pytest.raises(ForeactError, match="is not what"):
        restore(copy, tmp_path / "new.duckdb", now=NOW)
    with pytest.raises(ForeactError, match="does not match stored checksum"):
        restore(copy, tmp_path / "new.duckdb", now=NOW, checks_sum=False)


@pytest.mark.parametrize("missing_bytes", [1, 100_000, 300_000])
def test_a_backup_that_is_cut_off_is_not_restored_with_or_without_its_checksum(
    tmp_path: Path, missing_bytes: int
) -> None:
    database, copy, newer = tmp_path / "f.duckdb", tmp_path / "b.duckdb", tmp_path / "new.duckdb"
    fill(database)
    with open_store(database) as store:
        back_up(store.engine, copy)
    fill(newer, 7)
    with copy.open("r+b") as file:
        file.truncate(copy.stat().st_size - missing_bytes)
    for checks_sum in (True, False):
        with pytest.raises(ForeactError) as refusal:
            restore(copy, newer, now=NOW, replaces=True, checks_sum=checks_sum)
        assert refusal.value.code == "backup_unusable"
    assert len(values(newer)) == 7


def test_a_copy_that_cannot_be_written_leaves_the_database_in_its_place(tmp_path: Path) -> None:
    database, copy = tmp_path / "f.duckdb", tmp_path / "b.duckdb"
    fill(database)
    with open_store(database) as store:
        back_up(store.engine, copy)
    draft = database.with_name(f".{database.name}.part")
    draft.mkdir()
    with pytest.raises(ForeactError) as refusal:
        restore(copy, database, now=NOW, replaces=True)
    assert refusal.value.code == "restore_failed"
    assert len(values(database)) == 100


def test_a_backup_whose_audit_trail_was_rewritten_is_not_restored_even_without_its_checksum(tmp_path: Path) -> None:
    fill(tmp_path / "f.duckdb")
    with open_store(tmp_path / "f.duckdb") as store:
        store.engine.rows("UPDATE audit SET actor = 'eve'")
    with pytest.raises(ForeactError, match="line 1"):
        restore(tmp_path / "f.duckdb", tmp_path / "new.duckdb", now=NOW, checks_sum=False)


def test_a_file_that_is_no_database_is_no_backup(tmp_path: Path) -> None:
    (tmp_path / "b.duckdb").write_bytes(b"not a database" * 1000)
    with pytest.raises(ForeactError) as refusal:
        verified(tmp_path / "b.duckdb")
    assert refusal.value.code == "backup_unusable"


def test_room_that_lies_free_is_given_back_when_the_owner_opens_the_file(tmp_path: Path) -> None:
    database = tmp_path / "f.duckdb"
    fill(database)
    with open_store(database) as store:
        store.engine.rows(
            "INSERT INTO samples SELECT 1, TIMESTAMPTZ '2026-01-01', random(), now() FROM range(4_000_000)"
        )
        store.engine.rows("CHECKPOINT")
        # What is written last lies last, and keeps DuckDB from cutting the file off there.
        store.engine.rows("INSERT INTO samples SELECT 5, ts, value, recorded_at FROM samples LIMIT 200_000")
        store.engine.rows("CHECKPOINT")
        store.engine.rows("DELETE FROM samples WHERE series_id = 1")
    before = database.stat().st_size
    with an_owner(database):
        after = database.stat().st_size
    assert before > 30_000_000 > 4 * after
    assert len(values(database)) >= 200_000
    with open_store(database) as store:
        assert store.audit.first_broken_line() is None
    assert give_back_room(database) == 0


def test_a_restored_trail_is_verified_with_the_key_of_the_backup_in_any_folder(tmp_path: Path) -> None:
    database, copy, elsewhere = tmp_path / "f.duckdb", tmp_path / "b.duckdb", tmp_path / "new" / "g.duckdb"
    fill(database)
    with open_store(database) as store:
        back_up(store.engine, copy, database)
        for number in range(3):
            store.audit.append("ada", "approved", f"act-{number}")
    restore(copy, elsewhere, now=NOW)
    restore(copy, database, now=NOW, replaces=True)
    for path in (elsewhere, database):
        with open_store(path) as store:
            store.audit.append("ada", "approved", "later")
            assert store.audit.check().findings == []


def test_rubbish_in_the_key_is_named_by_who_backs_up_and_who_restores(tmp_path: Path) -> None:
    database, copy, elsewhere = tmp_path / "f.duckdb", tmp_path / "b.duckdb", tmp_path / "elsewhere" / "f.duckdb"
    fill(database)
    with open_store(database) as store:
        back_up(store.engine, copy, database)
        database.with_suffix(".audit-key").write_bytes(b"\xff\x00rubbish")
        with pytest.raises(ForeactError, match=r"f\.audit-key does not hold the key"):
            back_up(store.engine, tmp_path / "second.duckdb", database)
    copy.with_suffix(".audit-key").write_bytes(b"\xff\x00rubbish")
    with pytest.raises(ForeactError, match=r"b\.audit-key does not hold the key"):
        restore(copy, elsewhere, now=NOW)
    assert not elsewhere.exists()
    assert not (tmp_path / "second.duckdb").exists()


def test_an_act_that_was_open_in_a_backup_is_given_up_when_it_is_restored(tmp_path: Path) -> None:
    database, copy = tmp_path / "f.duckdb", tmp_path / "b.duckdb"
    fill(database)
    with open_store(database) as store:
        acts = [
            Action(
                action_id=f"act-{k}",
                name="restart",
                goal_id="g",
                goal_type=GoalType.COST_REDUCTION,
                plan_id="p",
                decision_id="d",
                level=Autonomy.APPROVE,
                created_at=NOW,
                due_at=NOW,
                expires_at=NOW + timedelta(days=1),
            )
            for k in range(3)
        ]
        store.actions.append(acts, "cycle-1")
        store.actions.approve(
            Approval(action_id="act-0", approved=True, by="ada", at=NOW, expires_at=NOW + timedelta(days=1))
        )
        done = Receipt(action_id="act-2", status=ReceiptStatus.SUCCEEDED, started_at=NOW, finished_at=NOW)
        store.actions.finish(done)
        back_up(store.engine, copy)
        store.actions.finish(done.model_copy(update={"action_id": "act-0"}))
    facts, _ = restore(copy, database, now=NOW, replaces=True)
    assert facts.given_up == 2
    with open_store(database) as store:
        assert store.actions.due(NOW) == []
        given_up, untouched = store.actions.get("act-0"), store.actions.get("act-2")
    assert given_up is not None
    assert given_up.receipt is not None
    assert given_up.receipt.status is ReceiptStatus.SKIPPED
    assert f"restored from a backup of {datetime.now(UTC):%Y-%m-%d}" in given_up.receipt.detail
    assert untouched is not None
    assert untouched.receipt == done
    assert restore(copy, tmp_path / "g.duckdb", now=NOW)[0].given_up == 2


def test_what_lay_beside_the_former_database_does_not_reach_the_restored_one(tmp_path: Path) -> None:
    database, copy = tmp_path / "f.duckdb", tmp_path / "b.duckdb"
    fill(database)
    with open_store(database) as store:
        back_up(store.engine, copy)
    database.unlink()
    damage_mark(database).write_text("a block could not be read")
    log_of(database).write_bytes(b"the log of a file that is gone" * 100)
    restore(copy, database, now=NOW)
    assert not damage_mark(database).exists()
    assert not log_of(database).exists()
    assert [each.read_bytes()[:7] for each in tmp_path.glob("f.before-restore-*.wal")] == [b"the log"]
    assert len(values(database)) == 100
