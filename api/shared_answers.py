"""One answer for all who ask the same within a moment and while nothing is written: many readers cost what one does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.access import Caller

MOMENT_S = 0.25
"""As long as it takes at most until rows of other processes are seen."""
MOST_BYTES = 2_000_000
ASKED_WITH = frozenset({b"host", b"accept-encoding", b"range", b"if-none-match", b"if-modified-since"})
"""The headers that an answer may depend on; who asks is part of the question as well."""


@dataclass(frozen=True)
class AnswerUnderWay:
    """When something was asked, in which state of the store, and the answer: None where it is for nobody else."""

    asked_s: float
    changes: int
    messages: asyncio.Future[tuple[Message, ...] | None]


@dataclass
class CopiedSend:
    """The messages of an answer on their way to who asked first; too large a one is not kept."""

    send: Send
    messages: list[Message] = field(default_factory=list)
    left_bytes: int = MOST_BYTES

    async def __call__(self, message: Message) -> None:
        """Send a message on."""
        self.left_bytes -= len(message.get("body", b""))
        if self.left_bytes >= 0:
            self.messages.append(message)
        await self.send(message)

    @property
    def whole(self) -> tuple[Message, ...] | None:
        """Return all of an answer, or None."""
        is_whole = self.left_bytes >= 0 and self.messages and not self.messages[-1].get("more_body", False)
        return tuple(self.messages) if is_whole and self.messages[0].get("status") == 200 else None


class SharedAnswers:
    """Lets what is asked again within a moment wait for, or have, the answer of who asked first.

    `changes` counts on with every write, before it is acknowledged: what was asked before one answers nothing after it.
    """

    def __init__(
        self, app: ASGIApp, changes: Callable[[], int], monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._app, self._changes, self._monotonic_s = app, changes, monotonic_s
        self._under_way: dict[tuple[Any, ...], AnswerUnderWay] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http" or scope["method"] != "GET":
            await self._app(scope, receive, self._forgetting(send))
            return
        now_s, changes = self._monotonic_s(), self._changes()
        caller: Caller | None = scope.get("foreact.caller")
        headers = tuple(header for header in scope["headers"] if header[0] in ASKED_WITH)
        key = (scope["path"], scope["query_string"], caller and (caller.role, caller.key), headers)
        known = self._under_way.get(key)
        if known is not None and known.changes == changes and now_s - known.asked_s < MOMENT_S:
            messages = await asyncio.shield(known.messages)
            if messages is not None:
                for message in messages:
                    await send(message)
                return
        asked = AnswerUnderWay(now_s, changes, asyncio.get_running_loop().create_future())
        await self._first(key, asked, scope, receive, send)

    async def _first(
        self, key: tuple[Any, ...], asked: AnswerUnderWay, scope: Scope, receive: Receive, send: Send
    ) -> None:
        self._under_way[key], recorded = asked, CopiedSend(send)
        asyncio.get_running_loop().call_later(MOMENT_S, self._forget, key, asked)
        try:
            await self._app(scope, receive, recorded)
            asked.messages.set_result(recorded.whole)
        finally:
            if not asked.messages.done():
                asked.messages.set_result(None)

    def _forget(self, key: tuple[Any, ...], asked: AnswerUnderWay) -> None:
        if self._under_way.get(key) is asked:
            del self._under_way[key]

    def _forgetting(self, send: Send) -> Send:
        """Share nothing across what may change something else than the store, from before it is acknowledged."""

        async def forgetting(message: Message) -> None:
            self._under_way.clear()
            await send(message)

        return forgetting
