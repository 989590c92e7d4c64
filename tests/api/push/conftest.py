"""A facade that real senders reach: on a socket, with the time that it is."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
import uvicorn

from api.app import create_app
from settings import SamplerSettings, ServerSettings, load_settings, utc_now
from storage import Store, open_store
from tests.api.conftest import RecordingTrigger
from tests.conftest import free_port


@dataclass
class Live:
    """A running facade: where it listens, and its store."""

    port: int
    statsd_port: int
    store: Store

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def latest(self) -> dict[str, float]:
        """Return the newest value of each series."""
        return {name: value for name, (_, value) in self.store.samples.latest(utc_now() - timedelta(days=1)).items()}

    def wait_for(self, series: str, timeout_s: float = 20.0) -> dict[str, float]:
        """Return the newest values once a series is among them that begins so."""
        deadline_s = time.monotonic() + timeout_s
        while time.monotonic() < deadline_s:
            found = self.latest()
            if any(name.startswith(series) for name in found):
                return found
            time.sleep(0.1)
        raise AssertionError(f"{series} did not come; there are {sorted(self.latest())[:20]}")


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    port, statsd_port = free_port(), free_port()
    settings = load_settings(
        tmp_path,
        home=tmp_path,
        sampler=SamplerSettings(enabled=False, interval_seconds=0.2),
        server=ServerSettings(port=port, statsd_port=statsd_port),
    )
    with open_store() as store:
        app = create_app(settings, store=store, trigger=RecordingTrigger())
        server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error", lifespan="on"))
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.02)
        yield Live(port, statsd_port, store)
        server.should_exit = True
        thread.join(20)
