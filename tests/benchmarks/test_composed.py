"""A process that is killed in the middle of a sequence leaves nothing done twice and nothing unaccounted for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.composed.__main__ import ALONE
from benchmarks.composed.found import BARRED, WORLDS, FoundPair
from benchmarks.composed.killed import NAMES, SCENARIOS, in_place
from tests import PROJECT, sized

KILLS = sized(20, 200)


@pytest.mark.skipif(sys.platform != "linux", reason="orphans are adopted by prctl, which is Linux's")
@pytest.mark.timeout(600)
def test_wherever_a_sequence_is_killed_it_is_restored_or_accounted_for(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.composed.killed", str(tmp_path), str(KILLS), "3"]
    done = subprocess.run(command, cwd=PROJECT, env={**os.environ, **ALONE}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert sum(len(each["killed_at"]) for each in told) >= KILLS
    assert [each for each in told if each["troubles"]] == []
    assert {each["scenario"] for each in told} <= {each.name for each in SCENARIOS}


def test_what_was_done_and_not_undone_is_in_place() -> None:
    assert in_place(["do one", "do two", "undo one"]) == ["two"]
    assert in_place([f"do {name}" for name in NAMES]) == list(NAMES)


@pytest.mark.parametrize(("tries", "is_missed"), [(None, True), (11, True), (10, False), (0, False)])
def test_a_bar_is_missed_by_a_pair_found_late_or_never(tries: int | None, is_missed: bool) -> None:
    assert WORLDS.keys() > BARRED
    for name in BARRED:
        assert FoundPair(name, 0, tries, 0, 1.0, 1.0, 1.0).is_missed is is_missed
