"""Every error has one shape, whatever went wrong and wherever."""

from __future__ import annotations

import re
from datetime import datetime

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from api.access import Role, key_file, with_key, write_keys
from api.app import create_app
from api.middleware import names_this_machine
from settings import ServerSettings, Settings, utc_now
from storage import Store, TransientError
from tests.api.conftest import API, BASE, RecordingTrigger

KEYS = {"type", "title", "status", "detail", "code", "remedy", "instance"}


def assert_is_problem(answer: object, status: int, besides: frozenset[str] = frozenset()) -> None:
    assert answer.status_code == status  # type: ignore[attr-defined]
    assert answer.headers["content-type"] == "application/problem+json"  # type: ignore[attr-defined]
    body = answer.json()  # type: ignore[attr-defined]
    assert set(body) - besides == KEYS
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
    with_body = ("/propose", "/objectives/missing", "/offer", "/release")
    known = [(method, path) for method, path in operations(client) if "missing" in path]
    asked = [each for each in known if each[0] in ("GET", "DELETE") or not each[1].endswith(with_body)]
    assert len(asked) >= 9
    for method, path in asked:
        assert_is_problem(client.request(method, path), 404)


def test_every_body_that_is_no_json_is_refused_alike(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    takers = [(m, p) for p, item in paths.items() for m, operation in item.items() if "requestBody" in operation]
    assert len(takers) >= 9
    for method, path in takers:
        takes_json = "application/json" in paths[path][method]["requestBody"]["content"]
        headers = {"Content-Type": "application/json"}
        assert_is_problem(client.request(method, path, content="{", headers=headers), 400 if takes_json else 415)
        assert_is_problem(client.request(method, path, content="{", headers={"Content-Type": "text/html"}), 415)


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
    foreign = ("https://evil.example", "null", "", "http://[", "http://127.0.0.1:1", "http://localhost:8080")
    sent = [{"Origin": origin} for origin in foreign] + [
        {"Sec-Fetch-Site": site} for site in ("cross-site", "same-site")
    ]
    for headers in sent:
        assert_is_problem(client.post(f"{API}/analysis/trigger", headers=headers), 403)
        assert_is_problem(client.post(f"{API}/mode", json={"autonomous": False}, headers=headers), 403)
    assert_is_problem(client.get(f"{API}/status", headers={"Host": "rebound.example.com:5003"}), 421)
    assert client.get(f"{API}/status", headers={"Host": "localhost:5003"}).status_code == 200


@pytest.mark.parametrize(
    ("site", "mode", "status"),
    [
        ("cross-site", "no-cors", 403),
        ("same-site", "cors", 403),
        ("cross-site", "navigate", 200),
        ("same-origin", "cors", 200),
        ("none", "navigate", 200),
    ],
)
def test_a_page_elsewhere_may_link_here_and_load_nothing(client: TestClient, site: str, mode: str, status: int) -> None:
    for path in ("/", f"{API}/report"):
        answer = client.get(path, headers={"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode})
        assert answer.status_code == status
        if status == 403:
            assert answer.json()["code"] == "cross_site"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:5003", "127.0.0.1:5003", "[::1]:5003", "10.1.2.3"])
def test_addresses_and_localhost_are_this_machine(host: str) -> None:
    assert names_this_machine(host)


@pytest.mark.parametrize(
    "host", ["", "intranet", "intranet:5003", "a.localhost", "localhost.example.com", "127.0.0.1.example.com", "[::1"]
)
def test_a_name_that_a_name_server_could_point_here_is_not_even_without_a_dot(host: str) -> None:
    assert not names_this_machine(host)


def test_without_a_key_a_proxy_lets_nobody_in(settings: Settings, store: Store) -> None:
    proxied = settings.model_copy(update={"server": ServerSettings(public_url="https://foreact.example.com")})
    with TestClient(create_app(proxied, store=store, trigger=RecordingTrigger()), base_url=BASE) as client:
        for host in ("foreact.example.com", "intranet"):
            assert_is_problem(client.get(f"{API}/status", headers={"Host": host}), 421)


def test_a_facade_that_listens_to_the_network_takes_any_host_name(settings: Settings, store: Store) -> None:
    public = settings.model_copy(update={"server": ServerSettings(host="0.0.0.0")})
    keys, text = with_key([], "ann", Role.VIEWER, utc_now())
    write_keys(key_file(public), keys)
    with TestClient(create_app(public, store=store, trigger=RecordingTrigger()), base_url=BASE) as client:
        headers = {"Host": "foreact.example.com", "Authorization": f"Bearer {text}"}
        assert client.get(f"{API}/status", headers=headers).status_code == 200
