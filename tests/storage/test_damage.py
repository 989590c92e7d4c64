"""Torn, flipped and zeroed files and logs: what is damaged is set aside, the rest is opened, and the loss is told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from storage import ForeactError, open_store
from storage.engine.damage import damage_mark, log_of, salvage
from storage.migrations import migrate
from tests import PROJECT

BATCH, BATCHES, BEFORE = 50, 40, 10
WRITER = f"""
import os, sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from storage import open_store
from storage.records import Sample
start = datetime(2026, 1, 1, tzinfo=UTC)
store = open_store(Path(sys.argv[1]))
for k in range({BATCHES}):
    if k == {BEFORE}:
        store.engine.rows("CHECKPOINT")
    store.samples.append([Sample(metric="m", value=float(i), ts=start + timedelta(seconds=i))
                          for i in range({BATCH} * k, {BATCH} * (k + 1))])
os._exit(9)
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """Return the file and the log of a process that was killed: 500 samples in the one, 1500 in the other."""
    database = tmp_path_factory.mktemp("killed") / "f.duckdb"
    assert subprocess.run([sys.executable, "-c", WRITER, str(database)], cwd=PROJECT).returncode == 9
    return database.read_bytes(), log_of(database).read_bytes()


def opened(folder: Path, file: bytes, log: bytes) -> tuple[list[float], list[str]]:
    """Return the values that are found, and what the audit trail says was lost."""
    database = folder / "f.duckdb"
    database.write_bytes(file)
    log_of(database).write_bytes(log)
    with open_store(database) as store:
        values = [value for (value,) in store.engine.rows("SELECT value FROM samples ORDER BY ts")]
        return values, [str(entry.detail["detail"]) for entry in store.audit.latest()]


def is_prefix(values: list[float]) -> bool:
    return values == [float(k) for k in range(len(values))] and len(values) % BATCH == 0


def test_a_whole_log_is_read_whole(tmp_path: Path, killed: tuple[bytes, bytes]) -> None:
    values, told = opened(tmp_path, *killed)
    assert (len(values), told) == (BATCH * BATCHES, [])


@pytest.mark.parametrize("seed", range(4))
def test_of_a_torn_log_every_whole_entry_counts(tmp_path: Path, killed: tuple[bytes, bytes], seed: int) -> None:
    file, log = killed
    end = int(np.random.default_rng(seed).integers(1, len(log)))
    values, told = opened(tmp_path, file, log[:end])
    assert is_prefix(values)
    assert [sentence for sentence in told if "in the middle of an entry" in sentence] == told != []
    with open_store(tmp_path / "f.duckdb") as store:
        assert len(store.audit.latest()) == 1  # it is told once
    assert len(values) >= BATCH * BEFORE + int(end / len(log) * BATCH * (BATCHES - BEFORE)) - 2 * BATCH


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("width", [0, 1000])
def test_of_a_log_with_wrong_bytes_all_before_them_counts_and_the_loss_is_told(
    tmp_path: Path, killed: tuple[bytes, bytes], seed: int, width: int
) -> None:
    file, log = killed
    place = int(np.random.default_rng(seed).integers(200, len(log) - 1000))
    wrong = bytearray(log)
    wrong[place : place + max(width, 1)] = bytes(width) if width else bytes([log[place] ^ 0x20])
    values, told = opened(tmp_path, file, bytes(wrong))
    assert is_prefix(values)
    assert BATCH * BEFORE <= len(values) < BATCH * BATCHES
    assert len(told) == 1
    assert "may be lost" in told[0]
    (aside,) = tmp_path.glob("f.damaged-*.wal")
    assert aside.read_bytes() == bytes(wrong)


def test_a_log_of_zeros_is_not_taken_for_an_empty_one(tmp_path: Path, killed: tuple[bytes, bytes]) -> None:
    file, log = killed
    values, told = opened(tmp_path, file, bytes(len(log)))
    assert len(values) == BATCH * BEFORE
    assert "may be lost" in told[0]


def test_of_a_file_with_a_damaged_block_the_other_rows_are_taken_over(tmp_path: Path) -> None:
    database = tmp_path / "f.duckdb"
    with open_store(database) as store:
        store.audit.append("ada", "approved", "act-1")
        store.engine.rows("INSERT INTO samples SELECT 1, now(), random(), now() FROM range(400_000)")
    held = bytearray(database.read_bytes())
    # The block of random numbers is the largest: a wrong byte in the middle of the file lies in it.
    held[len(held) // 2] ^= 0xFF
    database.write_bytes(held)
    told = salvage(database, "damaged-now", migrate)
    assert told is not None
    with open_store(database) as store:
        ((count,),) = store.engine.rows("SELECT count(hash(samples)) FROM samples")
        assert [entry.verb for entry in store.audit.latest()] == ["approved"]
        assert store.audit.first_broken_line() is None
    assert f"{400_000 - count} rows of samples" in told
    assert 0 < count < 400_000
    assert (tmp_path / "f.damaged-now.duckdb").read_bytes() == bytes(held)


def test_damage_that_was_met_while_it_ran_is_mended_at_the_next_start(tmp_path: Path) -> None:
    database = tmp_path / "f.duckdb"
    with open_store(database) as store:
        store.engine.rows("INSERT INTO samples SELECT 1, now(), random(), now() FROM range(1_000)")
    damage_mark(database).touch()
    with open_store(database) as store:
        assert store.engine.rows("SELECT count(*) FROM samples") == [(1_000,)]
        assert "nothing that was recorded" in str(store.audit.latest()[0].detail)
    assert not damage_mark(database).exists()


def test_a_file_that_cannot_be_read_at_all_is_left_as_it_is(tmp_path: Path) -> None:
    database = tmp_path / "f.duckdb"
    database.write_bytes(bytes(100_000))
    with pytest.raises(ForeactError) as refusal:
        open_store(database)
    assert refusal.value.code == "store_unreadable"
    assert "foreact restore" in refusal.value.remedy
    assert database.read_bytes() == bytes(100_000)
