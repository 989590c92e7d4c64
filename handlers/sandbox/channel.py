"""The parent's side of talking to a handler's child: one call out, one answer in, and what it prints meanwhile."""

from __future__ import annotations

import os
import selectors
import subprocess
import threading
import time
from types import TracebackType

MAX_OUTPUT_CHARS = 2_000
KEPT_OUTPUT_BYTES = 4 * MAX_OUTPUT_CHARS
POLL_S = 0.25
LEAVING_S = 2.0
"""How long a child may take to leave after it has answered."""


class Conversation:
    """One call of a child process whose stdout is a pipe and which answers on a pipe of its own."""

    def __init__(self, child: subprocess.Popen[bytes], answer_fd: int) -> None:
        self._child = child
        self._answer_fd = answer_fd
        self._answer = bytearray()
        self._output = bytearray()
        self._selector = selectors.DefaultSelector()
        assert child.stdout is not None
        self._selector.register(answer_fd, selectors.EVENT_READ, self._answer)
        self._selector.register(child.stdout.fileno(), selectors.EVENT_READ, self._output)

    def __enter__(self) -> Conversation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._selector.close()
        os.close(self._answer_fd)

    @property
    def answer(self) -> bytes | None:
        """Return the answer, or None while it is not whole."""
        return bytes(self._answer[8:]) if self._is_whole else None

    @property
    def output(self) -> str:
        """Return the end of what the child printed."""
        return self._output.decode(errors="replace")[-MAX_OUTPUT_CHARS:].strip()

    @property
    def is_over(self) -> bool:
        """Tell whether the child has ended, without reaping it, so that its process group keeps its id."""
        if not hasattr(os, "waitid"):
            return self._child.poll() is not None
        return os.waitid(os.P_PID, self._child.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None

    def hold(self, payload: bytes, limit_s: float) -> bool:
        """Send the call and read until the child has answered or ended; False when time was up before."""
        deadline_s = time.monotonic() + limit_s
        threading.Thread(target=self._send, args=(payload,), daemon=True).start()
        while not self._is_whole and not self.is_over:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                return False
            self._read(min(left_s, POLL_S))
        leave_by_s = time.monotonic() + LEAVING_S
        while not self.is_over and time.monotonic() < leave_by_s:
            self._read(0.01)
        while self._read(0):
            pass
        return True

    @property
    def _is_whole(self) -> bool:
        return len(self._answer) >= 8 and len(self._answer) >= 8 + int.from_bytes(self._answer[:8], "big")

    def _send(self, payload: bytes) -> None:
        """Write the call and leave stdin open: the child takes its end for the end of this process."""
        stdin = self._child.stdin
        assert stdin is not None
        try:
            stdin.write(len(payload).to_bytes(8, "big") + payload)
            stdin.flush()
        except (OSError, ValueError):
            pass

    def _read(self, timeout_s: float) -> int:
        """Wait for something to read and read it; returns how many bytes there were."""
        if not self._selector.get_map():
            time.sleep(timeout_s)
            return 0
        total = 0
        for key, _ in self._selector.select(timeout_s):
            chunk = os.read(key.fd, 65_536)
            total += len(chunk)
            if not chunk:
                self._selector.unregister(key.fd)
            key.data.extend(chunk)
        del self._output[:-KEPT_OUTPUT_BYTES]
        return total
