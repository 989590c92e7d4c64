"""The Prefect server of this stack, which takes requests from its own pages and from programs alone.

Run as `python -m api.processes.prefect_server HOST PORT`. As it comes, the server answers every origin and every host
name, so that any page in a browser on this machine could start a flow run with a command of its own.
"""

from __future__ import annotations

import os
import sys
from urllib.parse import urlsplit

import uvicorn
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from api.processes.layout import own_origins
from settings import is_loopback

SOCKET_REFUSED = 1008
"""RFC 6455: a policy was violated."""
IDLE_S = 75
"""Longer than programs keep a connection to use it again (httpx: 5 s): who closes it as the other sends makes a request
fail."""


class OwnPagesOnly:
    """Refuse what another site's page sends, and host names that a name server outside could point here.

    It goes for web sockets too, which no token protects. Programs send no Origin and pass. A server that `asks_login`
    may go by any name, since a page that has it pointed here knows no login.
    """

    def __init__(self, app: ASGIApp, port: int, asks_login: bool = False) -> None:
        self._app, self._origins = app, own_origins(port)
        self._hosts = frozenset(urlsplit(origin).netloc for origin in self._origins)
        self._asks_login = asks_login

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] not in {"http", "websocket"} or (refusal := self._refusal(scope)) is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await WebSocketClose(SOCKET_REFUSED, refusal)(scope, receive, send)
        else:
            await JSONResponse({"detail": refusal}, 403)(scope, receive, send)

    def _refusal(self, scope: Scope) -> str | None:
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        host, origin = headers.get(b"host", ""), headers.get(b"origin")
        if host not in self._hosts and not self._asks_login:
            return "This host name is not accepted: use 127.0.0.1 or localhost."
        is_own = origin is None or origin in self._origins or (self._asks_login and origin.partition("://")[2] == host)
        return None if is_own else "This request came from a page of another site."


def main(host: str, port: int) -> None:
    """Serve until told to stop; raises SystemExit where others could reach a server that asks nobody who he is."""
    # Imported here: whoever only wants the rule above need not wait seconds for it.
    from prefect.server.api.server import create_app

    from api.processes.skipped_turns import skip_taken_turns

    level = os.environ.get("PREFECT_SERVER_LOGGING_LEVEL", "warning").lower()
    asks_login = bool(os.environ.get("PREFECT_SERVER_API_AUTH_STRING"))
    if not (is_loopback(host) or asks_login):
        raise SystemExit(f"A Prefect server on {host} needs PREFECT_SERVER_API_AUTH_STRING.")
    skip_taken_turns()
    app = OwnPagesOnly(create_app(final=True), port, asks_login and not is_loopback(host))
    uvicorn.run(app, host=host, port=port, log_level=level, timeout_keep_alive=IDLE_S)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
