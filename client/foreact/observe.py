"""Any function or flow of yours, tracked: how long it took and whether it failed become metrics and events."""

from __future__ import annotations

import functools
import inspect
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar, overload

from foreact.connection import Loop, Refused, connect
from foreact.records import Metric

logger = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

TIMEOUT_S = 5.0
"""What is observed must not wait for long where nothing answers."""


@overload
def observed(function: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def observed(*, name: str | None = None, loop: Loop | None = None) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def observed(
    function: Callable[..., Any] | None = None, /, *, name: str | None = None, loop: Loop | None = None
) -> Any:
    """Track a function or flow, sync or async, in place.

    Use it below `@flow` or `@task`, or around a finished flow. The series are `run_duration_seconds{run="name"}` and
    `run_failed_ratio{run="name"}`. Without `loop` it records to the foreact on this machine; where that cannot be done
    a line is logged, and what was observed goes on.
    """
    if function is None:
        return lambda inner: _observed_as(inner, name, loop)
    return _observed_as(function, name, loop)


def _observed_as(function: Callable[..., Any], name: str | None, loop: Loop | None) -> Callable[..., Any]:
    known_as = name or str(getattr(function, "name", None) or getattr(function, "__name__", "run"))
    # A flow of Prefect's carries its function as `fn`.
    if inspect.iscoroutinefunction(getattr(function, "fn", function)):

        @functools.wraps(function)
        async def observed_async(*args: Any, **kwargs: Any) -> Any:
            with _observing(known_as, loop):
                return await function(*args, **kwargs)

        return observed_async

    @functools.wraps(function)
    def observed_sync(*args: Any, **kwargs: Any) -> Any:
        with _observing(known_as, loop):
            return function(*args, **kwargs)

    return observed_sync


@contextmanager
def _observing(name: str, loop: Loop | None) -> Iterator[None]:
    started_s, failed = time.perf_counter(), ""
    try:
        yield
    except BaseException as trouble:
        failed = type(trouble).__name__
        raise
    finally:
        _record(name, loop, time.perf_counter() - started_s, failed)


def _record(name: str, loop: Loop | None, duration_s: float, failed: str) -> None:
    labels = {"run": name}
    duration = Metric("run_duration_seconds", duration_s, None, labels, "seconds")
    failure = Metric("run_failed_ratio", float(bool(failed)), None, labels, "ratio")
    into = loop or connect(timeout_s=TIMEOUT_S)
    try:
        into.metrics([duration, failure])
        kind = "run_failed" if failed else "run_finished"
        into.event(f"{kind}:{name}", {"duration_s": round(duration_s, 6), "error": failed})
    except Refused as trouble:
        logger.warning("%s was observed, but it is not recorded: %s", name, trouble)
    finally:
        if loop is None:
            into.close()
