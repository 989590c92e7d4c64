"""The Prefect server of this stack, which takes requests from its own pages and from programs alone.

Run as `python -m api.processes.prefect_server PORT`. As it comes, the server answers every origin and every host name,
so that any page in a browser on this machine could start a flow run with a command of its own.
"""

from __future__ import annotations

import os
import sys
from urllib.parse import urlsplit

import uvicorn
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketClose

HOST = "127.0.0.1"
LOCAL_NAMES = (HOST, "localhost", "[::1]")
SOCKET_REFUSED = 1008
"""RFC 6455: a policy was violated."""


def own_origins(port: int) -> tuple[str, ...]:
    """Return the origins of the server's own pages."""
    return tuple(f"http://{name}:{port}" for name in LOCAL_NAMES)


class LocalPagesOnly:
    """Refuse what another site's page sends, and host names that a name server outside could point here.

    It goes for web sockets too, which no token protects. Programs send no Origin and pass.
    """

    def __init__(self, app: ASGIApp, port: int) -> None:
        self._app, self._origins = app, own_origins(port)
        self._hosts = frozenset(urlsplit(origin).netloc for origin in self._origins)

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
        if headers.get(b"host", "") not in self._hosts:
            return "This host name is not accepted: use 127.0.0.1 or localhost."
        if headers.get(b"origin", self._origins[0]) not in self._origins:
            return "This request came from a page of another site."
        return None


def main(port: int) -> None:
    """Serve until told to stop."""
    # Imported here: whoever only wants the rule above need not wait seconds for it.
    from prefect.server.api.server import create_app

    level = os.environ.get("PREFECT_SERVER_LOGGING_LEVEL", "warning").lower()
    app = LocalPagesOnly(create_app(final=True), port)
    uvicorn.run(app, host=HOST, port=port, log_level=level, timeout_keep_alive=5)


if __name__ == "__main__":
    main(int(sys.argv[1]))
