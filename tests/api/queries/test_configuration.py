"""What is configured is shown without a secret, wherever in the configuration one stands."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from api.app import create_app
from cli.app import app
from settings import load_settings
from storage import Store
from storage.private import shown_settings
from tests.api.conftest import BASE, RecordingTrigger

TOML = """
prefect_api_url = "https://user:SECRET-01SECRET-02@prefect.example/api"
[alerts]
urls = ["tgram://SECRET-03/SECRET-04", "mailto://ann:SECRET-05@mail.example"]
[actions.call_webhook]
level = "auto"
rate_limits = ["3/hour"]
url = "https://hooks.slack.com/services/SECRET-06?x=SECRET-07"
status_url = "https://hooks.slack.com/@SECRET-08"
allow_urls = ["https://hooks.example/SECRET-09"]
headers = { X-Own = "SECRET-10" }
[actions.run_command]
argv = ["curl", "-H", "X-Own: SECRET-11", "https://hooks.example/SECRET-12"]
folder = "/srv/SECRET-13"
env = { FOO = "SECRET-14", URL = "https://hooks.example/SECRET-15", PIN = 7193551 }
offers = [{ pin = "SECRET-16" }]
[actions.notify]
urls = ["slack://SECRET-17"]
title = "SECRET-18"
address = "discord://SECRET-19/x"
[actions.run_deployment.parameters]
deep = { deeper = ["SECRET-20"] }
[sources.prometheus]
url = "http://SECRET-21@prom.example:9090/SECRET-22"
headers = { Authorization = "Bearer SECRET-23" }
timeout_s = 7.5
[sources.prometheus.queries]
up = "up{key='SECRET-24'}"
[sources.sql]
url = "postgresql+psycopg://reader:p/SECRET-25@db.example/shop"
query = "SELECT 1 WHERE key = 'SECRET-26'"
[[objectives]]
name = "latency"
metric = "latency"
bound = 1
"""


def test_no_secret_is_shown_in_rest_on_the_page_or_by_the_command(store: Store, tick: datetime, tmp_path: Path) -> None:
    (tmp_path / "foreact.toml").write_text(TOML)
    facade = create_app(load_settings(tmp_path), store=store, trigger=RecordingTrigger(), clock=lambda: tick)
    with TestClient(facade, base_url=BASE) as opened:
        answer = opened.get("/api/autonomous/configuration")
        page = opened.get("/settings?all=true&q=actions").text + opened.get("/settings?all=true&q=sources").text
    command = [CliRunner().invoke(app, ["config", "show", *more, "-C", str(tmp_path)]) for more in ([], ["--json"])]
    for text in (answer.text, page, *(each.output for each in command)):
        assert "hooks.slack.com" in text
        assert "SECRET-" not in text
        assert "7193551" not in text
    shown = {each["key"]: each["value"] for each in answer.json()["keys"]}
    assert shown["prefect_api_url"] == "https://***@prefect.example/***"
    assert shown["actions.call_webhook.url"] == "https://hooks.slack.com/***"
    assert shown["actions.call_webhook.rate_limits"] == ["3/hour"]
    assert shown["actions.call_webhook.level"] == "auto"
    assert shown["actions.run_command.env.FOO"] == "***"
    assert shown["sources.prometheus.url"] == "http://***@prom.example:9090/***"
    assert shown["sources.prometheus.timeout_s"] == 7.5
    assert json.loads(command[1].stdout)["alerts"] == {"urls": "***", "minimum_severity": "critical"}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://127.0.0.1:4200", "http://127.0.0.1:4200"),
        ("http://[::1]:4200/api", "http://[::1]:4200/***"),
        ("https://host#part", "https://host/***"),
        ("https://host:token/x", "https://***"),
        ("ntfy://topic", "ntfy://***"),
        ("sqlite:///srv/shop.db", "sqlite://***"),
        ("postgresql://a:b/c@host/db", "postgresql://***@host/***"),
        ("https://host/{amount}", "https://host/***"),
    ],
)
def test_of_an_address_scheme_and_host_are_shown(url: str, shown: str) -> None:
    assert shown_settings({"prefect_api_url": url}, ()) == {"prefect_api_url": shown}
