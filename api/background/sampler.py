"""A thread that samples this host on a steady beat and loses nothing for an hour when the store does not answer."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from handlers.support.top_consumers import ConsumerWatch
from storage import Store
from storage.records import Sample

logger = logging.getLogger(__name__)

KEPT_S = 3_600.0


class Source(Protocol):
    """Something that can be sampled again and again."""

    def sample(self, tick: datetime) -> Sequence[Sample]:
        """Return one sample of each series, stamped `tick`."""
        ...


class Beat:
    """A steady schedule on the monotonic clock; beats that were missed are skipped, not made up for."""

    def __init__(self, interval_s: float, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._interval_s, self._clock_s = interval_s, clock_s
        self._next_s = clock_s()

    def wait_s(self) -> float:
        """Return how long to wait for the next beat, and count it as taken."""
        now_s = self._clock_s()
        missed = max(0, int((now_s - self._next_s) // self._interval_s))
        self._next_s += (missed + 1) * self._interval_s
        return max(0.0, self._next_s - now_s)


class TroubleLog:
    """Say each kind of trouble once, and once more when it is over."""

    def __init__(self, what: str) -> None:
        self._what, self._kind, self._count = what, "", 0

    def begin(self, trouble: BaseException) -> None:
        """Note a failure; log it where its kind is new."""
        kind = type(trouble).__name__
        self._count += 1
        if kind != self._kind:
            logger.warning("%s: %s: %s", self._what, kind, str(trouble).partition("\n")[0])
        self._kind = kind

    def end(self) -> None:
        """Note a success; log that the trouble is over where there was some."""
        if self._count:
            logger.info("%s: recovered after %d failures", self._what, self._count)
        self._kind, self._count = "", 0


class Worker:
    """A daemon thread that takes a step on every beat and outlives every failure of it."""

    def __init__(self, name: str, interval_s: float, step: Callable[[], None]) -> None:
        self._beat = Beat(interval_s)
        self._step, self._trouble = step, TroubleLog(name)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """End after the step in hand."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def is_running(self) -> bool:
        """Tell whether the thread lives."""
        return self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopping.wait(self._beat.wait_s()):
            try:
                self._step()
            except Exception as trouble:
                self._trouble.begin(trouble)
            else:
                self._trouble.end()


class Sampler:
    """Samples a source into the store; what cannot be written is kept and written later."""

    def __init__(
        self,
        source: Source,
        store: Store,
        clock: Callable[[], datetime],
        interval_s: float,
        watch: ConsumerWatch | None = None,
    ) -> None:
        """Sample `source` every `interval_s`; `watch` notes who used most where a sample stands out."""
        self._source, self._store, self._clock, self._watch = source, store, clock, watch
        self._unwritten: deque[Sequence[Sample]] = deque(maxlen=max(1, int(KEPT_S / interval_s)))

    def step(self) -> None:
        """Take one sample, then write it and all that waits, oldest first; raises where the store does."""
        samples = self._source.sample(self._clock())
        self._unwritten.append(samples)
        noted = self._watch.look(samples) if self._watch is not None else []
        while self._unwritten:
            self._store.samples.append(self._unwritten[0])
            self._unwritten.popleft()
        self._store.consumers.append(noted)
