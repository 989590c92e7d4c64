"""Every error has one shape, whatever went wrong and wherever."""

from __future__ import annotations

import re
from datetime import datetime

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from api.app import create_app
from settings import ServerSettings, Settings
from storage import Store, TransientError
from tests.api.conftest import API, BASE, RecordingTrigger

KEYS = {"type", "title", "status", "detail", "code", "remedy", "instance"}


def assert_is_problem(answer: object, status: int) -> None:
    assert answer.status_code == status  # type: ignore[attr-defined]
    assert answer.headers["content-type"] == "application/problem+json"  # type: ignore[attr-defined]
    body = answer.json()  # type: ignore[attr-defined]
    assert set(body) == KEYS
    assert body["status"] == status
    assert body["detail"]
    assert body["remedy"]
    assert re.fullmatch(r"[a-z_.]+", body["code"])


def operations(client: TestClient) -> list[tuple[str, str]]:
    paths = client.get("/openapi.json").json()["paths"]
    return [(method.upper(), re.sub(r"{\w+}", "missing", path)) for path, item in paths.items() for method in item]


def test_every_address_refuses_a_wrong_method_alike(client: TestClient) -> None:
    for path in {path for _, path in operations(client)}:
        assert_is_problem(client.patch(path), 405)


def test_every_address_of_one_thing_says_when_there_is_none(client: TestClient) -> None:
    asked = [(method, path) for method, path in operations(client) if "missing" in path and method != "PUT"]
    assert len(asked) >= 9
    for method, path in asked:
        assert_is_problem(client.request(method, path), 404)


def test_every_body_that_is_no_json_is_refused_alike(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    takers = [(m, p) for p, item in paths.items() for m, operation in item.items() if "requestBody" in operation]
    assert len(takers) >= 9
    for method, path in takers:
        headers = {"Content-Type": "application/json"}
        assert_is_problem(client.request(method, path, content="{", headers=headers), 400)
        assert_is_problem(client.request(method, path, content="{", headers={"Content-Type": "text/plain"}), 415)


def test_every_operation_says_how_its_errors_look(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    assert set(document["components"]["schemas"]["Problem"]["properties"]) == KEYS
    for item in document["paths"].values():
        for operation in item.values():
            assert "application/problem+json" in operation["responses"]["default"]["content"]


@pytest.mark.parametrize("path", ["/nowhere", f"{API}/nowhere", "/static/nowhere.js"])
def test_an_unknown_address_is_a_problem(client: TestClient, path: str) -> None:
    assert_is_problem(client.get(path), 404)


def failing(settings: Settings, store: Store, tick: datetime, error: Exception) -> TestClient:
    app: FastAPI = create_app(settings, store=store, trigger=RecordingTrigger(), clock=lambda: tick)

    @app.get("/fails")
    def fails() -> None:
        raise error

    return TestClient(app, base_url=BASE)


def test_the_unexpected_is_logged_under_a_number_and_leaks_nothing(
    settings: Settings, store: Store, tick: datetime, caplog: pytest.LogCaptureFixture
) -> None:
    answer = failing(settings, store, tick, RuntimeError("password=hunter2")).get("/fails")
    assert_is_problem(answer, 500)
    assert "hunter2" not in answer.text
    (number,) = re.findall(r"logged as (\w+)", answer.json()["detail"])
    assert number in caplog.text
    assert "hunter2" in caplog.text


def test_transient_trouble_says_when_to_try_again(settings: Settings, store: Store, tick: datetime) -> None:
    answer = failing(settings, store, tick, TransientError("the store went away")).get("/fails")
    assert_is_problem(answer, 503)
    assert answer.headers["retry-after"] == "5"


def test_another_sites_page_can_neither_write_nor_pose_as_us(client: TestClient) -> None:
    foreign = ("https://evil.example", "null", "http://127.0.0.1:1", "http://localhost:8080")
    sent = [{"Origin": origin} for origin in foreign] + [
        {"Sec-Fetch-Site": site} for site in ("cross-site", "same-site")
    ]
    for headers in sent:
        assert_is_problem(client.post(f"{API}/analysis/trigger", headers=headers), 403)
        assert_is_problem(client.post(f"{API}/mode", json={"autonomous": False}, headers=headers), 403)
    assert_is_problem(client.get(f"{API}/status", headers={"Host": "rebound.example.com:5003"}), 421)
    for host in ("localhost:5003", "127.0.0.1:5003", "[::1]:5003", "foreact.localhost"):
        assert client.get(f"{API}/status", headers={"Host": host}).status_code == 200


def test_a_facade_that_listens_to_the_network_takes_any_host_name(settings: Settings, store: Store) -> None:
    public = settings.model_copy(update={"server": ServerSettings(host="0.0.0.0")})
    with TestClient(create_app(public, store=store, trigger=RecordingTrigger()), base_url=BASE) as client:
        assert client.get(f"{API}/status", headers={"Host": "foreact.example.com"}).status_code == 200
