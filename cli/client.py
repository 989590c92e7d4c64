"""One client: the running facade over HTTP or, if none runs, the same routes over the store itself."""

from __future__ import annotations

import getpass
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import httpx

from api.processes.layout import browsable
from settings import Settings, utc_now
from storage.errors import ForeactError

PREFIX = "/api/autonomous"
TIMEOUT_S = 30.0


@dataclass(frozen=True)
class FacadeClient:
    """A client of the REST interface; `is_live` tells whether a stack serves it."""

    client: httpx.Client
    is_live: bool

    def get(self, path: str, **params: Any) -> Any:
        """Return what is at a path below `/api/autonomous`."""
        return self._ask("GET", path, params={name: value for name, value in params.items() if value is not None})

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Send a request that changes something."""
        return self._ask("POST", path, json=dict(body or {}))

    def _ask(self, method: str, path: str, **kwargs: Any) -> Any:
        try:
            answer = self.client.request(method, PREFIX + path, **kwargs)
        except httpx.TransportError as trouble:
            raise ForeactError(
                "facade_unreachable",
                f"The facade at {self.client.base_url} does not answer ({type(trouble).__name__}).",
                "Run `foreact doctor`.",
                status=503,
            ) from None
        if answer.is_error:
            raise _refusal(answer)
        return answer.json()


@contextmanager
def desk(settings: Settings) -> Iterator[FacadeClient]:
    """Open the way to ask, whichever there is."""
    address = f"http://{browsable(settings.server.host)}:{settings.server.port}"
    if is_served(address):
        with httpx.Client(base_url=address, timeout=TIMEOUT_S, trust_env=False) as client:
            yield FacadeClient(client, is_live=True)
        return
    with _offline(settings) as client:
        yield FacadeClient(client, is_live=False)


def is_served(address: str) -> bool:
    """Tell whether a facade answers at an address."""
    try:
        answer = httpx.get(f"{address}/healthz", timeout=2, trust_env=False)
    except httpx.HTTPError:
        return False
    return answer.is_success and answer.headers.get("content-type", "").startswith("application/json")


def person() -> str:
    """Return the name of the user, for the audit trail."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):
        return "cli"


@contextmanager
def _offline(settings: Settings) -> Iterator[httpx.Client]:
    # Imported late: a running facade is asked without any of this.
    from api.app import create_app
    from api.facade import Facade
    from storage import open_store

    with open_store(settings.database_path) as store:
        app = create_app(settings, store=store, trigger=_NothingRuns())
        now = utc_now()
        app.state.facade = Facade(settings, store, _NothingRuns(), utc_now, now, checks={"stack": lambda: False})
        with httpx.Client(transport=_InProcess(app), base_url="http://localhost") as client:
            yield client


class _InProcess(httpx.BaseTransport):
    """Hands requests to an application in this process, without a socket."""

    def __init__(self, app: Any) -> None:
        self._transport = httpx.ASGITransport(app, raise_app_exceptions=False)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return anyio.run(self._answer, request)

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        answer = await self._transport.handle_async_request(request)
        return httpx.Response(answer.status_code, headers=answer.headers, content=await answer.aread())


class _NothingRuns:
    """Refuses to start anything, because no stack runs."""

    def running(self, deployment: str, but: str | None = None) -> None:
        return None

    def run(self, deployment: str, parameters: Mapping[str, Any] | None = None, key: str | None = None) -> Any:
        raise ForeactError(
            "not_running", "foreact is not running in this folder.", "Start it with `foreact up`.", status=503
        )


def _refusal(answer: httpx.Response) -> ForeactError:
    try:
        problem = answer.json()
        return ForeactError(problem["code"], problem["detail"], problem.get("remedy", ""), status=answer.status_code)
    except (ValueError, KeyError, TypeError):
        return ForeactError(
            "unexpected_answer",
            f"{answer.request.url} answered {answer.status_code}, but not in foreact's error format.",
            "Another program may use that port; run `foreact doctor`.",
            status=502,
        )
