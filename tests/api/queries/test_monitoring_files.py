"""The alert rules and the dashboard name figures that there are, and Prometheus' own tool reads them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from datetime import datetime
from itertools import combinations
from typing import Any

import pytest
import yaml
from fastapi.testclient import TestClient

from storage import Store
from tests import PROJECT
from tests.api import worlds

FOLDER = PROJECT / "docs" / "monitoring"
RULES = yaml.safe_load((FOLDER / "alert-rules.yml").read_text())["groups"][0]["rules"]
DASHBOARD = json.loads((FOLDER / "grafana-dashboard.json").read_text())
FIGURE = re.compile(r"foreact_\w+")


def promtool(*words: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not installed; on Debian: apt install prometheus")
    return subprocess.run([program, *words], cwd=FOLDER, capture_output=True, text=True)


def expressions() -> list[str]:
    asked = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    return [*(rule["expr"] for rule in RULES), *asked, *(each.get("definition", "") for each in variables())]


def variables() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = DASHBOARD["templating"]["list"]
    return found


def test_every_figure_that_is_named_is_one_that_metrics_carry(client: TestClient, store: Store, tick: datetime) -> None:
    worlds.a_turn(store, tick)
    worlds.a_ledger(store, tick)
    text = client.get("/metrics").text
    there = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    named = {name for expression in expressions() for name in FIGURE.findall(expression)}
    assert named - there == set()


def test_promtool_takes_the_rules() -> None:
    told = promtool("check", "rules", "alert-rules.yml")
    assert (told.returncode, f"{len(RULES)} rules found" in told.stdout) == (0, True), told.stdout + told.stderr


def test_each_alert_fires_when_it_should_and_no_sooner() -> None:
    told = promtool("test", "rules", "alert-tests.yml")
    assert told.returncode == 0, told.stdout + told.stderr


def test_promtool_takes_what_metrics_says(client: TestClient, store: Store, tick: datetime) -> None:
    worlds.a_turn(store, tick)
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not installed; on Debian: apt install prometheus")
    text = client.get("/metrics").text
    told = subprocess.run([program, "check", "metrics"], input=text, capture_output=True, text=True)
    assert told.returncode == 0, told.stdout + told.stderr


def test_no_panel_of_the_dashboard_lies_on_another_and_every_variable_is_there() -> None:
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    for one, other in combinations(places, 2):
        apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert apart, (one, other)
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(DASHBOARD["panels"])))
    assert used == {each["name"] for each in variables()}
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(places)
