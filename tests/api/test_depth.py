"""What is out of its depth is listed, shown with a button, and ended by a person's word with a reason."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from fastapi.testclient import TestClient

from api.background.notifications import of_line
from storage import Store
from tasks.authority import lose_depth
from tests.api.conftest import API

KEY = "metric:cpu_usage"
WHY = "What would act on cpu_usage asks first: it is not as it was."


@pytest.fixture
def lost(store: Store, tick: datetime) -> None:
    lose_depth(store, KEY, tick + timedelta(days=3), WHY)


def test_where_nothing_is_out_of_its_depth_that_is_said_and_no_panel_shown(client: TestClient) -> None:
    assert client.get(f"{API}/depth").json() == {
        "lost": [],
        "note": "Nothing is out of its depth: forecasts and acts do as was learned.",
    }
    assert "Trust it again" not in client.get("/").text


@pytest.mark.usefixtures("lost")
def test_what_is_out_of_its_depth_is_listed_shown_and_told(client: TestClient, store: Store) -> None:
    (each,) = client.get(f"{API}/depth").json()["lost"]
    assert (each["key"], each["reason"]) == (KEY, WHY)
    page = client.get("/").text
    assert WHY in page
    assert "Trust it again" in page
    told = of_line(store.audit.latest(1)[0])
    assert (told.event, told.severity) == ("foreact.autonomy.out_of_depth", "warning")
    assert told.sentence.startswith(WHY)


@pytest.mark.usefixtures("lost")
def test_a_persons_word_with_a_reason_ends_it_once(client: TestClient, store: Store) -> None:
    assert client.post(f"{API}/depth", json={"key": KEY}).status_code == 422
    answer = client.post(f"{API}/depth", json={"key": KEY, "note": "a release", "by": "ada"})
    assert answer.json()["lost"] == []
    line = store.audit.latest(1)[0]
    assert (line.verb, line.subject, line.detail) == ("in depth again", KEY, {"note": "a release"})
    assert "ada" in line.actor
    again = client.post(f"{API}/depth", json={"key": KEY, "note": "a release"})
    assert (again.status_code, again.json()["code"]) == (404, "not_out_of_depth")
