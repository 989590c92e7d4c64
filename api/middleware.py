"""What every request passes first: who may send it, how large it is, and the last resort for errors."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.error_responses import TOO_LARGE_REMEDY, problem, unexpected

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class TooLarge(HTTPException):
    """The body is larger than the configuration allows."""

    def __init__(self, max_body_bytes: int) -> None:
        super().__init__(413, f"The body is larger than {max_body_bytes:,} bytes; nothing was recorded.")


class RequestFilter:
    """Refuse what is too large before reading it, what is not JSON, and what another site's page sends.

    A page in a browser can reach loopback: so writes from another site are refused, and so are host names which a
    name server outside could have pointed here.
    """

    def __init__(self, app: ASGIApp, max_body_bytes: int, is_loopback: bool) -> None:
        self._app, self._max_body_bytes, self._is_loopback = app, max_body_bytes, is_loopback

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with a problem."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        path: str = scope["path"]
        refusal = self._refusal(scope["method"], headers)
        if refusal is not None:
            await problem(*refusal, path)(scope, receive, send)
            return
        await self._pass_on(scope, self._counted(receive), send, path)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send, path: str) -> None:
        has_started = False

        async def watched(message: Message) -> None:
            nonlocal has_started
            has_started = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception:
            if has_started:
                raise
            await unexpected(path)(scope, receive, send)

    def _refusal(self, method: str, headers: dict[str, str]) -> tuple[int, str, str, str] | None:
        if self._is_loopback and not _is_local_name(headers.get("host", "")):
            return 421, "host_unknown", "This host name is not accepted.", "Use 127.0.0.1 or localhost."
        if method in SAFE_METHODS:
            return None
        if _is_of_another_page(headers):
            return (
                403,
                "cross_site",
                "This request came from a page of another site or port.",
                "Use the dashboard, or a program that is not a web page.",
            )
        length = headers.get("content-length", "")
        if length.isdigit() and int(length) > self._max_body_bytes:
            return 413, "body_too_large", TooLarge(self._max_body_bytes).detail, TOO_LARGE_REMEDY
        has_body = length not in ("", "0") or "transfer-encoding" in headers
        if has_body and not _is_json(headers.get("content-type", "")):
            return (
                415,
                "not_json",
                "The content type of the body is not JSON.",
                "Send `Content-Type: application/json`.",
            )
        return None

    def _counted(self, receive: Receive) -> Receive:
        seen_bytes = 0

        async def counted() -> Message:
            nonlocal seen_bytes
            message = await receive()
            seen_bytes += len(message.get("body", b""))
            if seen_bytes > self._max_body_bytes:
                raise TooLarge(self._max_body_bytes)
            return message

        return counted


def _is_of_another_page(headers: dict[str, str]) -> bool:
    """Tell whether a browser says that the page which sends this is not one of ours; programs say nothing."""
    origin = headers.get("origin")
    is_foreign = origin is not None and urlsplit(origin).netloc != headers.get("host", "")
    return is_foreign or headers.get("sec-fetch-site") in {"cross-site", "same-site"}


def _is_json(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def _is_local_name(host: str) -> bool:
    """Tell whether a Host header is an address, or a name which no name server outside could have given out."""
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    if "." not in name or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
