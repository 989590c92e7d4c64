"""Every example runs as a newcomer would run it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
EXAMPLES = sorted((PROJECT / "examples").glob("*.py"))
HEADINGS = ("1. Initialise", "2. Record", "3. Goals", "4. What it did", "5. What it learned", "6. The report")


def run(example: Path, folder: Path) -> str:
    environment = os.environ | {"PYTHONPATH": str(PROJECT), "PYTHONWARNINGS": "error"}
    command = [sys.executable, str(example)]
    answer = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=100)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=[each.name for each in EXAMPLES])
def test_an_example_runs_and_leaves_nothing_behind(example: Path, tmp_path: Path) -> None:
    assert run(example, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_walk_through_acts_measures_and_learns(tmp_path: Path) -> None:
    told = run(PROJECT / "examples" / "autonomous_agent_example.py", tmp_path)
    assert all(heading in told for heading in HEADINGS)
    assert "optimize_database: succeeded" in told
    assert "optimize_database changed cpu_usage: improved" in told
