"""Every example runs as a newcomer would run it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import PROJECT

EXAMPLES = sorted((PROJECT / "examples").glob("*.py"))
TOLD = {
    "autonomous_agent_example.py": (
        "1. Initialise",
        "2. Record",
        "3. Goals",
        "4. What it did",
        "optimize_database: succeeded",
        "5. What it learned",
        "optimize_database changed cpu_usage: improved",
        "6. The report",
    ),
    "can_it_be_measured.py": (
        "over  20 minutes: 4.7 or more is found; -3 in 43%",
        "over 240 minutes: 2.2 or more is found; -3 in 97%",
        "clear after 90 minutes: improved",
        "at the end: improved, -2.7 (-4.0 to -1.4)",
    ),
    "causes.py": ("shop → cart → db: +250 ms",),
    "composed_plan.py": ("start_replica, then switch_over: done", "latency -"),
    "change_review.py": (
        "`foreact.toml` against `main.toml`",
        "cannot be compared: other breaches are meant",
        "No decision was logged here",
        "`objectives.load.bound`",
    ),
    "late_effects.py": ("nothing, 0.15 h less broken later on", "It chooses: 0.1824 h less broken"),
    "mcp_agent.py": ("asks a foreact that knows nothing yet", "There is no open goal"),
    "out_of_depth.py": (
        "after 12 acts that helped: evidence 0.5 of 50",
        "so it asks before the next",
        "misses tripled in hour 72, noticed in hour",
    ),
    "shared_budget.py": (
        "Plenty is left:",
        "That covers what is foreseen.",
        "It does: nothing",
        "a minute of checkout is dearest to save",
        "It does: mend cart, mend search",
        "search is lost (no action is left for it)",
        "It does: mend cart, mend checkout",
    ),
    "several_agents.py": (
        "workers: 12 workers among 3",
        "was not renewed (http://ledger does not answer): at most the safe 2 units.",
        "20:00 shop 2",
    ),
    "what_if.py": (
        "shed_load: cpu_usage is believed to change by −15",
        "tidy_up: Nothing is believed of tidy_up here yet",
    ),
    "observed_flow.py": (
        "import failed: too many rows at once",
        "Plan project timeline: at ease, for project 123",
        "refused (agent_unknown)",
        'run_duration_seconds{run="nightly-import"}: 3 value(s)',
        'run_failed_ratio{run="planning_agent"}: 1 value(s)',
    ),
}


@pytest.mark.slow
@pytest.mark.timeout(260)
@pytest.mark.parametrize("example", EXAMPLES, ids=[each.name for each in EXAMPLES])
def test_an_example_tells_its_story_and_leaves_nothing_behind(example: Path, tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(PROJECT), "PYTHONWARNINGS": "error"}
    command = [sys.executable, str(example)]
    answer = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240)
    assert answer.returncode == 0, answer.stderr
    places = [answer.stdout.find(line) for line in TOLD[example.name]]
    assert -1 not in places, answer.stdout
    assert places == sorted(places)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_script_at_the_root_starts_what_foreact_up_does(tmp_path: Path) -> None:
    script = [sys.executable, str(PROJECT / "start_with_autonomous_agent.py"), "--help"]
    told = subprocess.run(script, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    up = subprocess.run([sys.executable, "-m", "cli.app", "up", "--help"], cwd=PROJECT, capture_output=True, text=True)
    assert (told.returncode, up.returncode) == (0, 0), told.stderr
    assert told.stdout.partition("Options")[2] == up.stdout.partition("Options")[2] != ""
