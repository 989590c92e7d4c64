"""Shares of a budget are granted over REST, shown to people, and given on when a person says that a holder is gone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from api.access import Role
from api.app import create_app
from handlers.contract.results import CallFailedError
from settings import Settings, SharedSettings, load_settings
from storage import Store
from storage.facts import HELD_SHARES, HeldShare
from tasks.sharing.task import over_http
from tests.api.conftest import API, BASE, RecordingTrigger, TestClient
from tests.api.test_access import add
from tests.api.test_error_responses import assert_is_problem
from tests.api.test_process import facade

WORKERS = {"total": 10, "unit": "workers", "holders": ["shop", "blog"]}
STEPS = [[1, 1.0 - 0.1 * number] for number in range(8)]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(tmp_path, home=tmp_path, sampler={"enabled": False}, shared={"workers": WORKERS})


@pytest.fixture
def client(settings: Settings, store: Store, tick: datetime) -> Iterator[TestClient]:
    app = create_app(settings, store=store, trigger=RecordingTrigger(), clock=lambda: tick)
    with TestClient(app, base_url=BASE) as opened:
        yield opened


def offer(client: TestClient, holder: str, **given: Any) -> Any:
    body = {"holder": holder, "instance": holder, "steps": STEPS, "turn_s": 300} | given
    return client.post(f"{API}/shared/workers/offer", json=body)


def assert_refused(answer: Any, status: int, code: str) -> None:
    assert_is_problem(answer, status, frozenset({"errors"}))
    assert answer.json()["code"] == code


def test_shares_are_cleared_by_one_price_and_shown_with_who_holds_what_until_when(client: TestClient) -> None:
    assert offer(client, "shop").json()["amount"] == 0, "blog was not heard of yet"
    assert offer(client, "blog", steps=[[1, 0.95]] * 4).json()["amount"] == 4
    granted = offer(client, "shop", acknowledged=1).json()
    assert (granted["amount"], granted["token"]) == (6, 3)
    assert granted["price"] == pytest.approx(0.4)
    (budget,) = client.get(f"{API}/shared").json()["granted"]
    assert budget["sentence"] == "workers: 10 workers among 2; 0 free; one more would be worth 0.4 an hour."
    assert [(each["holder"], each["amount"], each["state"]) for each in budget["holders"]] == [
        ("blog", 4, "holds"),
        ("shop", 6, "holds"),
    ]
    page = client.get("/").text
    assert "Shared with other foreacts" in page
    assert "workers: 10 workers among 2" in page
    assert client.get(f"{API}/status").json()["shared"] == [budget["sentence"]]


def test_what_is_refused_is_a_problem_with_a_plain_sentence(client: TestClient) -> None:
    offer(client, "shop")
    assert_refused(offer(client, "stranger"), 403, "not_a_holder")
    assert_refused(offer(client, "shop", instance="another"), 409, "holder_taken")
    assert_refused(offer(client, "shop", acknowledged=9), 409, "ledger_older")
    unknown = client.post(f"{API}/shared/cranes/offer", json={"holder": "shop", "instance": "shop"})
    assert_refused(unknown, 404, "budget_unknown")
    assert_refused(offer(client, "shop", steps=[[0, 1]]), 422, "request_invalid")


def test_a_person_releases_a_holder_that_is_gone_with_a_reason_and_the_trail_tells(
    client: TestClient, store: Store
) -> None:
    offer(client, "shop")
    offer(client, "blog")
    offer(client, "shop", acknowledged=1)
    path = f"{API}/shared/workers/release"
    assert client.post(path, json={"holder": "shop"}).status_code == 422
    left = client.post(path, json={"holder": "shop", "note": "taken down", "by": "ada"}).json()
    assert [each["holder"] for each in left["granted"][0]["holders"]] == ["blog"]
    line = store.audit.latest(1)[0]
    assert (line.verb, line.subject, line.detail["note"]) == ("release share", "workers", "taken down")
    assert_refused(client.post(path, json={"holder": "shop", "note": "again"}), 404, "holder_unknown")


def test_a_share_that_is_not_granted_anew_is_a_warning(
    tmp_path: Path, store: Store, tick: datetime, settings: Settings
) -> None:
    terms = {"coordinator": "http://10.0.0.5:5003", "actions": ["scale"], "safe": 2, "unit": "workers"}
    drawing = load_settings(tmp_path, home=tmp_path, sampler={"enabled": False}, shared={"workers": terms})
    share = HeldShare(
        "1",
        7,
        6,
        2,
        tick - timedelta(hours=1),
        60,
        in_use=6,
        sets="workers",
        trouble="it does not answer",
        is_lost=True,
    )
    store.facts.set(HELD_SHARES.of("workers"), share)
    app = create_app(drawing, store=store, trigger=RecordingTrigger(), clock=lambda: tick)
    with TestClient(app, base_url=BASE) as asked:
        (own,) = asked.get(f"{API}/shared").json()["shares"]
        assert own["most"] == 2
        assert "was not renewed (it does not answer): at most the safe 2 workers; it holds 6." in own["sentence"]
        assert own["sentence"] in asked.get(f"{API}/status").json()["warnings"]
        objectives = asked.get(f"{API}/objectives").json()["objectives"]
    assert ("shared-workers", "shared") in [(each["objective"]["name"], each["origin"]) for each in objectives]


@pytest.mark.slow
def test_a_wrong_key_a_stranger_and_nobody_at_all_are_each_said_in_a_sentence(tmp_path: Path) -> None:
    terms = SharedSettings(coordinator="http://127.0.0.1:1", actions=("scale",))
    asked = {"holder": "shop", "instance": "shop"}
    settings = load_settings(tmp_path, home=tmp_path)
    with pytest.raises(CallFailedError, match="failed: ConnectError"):
        over_http(settings, terms)("workers", asked)
    (tmp_path / "granting").mkdir()
    with facade(tmp_path / "granting") as (_, client):
        at = terms.model_copy(update={"coordinator": str(client.base_url)})
        with pytest.raises(CallFailedError, match="grants no shares of workers"):
            over_http(settings, at)("workers", asked)
        granting = load_settings(tmp_path / "granting")
        header = add(granting, "reader", Role.VIEWER)
        wrong, reader = tmp_path / "wrong", tmp_path / "reader"
        wrong.write_text("foreact_wrong")
        reader.write_text(header["Authorization"].removeprefix("Bearer "))
        for file, status in ((wrong, "401"), (reader, "403")):
            with pytest.raises(CallFailedError, match=status) as refused:
                over_http(settings, at.model_copy(update={"key_file": file}))("workers", asked)
            assert "Put an operator's key of that foreact into the file that shared.workers.key_file names" in str(
                refused.value
            )
    with pytest.raises(CallFailedError, match="cannot be read"):
        over_http(settings, at.model_copy(update={"key_file": tmp_path / "none"}))("workers", asked)
