"""A facade over a store in memory, with a clock that stands still and a trigger that takes notes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from api.app import create_app
from api.prefect_client import Started
from settings import SamplerSettings, Settings, load_settings
from storage import ForeactError, Store

with warnings.catch_warnings():
    # Starlette would have its own fork of httpx; what the project has works as well.
    warnings.simplefilter("ignore")
    from fastapi.testclient import TestClient

BASE = "http://127.0.0.1:5003"
API = "/api/autonomous"
REQUESTS_SENT = "requests sent"


@dataclass
class RecordingTrigger:
    """Takes notes of what is started; refuses while Prefect is away."""

    calls: list[tuple[str, dict[str, Any], str | None]] = field(default_factory=list)
    is_away: bool = False
    under_way: Started | None = None

    def running(self, deployment: str, but: str | None = None) -> Started | None:
        return None if self.under_way is None or self.under_way.flow_run_id == but else self.under_way

    def run(self, deployment: str, parameters: Mapping[str, Any] | None = None, key: str | None = None) -> Started:
        if self.is_away:
            raise ForeactError("prefect_unreachable", "Prefect does not answer.", "Start it.", status=503)
        self.calls.append((deployment, dict(parameters or {}), key))
        return Started(f"run-{len(self.calls)}", f"http://127.0.0.1:4200/runs/flow-run/run-{len(self.calls)}")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(tmp_path, home=tmp_path, sampler=SamplerSettings(enabled=False))


@pytest.fixture
def trigger() -> RecordingTrigger:
    return RecordingTrigger()


@pytest.fixture
def client(settings: Settings, store: Store, trigger: RecordingTrigger, tick: datetime) -> Iterator[TestClient]:
    app = create_app(settings, store=store, trigger=trigger, clock=lambda: tick)
    with TestClient(app, base_url=BASE) as opened:
        yield opened


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how many requests of all kinds were sent, by whichever worker."""
    counts = [
        int(value)
        for report in terminalreporter.stats.get("passed", ())
        for name, value in report.user_properties
        if name == REQUESTS_SENT
    ]
    if counts:
        terminalreporter.write_line(f"{sum(counts):,} requests were sent to {len(counts)} addresses")
