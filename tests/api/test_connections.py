"""A connection that a program keeps for its next request is not closed under its hands."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import uvicorn

from api.connections import PatientConnection

REQUEST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n[]"


async def _answering(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def port() -> Iterator[int]:
    kind = type("Connection", (PatientConnection,), {"idle_s": 1})
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(_answering, http=kind, ws="none", lifespan="off", log_level="warning"))
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    yield int(listening.getsockname()[1])
    server.should_exit = True
    thread.join(10)


def answer_of(client: socket.socket) -> bytes:
    """Return a whole answer, which may come in parts."""
    told = b""
    while not told.endswith(b"ok") and (part := client.recv(4_096)):
        told += part
    return told


def test_a_facade_keeps_idle_connections_longer_than_clients_use_them_again() -> None:
    assert PatientConnection.idle_s > 10 * (httpx.Limits().keepalive_expiry or 0)


def test_an_idle_connection_is_kept_for_as_long_as_said_and_no_longer(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(REQUEST)
        assert answer_of(client).startswith(b"HTTP/1.1 200")
        time.sleep(0.1)
        client.sendall(REQUEST)
        assert answer_of(client).startswith(b"HTTP/1.1 200")
        asked_s = time.monotonic()
        assert client.recv(4_096) == b""
        assert time.monotonic() - asked_s >= 0.9
