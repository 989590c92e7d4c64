"""What the facade tells of late effects: what was learned, whether it chooses, and where it would do otherwise."""

from __future__ import annotations

from datetime import datetime

from fastapi.testclient import TestClient

from storage import Store
from storage.facts import LATE_POLICIES, LateStanding
from storage.records import LateChoice
from tests.api.conftest import API
from tests.api.worlds import a_decision


def test_before_anything_was_learned_that_is_said(client: TestClient) -> None:
    told = client.get(f"{API}/late-effects").json()
    assert (told["mode"], told["policies"], told["said"], told["logged"]) == ("shadow", [], [], {})
    assert "60 choices" in told["note"]
    assert "60 choices" in client.get("/late-effects").text


def test_what_was_learned_is_shown_with_the_decisions_it_spoke_of(
    client: TestClient, store: Store, tick: datetime
) -> None:
    kept = LateStanding(tick, 61, 1, False, tick, 0.08, -0.02, 40, 12, "A shadow: 0.08 h less broken.")
    store.facts.set(LATE_POLICIES.of("BOTTLENECK_PREVENTION"), kept)
    late = LateChoice(instead="clear_cache", gain_h=0.3, doubt_h=0.1, is_admitted=False, usual={"nothing": 1.0})
    store.decisions.append([a_decision(tick).model_copy(update={"late": late})], [], "cycle-1")
    told = client.get(f"{API}/late-effects").json()
    assert told["policies"][0]["sentence"] == "A shadow: 0.08 h less broken."
    assert told["said"][0]["instead"] == "clear_cache"
    assert told["note"] is None
    page = client.get("/late-effects").text
    assert "A shadow: 0.08 h less broken." in page
    assert "clear_cache" in page
