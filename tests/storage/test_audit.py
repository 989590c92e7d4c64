"""What the audit trail shows of changes made behind its back, and that no secret gets into it."""

from __future__ import annotations

import hashlib
import json
import stat
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from storage import ForeactError, Store, audit, open_store, own_store
from storage.audit import archives_of, key_file, read_heads, seal_beside, seal_of, set_heads_aside

Change = Callable[[Store, Path], object]
JANUARY = datetime(2026, 1, 1, tzinfo=UTC)


def recorded(file: Path, lines: int = 6) -> Store:
    store = open_store(file)
    for number in range(lines):
        store.audit.append("loop", "acted", f"action-{number}", {"n": number})
    return store


def sql(*statements: str) -> Change:
    return lambda store, file: [store.engine.rows(statement) for statement in statements]


def rewritten_without_the_key(store: Store, file: Path) -> None:
    """Change a line and compute all hashes anew, as one can who has the database and the source, but not the key."""
    store.engine.rows("UPDATE audit SET detail = '{}' WHERE seq = 4")
    plain = Store(store.engine).audit
    rows = store.engine.rows("SELECT actor, verb, subject, detail FROM audit ORDER BY seq")
    store.engine.rows("DELETE FROM audit")
    for actor, verb, subject, detail in rows:
        plain.append(actor, verb, subject, json.loads(detail))


