"""Group commit: what requests want written at the same time is written in one transaction.

A commit waits for the disk however little it holds. While one is under way further samples gather, and the next takes
them all; alone, a request waits for nobody. Each is answered after the commit that holds its samples, so what is
acknowledged is on disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from anyio.to_thread import run_sync

from storage.samples import SampleColumns

Write = Callable[[SampleColumns], object]


class CommitQueue:
    """Samples that wait for the next commit, each with the request that waits for them; of one event loop."""

    def __init__(self) -> None:
        self._waiting: list[tuple[SampleColumns, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None

    async def append(self, write: Write, samples: SampleColumns) -> None:
        """Return when the samples are on disk; raises what `write` raised for the commit that held them."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((samples, done))
        if self._writer is None:
            self._writer = asyncio.create_task(self._write_all(write))
        await done

    async def _write_all(self, write: Write) -> None:
        try:
            while self._waiting:
                group, self._waiting = self._waiting, []
                await self._write_group(write, group)
        finally:
            self._writer = None

    async def _write_group(self, write: Write, group: list[tuple[SampleColumns, asyncio.Future[None]]]) -> None:
        trouble: Exception | None = None
        try:
            await run_sync(write, SampleColumns.joined([samples for samples, _ in group]))
        except Exception as raised:
            trouble = raised
        for _, done in group:
            if done.done():  # who asked is gone
                continue
            if trouble is None:
                done.set_result(None)
            else:
                done.set_exception(trouble)
