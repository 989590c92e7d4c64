"""What every request passes first: who sends it, how often, how large and how fast; the last resort for errors."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.access import (
    AGENT,
    AGENT_MARK,
    OPEN_PATHS,
    SAFE_METHODS,
    SIGNED_PATHS,
    Caller,
    Door,
    may_agent_ask,
    needed_role,
)
from api.error_responses import TOO_LARGE_REMEDY, problem, unexpected
from plugins import modules_of
from settings import ServerSettings
from storage.errors import ForeactError

Refusal = tuple[int, str, str, str]
Headers = dict[str, str]
ASKS_FOR_KEY = {"WWW-Authenticate": 'Basic realm="foreact: any name, and an API key as password", charset="UTF-8"'}
MOST_BUCKETS = 10_000


class TooLarge(HTTPException):
    """The body is larger than the configuration allows."""

    def __init__(self, max_body_bytes: int) -> None:
        super().__init__(413, f"The body is larger than {max_body_bytes:,} bytes; nothing was recorded.")


class TooSlow(HTTPException):
    """The body does not arrive within the time that the configuration allows."""

    def __init__(self, timeout_s: float) -> None:
        super().__init__(408, f"The body did not arrive within {timeout_s:g} s; nothing was recorded.")


@dataclass
class RateLimit:
    """How many requests a caller may send: `per_s` in the long run, twice as many at once."""

    per_s: float
    monotonic_s: Callable[[], float] = time.monotonic
    _buckets: dict[str, tuple[float, float]] = field(default_factory=dict)

    def wait_s(self, who: str) -> float:
        """Count a request, and return how long its sender has to wait; 0 where he need not."""
        now_s, most = self.monotonic_s(), 2 * self.per_s
        left, at_s = self._buckets.get(who, (most, now_s))
        left = min(most, left + (now_s - at_s) * self.per_s)
        if left < 1:
            return (1 - left) / self.per_s
        if len(self._buckets) >= MOST_BUCKETS and who not in self._buckets:
            self._forget(now_s)
        self._buckets[who] = left - 1, now_s
        return 0.0

    def _forget(self, now_s: float) -> None:
        """Forget those who have not asked for so long that they may ask as much as anyone; then the oldest half."""
        kept = {who: (left, at_s) for who, (left, at_s) in self._buckets.items() if now_s - at_s < 2}
        newest = sorted(kept.items(), key=lambda each: each[1][1])[-MOST_BUCKETS // 2 :]
        self._buckets.clear()
        self._buckets.update(newest)


class RequestFilter:
    """Refuse who may not ask, what is too large before reading it, what is too slow, no JSON, or of another page.

    A page in a browser can reach loopback: so what another site writes or loads is refused, and so are host names but
    `localhost`, which a name server could have pointed here, unless a key is needed, which no such page has.
    """

    def __init__(self, app: ASGIApp, limits: ServerSettings, door: Door) -> None:
        self._app, self._door = app, door
        self._max_body_bytes, self._body_timeout_s = limits.max_body_bytes, limits.body_timeout_seconds
        self._rate = RateLimit(limits.max_requests_per_second)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with a problem."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        path: str = scope["path"]
        try:
            is_marked = any(name.lower() in headers for name in AGENT_MARK)
            caller = self._door.caller(headers.get("authorization", ""), scope.get("client"), is_marked)
        except ForeactError as trouble:
            await problem(trouble.status, trouble.code, trouble.message, trouble.remedy, path)(scope, receive, send)
            return
        refusal = self._not_served(scope, headers, caller) or self._refusal(scope["method"], headers, path)
        if refusal is not None:
            wanted = {401: ASKS_FOR_KEY, 429: {"Retry-After": "1"}}.get(refusal[0])
            await problem(*refusal, path, wanted)(scope, receive, send)
            return
        scope["foreact.caller"] = caller
        await self._pass_on(scope, self._counted(receive), send, path)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send, path: str) -> None:
        has_started, is_head = False, scope["method"] == "HEAD"

        async def watched(message: Message) -> None:
            nonlocal has_started
            has_started = True
            await send({**message, "body": b""} if is_head and "body" in message else message)

        try:
            # What can be got can be asked for its head: the same answer without its body.
            await self._app({**scope, "method": "GET"} if is_head else scope, receive, watched)
        except Exception:
            if has_started:
                raise
            await unexpected(path)(scope, receive, send)

    def _not_served(self, scope: Scope, headers: Headers, caller: Caller | None) -> Refusal | None:
        """Say why a caller is not served, or None; without a key he may only ask whether the facade lives.

        Or send what is signed: no page elsewhere can guess that, whatever its host name.
        """
        is_signed = scope["path"] in SIGNED_PATHS
        if not is_signed and not self._door.asks_for_keys and not names_this_machine(headers.get("host", "")):
            remedy = "Use 127.0.0.1 or localhost; behind a proxy, make a key: `foreact keys add NAME`."
            return 421, "host_unknown", "This host name is not accepted.", remedy
        client = scope.get("client")
        if self._rate.wait_s(caller.key if caller and caller.key else client[0] if client else "") > 0:
            detail = "This caller sends more requests than are accepted."
            return 429, "too_many_requests", detail, "Send less, or increase `server.max_requests_per_second`."
        if is_signed or (scope["path"] in OPEN_PATHS and scope["method"] in SAFE_METHODS):
            return None
        if caller is None:
            detail = "This request needs an API key, and none that is accepted was sent."
            return 401, "key_needed", detail, "Send `Authorization: Bearer KEY`; `foreact keys add NAME` makes one."
        needed = needed_role(scope["method"], scope["path"])
        if not caller.role.allows(needed):
            detail = f"This key is a {caller.role}'s; this takes an {needed}'s."
            return 403, "role_too_low", detail, f"Ask for a key with --role {needed}."
        if caller.key == AGENT and not may_agent_ask(scope["method"], scope["path"]):
            detail = "An agent without an API key reads and proposes; it answers nothing."
            remedy = "Give it an operator's key in FOREACT_KEY, or approve yourself with `foreact approve ID`."
            return 403, "agent_needs_key", detail, remedy
        return None

    def _refusal(self, method: str, headers: Headers, path: str) -> Refusal | None:
        if method in SAFE_METHODS and not _is_loaded_elsewhere(headers):
            return None
        if method in SAFE_METHODS or _is_of_another_page(headers):
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
        others = _other_media_types().get(path, ())
        if has_body and others and not _is_one_of(others, headers.get("content-type", "")):
            remedy = f"Send `Content-Type: {others[0]}`."
            return 415, "content_type_unknown", f"The body must be {' or '.join(filter(None, others))}.", remedy
        if has_body and not others and not _is_json(headers.get("content-type", "")):
            return (
                415,
                "not_json",
                "The content type of the body is not JSON.",
                "Send `Content-Type: application/json`.",
            )
        return None

    def _counted(self, receive: Receive) -> Receive:
        seen_bytes, is_whole = 0, False
        ends_s = asyncio.get_running_loop().time() + self._body_timeout_s

        async def counted() -> Message:
            nonlocal seen_bytes, is_whole
            try:
                async with asyncio.timeout_at(None if is_whole else ends_s):
                    message = await receive()
            except TimeoutError:
                raise TooSlow(self._body_timeout_s) from None
            seen_bytes += len(message.get("body", b""))
            is_whole = not message.get("more_body", False)
            if seen_bytes > self._max_body_bytes:
                raise TooLarge(self._max_body_bytes)
            return message

        return counted


def _is_of_another_page(headers: Headers) -> bool:
    """Tell whether a browser says that the page which sends this is not one of ours; programs say nothing."""
    origin = headers.get("origin")
    # Compared as text: what is no origin at all, as `null`, is of another page too.
    is_foreign = origin is not None and origin.partition("://")[2] != headers.get("host")
    return is_foreign or _is_of_another_site(headers)


def _is_loaded_elsewhere(headers: Headers) -> bool:
    """Tell whether a page of another site loads this into itself, as a picture or a script; a link to it is none."""
    return _is_of_another_site(headers) and headers.get("sec-fetch-mode") != "navigate"


def _is_of_another_site(headers: Headers) -> bool:
    return headers.get("sec-fetch-site") in {"cross-site", "same-site"}


@cache
def _other_media_types() -> dict[str, tuple[str, ...]]:
    """Return what the bodies of addresses may be whose routes read something else than JSON."""
    known = (getattr(module, "MEDIA_TYPES", {}) for module in modules_of("api.routes"))
    return {path: types for each in known for path, types in each.items()}


def _is_one_of(types: tuple[str, ...], content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() in types


def _is_json(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def names_this_machine(host: str) -> bool:
    """Tell whether a Host header is an address or `localhost`: any other name a name server could have given out.

    So could the one of the search domain for a name without a dot. The name in `server.public_url` is none of this
    machine's either: as long as no key is needed, a proxy must let nobody in.
    """
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or bool(ipaddress.ip_address(name))
    except ValueError:
        return False
