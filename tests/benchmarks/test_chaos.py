"""The faults that `make chaos` makes, in short; and that it would say so if anything were lost."""

from __future__ import annotations

import random
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from benchmarks import chaos

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_three_kills_lose_nothing_and_do_nothing_twice(tmp_path: Path) -> None:
    rows = list(chaos.kills(tmp_path / "kills", 3, random.Random(5)))
    assert [trouble for row in rows for trouble in row.troubles] == []
    assert rows[0].checked > 0


@pytest.mark.parametrize("kind", ["lost_file", "two_owners", "bad_handlers", "bad_sources", "read_only", "old_schemas"])
def test_each_fault_of_its_own_holds(tmp_path: Path, kind: str) -> None:
    row = chaos.one_life(tmp_path, kind, kind)
    assert row.troubles == []
    assert row.checked > 1 or row.skipped


def test_a_life_that_is_not_over_in_time_does_not_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chaos, "READY_S", 0.0)
    assert "it was not over after 0 s" in chaos.one_life(tmp_path, "lost_file", "a fault").troubles


def test_a_disk_that_is_really_full_is_refused_as_one(tmp_path: Path) -> None:
    row = chaos.full_disks(tmp_path / "full", 2)  # the third, temporary files, takes longer than all others
    assert row.troubles == []
    assert row.checked >= 6


def test_a_zombie_is_seen_and_one_that_is_taken_note_of_is_forgotten() -> None:
    row, since = chaos.Row("zombies"), dict[tuple[int, float], float]()
    with subprocess.Popen(["true"]) as child:
        while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)
        for now_s in (0.0, chaos.ZOMBIE_S + 1):
            chaos.look_for_zombies(row, since, now_s)
    assert [trouble.split()[0] for trouble in row.troubles] == [str(child.pid)]
    chaos.look_for_zombies(row, since, 2 * chaos.ZOMBIE_S)
    assert not [pid for pid, _ in since if pid == child.pid]


def test_what_does_not_hold_stands_in_the_table() -> None:
    row, said = chaos.Row("a fault", rounds=2), []
    row.expect(True, "no")
    row.expect(False, "7 samples are gone")
    chaos.report([row], seed=1, taken_s=0.0, say=said.append)
    assert "TROUBLE" in said[1]
    assert "7 samples are gone" in said[2]
