"""StatsD over UDP: a thread that reads datagrams, and a beat that writes what they come down to."""

from __future__ import annotations

import logging
import socket
import threading
import time

from api.background.sampler import TroubleLog
from api.commands.record_points import record_points
from api.facade import Facade
from api.models.statsd_lines import StatsdBuffer
from storage.errors import ForeactError

MOST_BYTES = 65_535
WAITS_S = 0.5
RECEIVE_BUFFER_BYTES = 4_000_000

logger = logging.getLogger(__name__)


class LineRefused(ValueError):
    """A line that was sent is no StatsD."""


class StatsdListener:
    """Listens on a UDP port; `step` writes what came since the last step. What is refused is counted and told once."""

    def __init__(self, facade: Facade, host: str, port: int) -> None:
        self._facade, self._buffer, self._lock = facade, StatsdBuffer(), threading.Lock()
        self._trouble, self._since_s = TroubleLog("statsd"), time.monotonic()
        self._socket = _bound(host, port)
        self.port = int(self._socket.getsockname()[1])
        self._thread = threading.Thread(target=self._listen, name="statsd_listener", daemon=True)
        self._is_open = True
        self._thread.start()

    def step(self) -> None:
        """Write what was sent since the last step; where the store does not take it, it is lost, as UDP may be."""
        now_s = time.monotonic()
        with self._lock:
            points = list(self._buffer.take(max(1e-3, now_s - self._since_s), now_s))
            self._since_s = now_s
        if points:
            record_points(self._facade, points)

    def close(self) -> None:
        """Stop listening."""
        self._is_open = False
        self._thread.join(5)
        self._socket.close()

    def _listen(self) -> None:
        while self._is_open:
            try:
                datagram = self._socket.recv(MOST_BYTES)
            except TimeoutError:
                continue
            except OSError as trouble:
                self._trouble.begin(trouble)
                time.sleep(WAITS_S)
                continue
            self._take_in(datagram.decode("utf-8", "replace"))

    def _take_in(self, text: str) -> None:
        now_s = time.monotonic()
        with self._lock:
            refused = [why for line in text.split("\n") if line.strip() and (why := self._buffer.add(line, now_s))]
        if refused:
            self._facade.counters.add("samples_refused", len(refused))
            self._trouble.begin(LineRefused(refused[0]))


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_DGRAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        opened.settimeout(WAITS_S)
        opened.bind((host, port))
    except OSError as trouble:
        opened.close()
        raise ForeactError(
            "statsd_port_taken",
            f"StatsD cannot listen on UDP port {port} of {host}: {trouble.strerror or trouble}.",
            "Choose another `server.statsd_port`, or end what uses it.",
            status=409,
        ) from None
    return opened
