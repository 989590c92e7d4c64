"""Hand on what flow runs write to their common file."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

LOOK_EVERY_S = 0.5
MAX_BYTES = 20_000_000


async def follow(file: Path, on_line: Callable[[str], None]) -> None:
    """Hand on every line that is appended from now on; a file that grew too large is set aside."""
    file.touch()
    position, rest = file.stat().st_size, b""
    while True:
        size = file.stat().st_size if file.exists() else 0
        if size > position:
            with file.open("rb") as handle:
                handle.seek(position)
                data = handle.read()
            position += len(data)
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                on_line(line.decode("utf-8", "replace"))
        elif size < position:
            position, rest = 0, b""
        if size > MAX_BYTES:
            file.replace(file.with_suffix(".log.1"))
            file.touch()
            position, rest = 0, b""
        await asyncio.sleep(LOOK_EVERY_S)
