"""Who the Prefect server of a stack listens to."""

from __future__ import annotations

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from api.processes.prefect_server import IDLE_S, OwnPagesOnly

PORT = 4321


async def _answer(request: Request) -> PlainTextResponse:
    return PlainTextResponse("taken")


async def _listen(socket: WebSocket) -> None:
    await socket.accept()
    await socket.close()


@pytest.fixture
def client() -> TestClient:
    routes = [Route("/api/flow_runs", _answer, methods=["GET", "POST"]), WebSocketRoute("/api/events/in", _listen)]
    return TestClient(OwnPagesOnly(Starlette(routes=routes), PORT), base_url=f"http://127.0.0.1:{PORT}")


def test_the_server_keeps_idle_connections_longer_than_clients_use_them_again() -> None:
    assert 10 * (httpx.Limits().keepalive_expiry or 0) < IDLE_S


@pytest.mark.parametrize("origin", [None, f"http://127.0.0.1:{PORT}", f"http://localhost:{PORT}"])
def test_programs_and_own_pages_are_served(client: TestClient, origin: str | None) -> None:
    headers = {"Origin": origin} if origin else {}
    assert client.post("/api/flow_runs", headers=headers).text == "taken"


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:8080", "http://localhost"])
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_a_page_of_another_origin_is_refused_whatever_it_asks(client: TestClient, origin: str, method: str) -> None:
    assert client.request(method, "/api/flow_runs", headers={"Origin": origin}).status_code == 403


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://["])
def test_with_a_login_as_well_pages_of_other_origins_are_refused(origin: str) -> None:
    client = TestClient(OwnPagesOnly(Starlette(routes=[Route("/", _answer)]), PORT, asks_login=True))
    assert client.get("/", headers={"Origin": "http://testserver"}).text == "taken"
    assert client.get("/", headers={"Origin": origin}).status_code == 403


@pytest.mark.parametrize("host", ["evil.example", f"evil.example:{PORT}", "127.0.0.1:1", "", "127.0.0.1.nip.io"])
def test_a_host_name_that_was_pointed_here_is_refused(client: TestClient, host: str) -> None:
    assert client.get("/api/flow_runs", headers={"Host": host}).status_code == 403


def test_a_web_socket_of_another_origin_is_refused(client: TestClient) -> None:
    with client.websocket_connect("/api/events/in", headers={"Host": f"127.0.0.1:{PORT}"}):
        pass
    foreign = {"Origin": "https://evil.example", "Host": f"127.0.0.1:{PORT}"}
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/api/events/in", headers=foreign):
        pass
