"""The whole REST interface over a store of this process, for what a stack is not needed for."""

from __future__ import annotations

from functools import cached_property

import anyio
import httpx

from api.access import Caller, Role, person
from api.facade import Facade


def client_of(facade: Facade) -> httpx.Client:
    """Return a client whose requests a facade of this process answers."""
    return httpx.Client(transport=_InProcess(facade), base_url="http://localhost")


class _InProcess(httpx.BaseTransport):
    """Hands requests to an application over a facade of this process, without a socket."""

    def __init__(self, facade: Facade) -> None:
        self._facade = facade

    @cached_property
    def _transport(self) -> httpx.ASGITransport:
        from api.app import create_app

        app = create_app(
            self._facade.settings,
            store=self._facade.store,
            trigger=self._facade.trigger,
            caller=Caller(Role.ADMIN, person),
        )
        app.state.facade = self._facade
        return httpx.ASGITransport(app, raise_app_exceptions=False)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return anyio.run(self._answer, request)

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        answer = await self._transport.handle_async_request(request)
        return httpx.Response(answer.status_code, headers=answer.headers, content=await answer.aread())
