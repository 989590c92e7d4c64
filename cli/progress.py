"""Progress on the error stream, so that a result can be piped: a bar on a terminal, else a line now and then."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LINE_EVERY_S = 5.0


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show how far something is; call the yielded function with (done, total)."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield _lines(what, console)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(what, total=None)

        def advance(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total or None)

        yield advance


def _lines(what: str, console: Console) -> Callable[[int, int], None]:
    """Return what prints a line every few seconds: nothing of what is soon over."""
    told_s = time.monotonic()

    def advance(done: int, total: int) -> None:
        nonlocal told_s
        if time.monotonic() - told_s >= LINE_EVERY_S and total:
            told_s = time.monotonic()
            console.print(f"{what}: {100 * done // total} % ({done} of {total})", soft_wrap=True)

    return advance
