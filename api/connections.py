"""Connections to the facade: so many at once, and none that takes its time to say what it wants."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.error_responses import problem

MOST_HEADER_BYTES = 65_536


class PatientConnection(HttpToolsProtocol):
    """A connection that is ended when headers do not arrive in time, are too large or are no HTTP."""

    most_connections = 500
    headers_s = 20.0
    idle_s = 75
    """Longer than programs keep a connection to use it again (httpx: 5 s, as uvicorn does): who closes it as the other
    sends makes a request fail. The few that may be open bound what idle ones cost."""
    _header_bytes = 0
    _is_in_body = False
    _waits: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, or say that there are too many."""
        super().connection_made(transport)
        self.timeout_keep_alive = self.idle_s
        if len(self.connections) > self.most_connections:
            self._refuse(503, "too_many_connections", "Too many connections are open.", "Close some, and try again.")
            return
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of the connection."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take in what arrived: of headers only so much, of a body that has its answer only for so long."""
        if self._waits is None and (not self._is_in_body or self.cycle.response_complete):
            self._wait()
        if not self._is_in_body:
            self._header_bytes += len(data)
        super().data_received(data)
        if self._waits is not None and not self._is_in_body and self._header_bytes > MOST_HEADER_BYTES:
            self._refuse(431, "headers_too_large", "The headers are too large.", "Send fewer of them.")

    def on_headers_complete(self) -> None:
        """Go on with a request whose headers are here."""
        self._stop_waiting()
        self._is_in_body = True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Note that the next request may begin, also where this one was answered before its body was here."""
        self._stop_waiting()
        self._is_in_body = False
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        self._refuse(400, "not_http", "This is no valid HTTP request.", "GET /docs describes every address.")

    def _wait(self) -> None:
        self._header_bytes = 0
        self._waits = self.loop.call_later(self.headers_s, self._cut_off)

    def _stop_waiting(self) -> None:
        if self._waits is not None:
            self._waits.cancel()
            self._waits = None

    def _cut_off(self) -> None:
        if self._is_in_body:  # it has its answer
            self.transport.close()
            return
        detail = f"No whole request arrived within {self.headers_s:g} s."
        self._refuse(408, "request_too_slow", detail, "Send it at once, or increase `server.body_timeout_seconds`.")

    def _refuse(self, status: int, code: str, detail: str, remedy: str) -> None:
        self._stop_waiting()
        if self.transport.is_closing():
            return
        answer = problem(status, code, detail, remedy, "")
        head = [*answer.raw_headers, (b"connection", b"close")]
        lines = [f"HTTP/1.1 {status} {code}".encode(), *(name + b": " + value for name, value in head), b"", b""]
        self.transport.write(b"\r\n".join(lines) + bytes(answer.body))
        self.transport.close()


def limited(most_connections: int, headers_s: float) -> type[PatientConnection]:
    """Return the kind of connection with these limits, for uvicorn."""
    limits = {"most_connections": most_connections, "headers_s": headers_s}
    return type("LimitedConnection", (PatientConnection,), limits)
