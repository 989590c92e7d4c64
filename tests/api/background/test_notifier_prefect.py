"""A real Prefect server takes what the notifier tells it, and tells it again to whoever asks."""

from __future__ import annotations

import time
from datetime import datetime, timedelta

import httpx
import pytest

from api.background.notifier import Notifier
from api.facade import Facade
from settings import Settings, load_settings
from storage import Store
from storage.facts import LINE_TOLD_TO_PREFECT
from tests.api.conftest import RecordingTrigger


def events(api: str, name: str, since: datetime) -> list[dict[str, object]]:
    occurred = {"since": since.isoformat(), "until": (since + timedelta(minutes=1)).isoformat()}
    body = {"filter": {"event": {"name": [name]}, "occurred": occurred, "order": "ASC"}, "limit": 50}
    answer = httpx.post(f"{api.rstrip('/')}/events/filter", json=body, trust_env=False)
    answer.raise_for_status()
    found: list[dict[str, object]] = answer.json()["events"]
    return found


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_decision_is_one_event_on_a_real_server_however_often_it_is_told(
    prefect_url: str, settings: Settings, store: Store, tick: datetime
) -> None:
    home = settings.home
    configured = load_settings(home, home=home, prefect_api_url=prefect_url)
    facade = Facade(configured, store, RecordingTrigger(), lambda: tick, tick)
    Notifier(facade).step()
    line = store.audit.append("ada", "set mode", "mode", {"autonomous": False})
    Notifier(facade).step()
    store.facts.set(LINE_TOLD_TO_PREFECT, line.seq - 1)
    Notifier(facade).step()
    give_up_s = time.monotonic() + 20
    while not (found := events(prefect_url, "foreact.mode.changed", tick)) and time.monotonic() < give_up_s:
        time.sleep(0.2)
    (event,) = found
    assert event["payload"]["sentence"] == "ada changed the mode: foreact now only recommends."  # type: ignore[index]
    assert event["resource"]["prefect.resource.id"] == "foreact.mode"  # type: ignore[index]
