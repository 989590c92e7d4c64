"""The alert rules and the dashboard name figures that there are, and Prometheus' own tool reads them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from datetime import datetime, timedelta
from itertools import combinations
from pathlib import Path
from string import Template
from typing import Any

import httpx
import pytest
import yaml
from fastapi.testclient import TestClient

from settings import utc_now
from storage import Store
from tests import PROJECT
from tests.api import worlds
from tests.api.push.conftest import Live, live
from tests.api.push.test_real_senders import program, running
from tests.conftest import free_port

__all__ = ["live"]

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


@pytest.mark.slow
def test_each_panel_shows_something_in_a_prometheus_that_scrapes_a_running_facade(live: Live, tmp_path: Path) -> None:
    binary, port = program("prometheus", "prometheus"), free_port()
    now = utc_now() - timedelta(seconds=5)
    worlds.samples(live.store, now)
    worlds.a_turn(live.store, now)
    worlds.a_ledger(live.store, now)
    worlds.a_history(live.store, now)
    scrape = [{"job_name": "foreact", "static_configs": [{"targets": [f"127.0.0.1:{live.port}"]}]}]
    rules = {"global": {"scrape_interval": "300ms"}, "scrape_configs": scrape}
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(rules))
    options = [f"--web.listen-address=127.0.0.1:{port}", "--storage.tsdb.path=data", "--config.file=prometheus.yml"]
    with running([binary, *options], tmp_path, f"http://127.0.0.1:{port}/-/ready"):
        silent = panels_without_data(f"http://127.0.0.1:{port}/api/v1", 30.0)
    assert silent == []


def panels_without_data(prometheus: str, patience_s: float) -> list[str]:
    """Return the queries of the dashboard that give nothing, as Grafana fills in and asks them."""
    asked = {target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]}
    deadline_s = time.monotonic() + patience_s
    while time.monotonic() < deadline_s:
        chosen = {"match[]": "foreact_predicted_value"}
        labels = (httpx.get(f"{prometheus}/series", params=chosen).json()["data"] or [{}])[0]
        filled = {
            "series": series_in(labels),
            "ahead": labels.get("ahead_seconds"),
            "objective": labels.get("objective"),
        }
        answers = {
            each: httpx.get(f"{prometheus}/query", params={"query": Template(each).substitute(filled)}).json()
            for each in asked
        }
        assert {answer["status"] for answer in answers.values()} == {"success"}, answers
        if not (silent := sorted(each for each, answer in answers.items() if not answer["data"]["result"])):
            break
        time.sleep(0.5)
    return silent


def series_in(labels: dict[str, str]) -> str:
    """Return a series as Grafana puts it between the quotes of a query."""
    return labels.get("series", "").replace("\\", "\\\\").replace('"', '\\"')


@pytest.mark.slow
def test_grafana_loads_the_dashboard(tmp_path: Path) -> None:
    binary = shutil.which("grafana")
    if binary is None:
        pytest.skip("Grafana is not installed; it is in no Debian: https://grafana.com/grafana/download")
    port, provisioning = free_port(), tmp_path / "provisioning" / "dashboards"
    provisioning.mkdir(parents=True)
    provider = {"name": "foreact", "type": "file", "options": {"path": str(FOLDER)}}
    (provisioning / "foreact.yaml").write_text(yaml.safe_dump({"apiVersion": 1, "providers": [provider]}))
    options = {
        "server.http_addr": "127.0.0.1",
        "server.http_port": port,
        "paths.data": tmp_path / "data",
        "paths.logs": tmp_path / "logs",
        "paths.provisioning": provisioning.parent,
        "auth.anonymous.enabled": "true",
        "auth.anonymous.org_role": "Admin",
        "analytics.check_for_updates": "false",
        "analytics.reporting_enabled": "false",
    }
    home = os.environ.get("GF_PATHS_HOME", "/usr/share/grafana")
    command = [binary, "server", "--homepath", home, *(f"cfg:{name}={value}" for name, value in options.items())]
    with running(command, tmp_path, f"http://127.0.0.1:{port}/api/health"):
        for _ in range(100):
            told = httpx.get(f"http://127.0.0.1:{port}/api/dashboards/uid/{DASHBOARD['uid']}")
            if told.is_success:
                break
            time.sleep(0.2)
    assert [panel["title"] for panel in told.json()["dashboard"]["panels"]] == [
        panel["title"] for panel in DASHBOARD["panels"]
    ]
