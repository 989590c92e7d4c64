"""Who may ask what of the facade, and under whose name an answer is kept."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pwd
import socket
import stat
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api import access
from api.access import Role
from api.app import create_app
from api.middleware import RateLimit
from settings import SamplerSettings, ServerSettings, Settings, load_settings, utc_now
from storage import ForeactError, Store, address_file
from storage.private import write_private
from tests.api.conftest import API, BASE, RecordingTrigger, TestClient
from tests.api.test_error_responses import assert_is_problem
from tests.api.test_process import facade

METRIC = {"metric_name": "m", "value": 1}
REMOVE = f"{API}/objectives/none"


def add(settings: Settings, name: str, role: Role, now: datetime | None = None) -> dict[str, str]:
    """Make a key, and return the header that sends it."""
    file = access.key_file(settings)
    keys, text = access.with_key(access.read_keys(file), name, role, now or utc_now())
    access.write_keys(file, keys)
    return {"Authorization": f"Bearer {text}"}


@pytest.fixture
def public(settings: Settings) -> Settings:
    return settings.model_copy(update={"server": ServerSettings(host="0.0.0.0")})


@pytest.fixture
def outside(public: Settings, store: Store, tick: datetime) -> Iterator[TestClient]:
    """Give a client of a facade that others reach."""
    app = create_app(public, store=store, trigger=RecordingTrigger(), clock=lambda: tick)
    with TestClient(app, base_url="http://foreact.example.com") as opened:
        yield opened


def test_a_facade_that_others_reach_does_not_start_without_a_key(public: Settings) -> None:
    with pytest.raises(ForeactError) as refusal:
        access.refuse_open_doors(public, utc_now())
    assert (refusal.value.code, "foreact keys add" in refusal.value.remedy) == ("keys_needed", True)
    add(public, "ann", Role.ADMIN)
    access.refuse_open_doors(public, utc_now())


def test_without_a_key_others_learn_only_that_it_lives(outside: TestClient) -> None:
    paths = outside.app.openapi()["paths"]  # type: ignore[attr-defined]
    asked = [(m.upper(), p.replace("{", "").replace("}", "")) for p, item in paths.items() for m in item]
    asked += [("GET", path) for path in ("/", "/live", "/docs", "/openapi.json", "/static/foreact.js", "/nowhere")]
    for method, path in asked:
        if path in ("/healthz", "/readyz"):
            continue
        for headers in ({}, {"Authorization": "Bearer foreact_x"}, {"Authorization": "Basic !"}):
            answer = outside.request(method, path, headers=headers)
            assert_is_problem(answer, 401)
            assert "Basic" in answer.headers["www-authenticate"]
    assert outside.get("/healthz").json() == {"status": "ok", "checks": {}, "folder": None, "stack": None}


@pytest.mark.parametrize(
    ("role", "reads", "records", "sets"),
    [(Role.VIEWER, 200, 403, 403), (Role.OPERATOR, 200, 201, 403), (Role.ADMIN, 200, 201, 404)],
)
def test_a_role_may_do_so_much(
    outside: TestClient, public: Settings, role: Role, reads: int, records: int, sets: int
) -> None:
    headers = add(public, "ann", role)
    assert outside.get(f"{API}/status", headers=headers).status_code == reads
    assert outside.post(f"{API}/metrics", json=METRIC, headers=headers).status_code == records
    assert outside.delete(REMOVE, headers=headers).status_code == sets


def test_a_browser_sends_the_key_as_a_password(outside: TestClient, public: Settings) -> None:
    key = add(public, "ann", Role.VIEWER)["Authorization"].removeprefix("Bearer ")
    login = base64.b64encode(f"whoever:{key}".encode()).decode()
    assert outside.get("/", headers={"Authorization": f"Basic {login}"}).status_code == 200


def test_keys_come_and_go_without_a_restart(outside: TestClient, public: Settings) -> None:
    first = add(public, "ann", Role.ADMIN)
    assert outside.get(f"{API}/status", headers=first).status_code == 200
    file, now = access.key_file(public), utc_now()
    left, text = access.rotated(access.read_keys(file), "ann", now, timedelta(hours=1))
    access.write_keys(file, left)
    second = {"Authorization": f"Bearer {text}"}
    assert [outside.get(f"{API}/status", headers=each).status_code for each in (first, second)] == [200, 200]
    access.write_keys(file, access.rotated(access.read_keys(file), "ann", now, timedelta(0))[0])
    assert outside.get(f"{API}/status", headers=first).status_code == 200  # its hour is not over
    access.write_keys(file, access.without_key(access.read_keys(file), "ann"))
    for headers in (first, second):
        assert_is_problem(outside.get(f"{API}/status", headers=headers), 401)


def test_a_rotated_key_ends_when_its_time_is_over(tick: datetime) -> None:
    keys, _ = access.with_key([], "ann", Role.VIEWER, tick)
    keys, _ = access.rotated(keys, "ann", tick, timedelta(hours=1))
    assert [each.is_valid(tick + timedelta(minutes=59)) for each in keys] == [True, True]
    assert [each.is_valid(tick + timedelta(minutes=61)) for each in keys] == [False, True]


def test_of_a_key_only_its_hash_is_kept_for_the_owner_alone(settings: Settings) -> None:
    key = add(settings, "ann", Role.VIEWER)["Authorization"].removeprefix("Bearer ")
    file = access.key_file(settings)
    assert key not in file.read_text()
    assert key.removeprefix("foreact_") not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_keys_that_cannot_be_read_let_nobody_in(outside: TestClient, public: Settings) -> None:
    access.key_file(public).write_text('[{"name": "ann"}]')
    assert_is_problem(outside.get(f"{API}/status", headers={"Authorization": "Bearer x"}), 503)


def test_as_soon_as_there_is_a_key_it_is_needed_on_this_machine_too(client: TestClient, settings: Settings) -> None:
    """A proxy in front makes all requests come from this machine."""
    assert client.get(f"{API}/status").status_code == 200
    headers = add(settings, "proxy", Role.VIEWER)
    assert_is_problem(client.get(f"{API}/status"), 401)
    assert client.get(f"{API}/status", headers={**headers, "Host": "foreact.example.com"}).status_code == 200


def test_revoking_the_last_key_opens_the_door_to_nobody(client: TestClient, settings: Settings) -> None:
    headers, file = add(settings, "leaked", Role.ADMIN), access.key_file(settings)
    access.write_keys(file, access.without_key(access.read_keys(file), "leaked"))
    for sent in ({}, headers):
        assert_is_problem(client.get(f"{API}/status", headers=sent), 401)
    file.unlink()
    assert client.get(f"{API}/status").status_code == 200


def test_no_refused_body_is_logged(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    secret = "hunter2-in-a-body"
    bodies = [secret, json.dumps(secret), json.dumps([secret]), json.dumps({secret: secret}), '{"a": "' + secret]
    names = ("metric_name", "value", "by", "autonomous", "metric", "event_type", "days")
    bodies += [json.dumps({name: {secret: secret} for name in names}), json.dumps(dict.fromkeys(names, secret))]
    for path, item in client.app.openapi()["paths"].items():  # type: ignore[attr-defined]
        for method, operation in item.items():
            if "requestBody" in operation:
                for body in bodies:
                    address = path.replace("{", "").replace("}", "")
                    client.request(method, address, content=body, headers={"Content-Type": "application/json"})
    assert secret not in caplog.text


def test_the_owner_of_the_folder_needs_no_key(client: TestClient, settings: Settings) -> None:
    add(settings, "other", Role.VIEWER)
    write_private(address_file(settings.database_path), json.dumps({"token": "the-token-of-the-owner"}))
    headers = {"Authorization": "Bearer the-token-of-the-owner"}
    assert client.post(f"{API}/mode", json={"autonomous": False}, headers=headers).status_code == 200
    (entry,) = client.get(f"{API}/audit", headers=headers).json()["entries"]
    assert entry["actor"] == access.person()


def test_whoever_answers_is_named_as_who_he_is(outside: TestClient, public: Settings) -> None:
    headers = add(public, "chat", Role.OPERATOR)
    for claimed in ("root", "chat", "cli:root) (ann"):
        outside.post(f"{API}/mode", json={"autonomous": False, "by": claimed}, headers=headers)
    entries = outside.get(f"{API}/audit", headers=headers).json()["entries"]
    assert [each["actor"] for each in entries] == ["chat (cli:root ann)", "chat", "chat (root)"]


@pytest.mark.parametrize("name", ["", "a b", "a(b", "a\nb", "x" * 61])
def test_a_key_has_a_name_that_reads_as_one(name: str, tick: datetime) -> None:
    with pytest.raises(ForeactError, match="cannot be the name"):
        access.with_key([], name, Role.VIEWER, tick)


@given(st.text())
def test_no_authorization_header_upsets_the_door(header: str) -> None:
    assert isinstance(access._key_in(header), str)


def test_a_caller_may_send_so_many_in_the_long_run_and_twice_as_many_at_once() -> None:
    now_s = 0.0
    limit = RateLimit(10, lambda: now_s)
    assert sum(limit.wait_s("ann") == 0 for _ in range(50)) == 20
    assert limit.wait_s("bob") == 0
    now_s = 1.0
    assert sum(limit.wait_s("ann") == 0 for _ in range(50)) == 10


def test_many_callers_are_forgotten_again() -> None:
    now_s = 0.0
    limit = RateLimit(10, lambda: now_s)
    for number in range(25_000):
        now_s = number / 1e5
        limit.wait_s(str(number))
    assert len(limit._buckets) <= 10_000


def test_who_asks_too_often_is_told_to_wait(store: Store, tmp_path: Path, tick: datetime) -> None:
    limits = {"server": ServerSettings(max_requests_per_second=1), "sampler": SamplerSettings(enabled=False)}
    settings = load_settings(tmp_path, home=tmp_path, **limits)
    with TestClient(create_app(settings, store=store, trigger=RecordingTrigger()), base_url=BASE) as client:
        answers = [client.get(f"{API}/status") for _ in range(30)]
    (first, *_) = [each for each in answers if each.status_code == 429]
    assert_is_problem(first, 429)
    assert first.headers["retry-after"] == "1"


@pytest.mark.slow
def test_a_running_facade_limits_connections_and_waits_for_nobody(tmp_path: Path) -> None:
    with facade(tmp_path, "max_connections = 20\nbody_timeout_seconds = 1") as (_, client):
        port = client.base_url.port
        assert port is not None

        def said(sent: bytes, every: bytes = b"") -> bytes:
            """Send a beginning, then drip, until the other side has ended it."""
            with socket.create_connection(("127.0.0.1", port), 5) as line:
                line.sendall(sent)
                line.settimeout(0.2)
                heard, ends_s = b"", time.monotonic() + 6
                # What is dripped after the other side has ended is answered by a reset.
                with contextlib.suppress(ConnectionError):
                    while time.monotonic() < ends_s:
                        try:
                            if not (part := line.recv(4_096)):
                                return heard
                            heard += part
                        except TimeoutError:
                            line.sendall(every)
                    raise AssertionError(f"still open: {heard!r}")
                return heard

        head = f"POST {API}/metrics HTTP/1.1\r\nHost: localhost\r\n".encode()
        json_head = head + b"Content-Type: application/json\r\nContent-Length: 100\r\nConnection: close\r\n\r\n"
        for sent, drip, status in (
            (b"", b"", 408),
            (head, b"X", 408),
            (json_head, b" ", 408),
            (head + b"X: " + b"y" * 70_000, b"", 431),
            (b"no http at all\r\n\r\n", b"", 400),
        ):
            heard = said(sent, drip)
            assert heard.startswith(f"HTTP/1.1 {status}".encode()), (sent[:50], heard)
            assert b"application/problem+json" in heard
        lines = [socket.create_connection(("127.0.0.1", port), 5) for _ in range(25)]
        assert b"too_many_connections" in lines[-1].recv(4_096)
        for each in lines:
            each.close()
        assert httpx.get(f"{client.base_url}/healthz").json()["folder"] == str(tmp_path)
        # That a program says it is at another one's end of a connection changes nothing.
        for claimed in ({}, {"X-Forwarded-For": "127.0.0.1:1"}, {"X-Forwarded-For": f"127.0.0.1:{port}"}):
            mode = client.post(f"{API}/mode", json={"autonomous": not claimed, "by": "ann"}, headers=claimed)
            assert mode.status_code == 200
        entries = [each for each in client.get(f"{API}/audit").json()["entries"] if each["verb"] == "set mode"]
        assert {each["actor"] for each in entries} == {f"local:{pwd.getpwuid(os.geteuid()).pw_name} (ann)"}