CHANGES: dict[str, tuple[Change, int]] = {
    "a word": (sql("UPDATE audit SET actor = 'ann' WHERE seq = 3"), 3),
    "a line taken out": (sql("DELETE FROM audit WHERE seq = 3"), 3),
    "the end cut off": (sql("DELETE FROM audit WHERE seq > 4"), 5),
    "the beginning cut off": (sql("DELETE FROM audit WHERE seq < 3"), 1),
    "all of it": (sql("DELETE FROM audit"), 1),
    "rewritten whole": (rewritten_without_the_key, 1),
    "the key lost": (lambda store, file: file.with_suffix(".audit-key").unlink(), 1),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_behind_its_back_is_found(tmp_path: Path, what: str) -> None:
    file = tmp_path / "foreact.duckdb"
    change, line = CHANGES[what]
    with recorded(file) as store:
        assert store.audit.check().findings == []
        change(store, file)
    with open_store(file) as store:
        check = store.audit.check()
    assert check.first_broken_line == line
    assert check.findings
    assert "key" in check.proves
    assert check.cannot_prove


def test_lines_of_several_processes_are_one_trail(tmp_path: Path) -> None:
    file = tmp_path / "foreact.duckdb"
    with own_store(file) as owner, open_store(file) as attached:
        for number in range(4):
            (owner if number % 2 else attached).audit.append("loop", "acted", f"action-{number}")
        assert owner.audit.check().findings == attached.audit.check().findings == []
    assert max(read_heads(file.with_suffix(".audit-heads"))) == 4
    for name in (".audit-key", ".audit-heads", ".duckdb"):
        assert stat.S_IMODE(file.with_suffix(name).stat().st_mode) == 0o600


def test_lines_from_before_there_was_a_key_stay_good(tmp_path: Path) -> None:
    file = tmp_path / "foreact.duckdb"
    with open_store(file) as store:
        unkeyed = Store(store.engine).audit
        unkeyed.append("loop", "acted", "earlier")
        file.with_suffix(".audit-key").unlink()
    with open_store(file) as store:
        store.audit.append("loop", "acted", "later")
        check = store.audit.check()
    assert check.findings == []
    assert "From line 2 on" in check.proves


def test_what_was_taken_back_is_not_missed(tmp_path: Path) -> None:
    with recorded(tmp_path / "foreact.duckdb") as store:
        with pytest.raises(ZeroDivisionError), store.transaction():
            print(store.audit.append("loop", "acted", "taken back").seq / 0)
        assert store.audit.check().findings == []
        with store.transaction():
            store.audit.append("loop", "acted", "kept")
        assert store.audit.note_head() is not None
        assert store.audit.check().findings == []


def test_an_older_copy_put_in_its_place_is_found_until_the_list_is_set_aside(tmp_path: Path) -> None:
    file = tmp_path / "foreact.duckdb"
    recorded(file, 3).close()
    older = file.read_bytes()
    recorded(file, 2).close()
    file.write_bytes(older)
    with open_store(file) as store:
        assert store.audit.check().first_broken_line == 4
    set_heads_aside(file, "restored")
    with open_store(file) as store:
        assert store.audit.check().first_broken_line is None


def test_without_the_list_of_heads_it_is_not_claimed_that_no_line_is_missing_at_the_end(tmp_path: Path) -> None:
    with recorded(file := tmp_path / "a.duckdb") as store:
        assert "may be missing" not in store.audit.check().proves
        file.with_suffix(".audit-heads").unlink()
        store.engine.rows("DELETE FROM audit WHERE seq = 6")
        assert "except at the end, where lines may be missing" in store.audit.check().proves


def test_a_list_of_heads_that_holds_rubbish_still_finds_a_missing_line(tmp_path: Path) -> None:
    with recorded(file := tmp_path / "a.duckdb") as store:
        heads = file.with_suffix(".audit-heads")
        heads.write_bytes(heads.read_bytes() + b"\xff\x00 k1:x\n" + b"9" * 5_000 + b" k1:x\n\xc2\xb2 k1:x\n7 k1")
        assert store.audit.check().findings == ["Line 7 was written, but is missing at the end."]


def test_lines_that_were_archived_are_not_missed(tmp_path: Path) -> None:
    with recorded(tmp_path / "foreact.duckdb") as store:
        (head,) = store.engine.rows("SELECT entry_hash FROM audit WHERE seq = 3")[0]
        store.audit.append("loop", "audit archived", "audit", {"through": 3, "hash": head})
        store.engine.rows("DELETE FROM audit WHERE seq <= 3")
        assert store.audit.check().findings == []


def months(file: Path, count: int = 4) -> None:
    """Write ten lines a month, and archive at the end of each what is older than a month, as upkeep does."""
    now = [JANUARY]
    with open_store(file, lambda: now[0]) as store:
        for month in range(count):
            for number in range(10):
                now[0] = JANUARY + timedelta(days=31 * month + 3 * number)
                store.audit.append("loop", "acted", f"action-{month}-{number}", {"n": number, "why": "räumt auf"})
            store.audit.archive(now[0] - timedelta(days=31))


def test_old_lines_move_into_archives_and_stay_verified(tmp_path: Path) -> None:
    file = tmp_path / "foreact.duckdb"
    months(file)
    with open_store(file) as store:
        check, kept = store.audit.check(), store.audit.latest(1_000)
        assert store.audit.archive(JANUARY) == 0
    assert (check.findings, check.last_line) == ([], check.lines)
    assert check.lines == 43
    assert kept[-1].seq > 1
    for archive in archives_of(file):
        assert stat.S_IMODE(archive.stat().st_mode) == 0o600
        summed = subprocess.run(["sha256sum", "--check", f"{archive.name}.sha256"], cwd=tmp_path, capture_output=True)
        assert summed.returncode == 0


def archived_word(file: Path) -> str:
    archive = archives_of(file)[0]
    archive.write_text(archive.read_text().replace('"loop"', '"ann"', 1))
    return archive.name


def archived_word_with_a_new_checksum(file: Path) -> str:
    archived_word(file)
    archive = archives_of(file)[0]
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    archive.with_name(f"{archive.name}.sha256").write_text(f"{digest}  {archive.name}\n")
    return "does not follow"


def archive_torn(file: Path) -> str:
    archive = archives_of(file)[1]
    archive.write_text(archive.read_text()[:-20])
    return "cannot be read"


@pytest.mark.parametrize("change", [archived_word, archived_word_with_a_new_checksum, archive_torn])
def test_a_change_of_an_archive_is_found(tmp_path: Path, change: Callable[[Path], str]) -> None:
    file = tmp_path / "foreact.duckdb"
    months(file)
    wanted = change(file)
    with open_store(file) as store:
        check = store.audit.check()
    assert check.first_broken_line is not None
    assert any(wanted in finding for finding in check.findings)


@pytest.mark.parametrize("which", [0, 1, 2])
def test_an_archive_kept_elsewhere_is_no_change_but_is_told(tmp_path: Path, which: int) -> None:
    file = tmp_path / "foreact.duckdb"
    months(file)
    archives_of(file)[which].unlink()
    with open_store(file) as store:
        check = store.audit.check()
    assert check.findings == []
    assert "of these nothing is known" in check.cannot_prove


def test_a_process_that_ends_while_archiving_loses_no_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "foreact.duckdb"
    months(file, 2)
    for broken in ("write_archive", "AuditTrail.append"):
        with open_store(file) as store:
            with monkeypatch.context() as patch:
                # It ends right after this step.
                patch.setattr(f"storage.audit.{broken}", _ending_after(store, broken))
                with pytest.raises(ZeroDivisionError):
                    store.audit.archive(JANUARY + timedelta(days=50))
            assert store.audit.check().findings == []
    with open_store(file) as store:
        before = store.audit.check().lines
        assert store.audit.archive(JANUARY + timedelta(days=50)) > 0
        check = store.audit.check()
    assert (check.findings, check.lines) == ([], before + 1)


def _ending_after(store: Store, broken: str) -> Callable[..., object]:
    own = audit.write_archive if broken == "write_archive" else store.audit.append

    def end(*arguments: object) -> object:
        own(*(arguments if broken == "write_archive" else arguments[1:]))  # type: ignore[arg-type]
        raise ZeroDivisionError

    return end


def test_the_list_of_heads_does_not_grow_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.audit.MOST_HEAD_BYTES", 1_000)
    with recorded(tmp_path / "foreact.duckdb", 60) as store:
        assert (tmp_path / "foreact.audit-heads").stat().st_size < 2_000
        assert store.audit.check().findings == []


def test_no_login_of_an_address_gets_into_the_trail() -> None:
    with open_store() as store:
        told = "http://reader:hunter2@host:9090/ does not answer"
        store.audit.append("loop", "source failed", "monitor", {"trouble": told, "deep": [{"url": told}]})
        (entry,) = store.audit.latest(1)
    assert "hunter2" not in json.dumps(entry.detail)
    assert "host:9090" in json.dumps(entry.detail)


@pytest.mark.parametrize("held", [b"\xff\xfe\x00", b"too short", b"a sentence that somebody wrote", b"k" * 43 + b" x"])
def test_a_key_file_that_holds_no_key_is_named_and_left_alone(tmp_path: Path, held: bytes) -> None:
    database = tmp_path / "f.duckdb"
    key_file(database).write_bytes(held)
    for read in (lambda: seal_of(database, 0), lambda: seal_beside(database), lambda: own_store(database)):
        with pytest.raises(ForeactError, match=str(key_file(database))) as refusal:
            read()
        assert refusal.value.code == "audit_key_unusable"
        assert "Put it back" in refusal.value.remedy
    assert key_file(database).read_bytes() == held
