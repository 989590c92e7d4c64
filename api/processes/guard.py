"""Outlives the supervisor by seconds: when it is gone, however it went, ends everything that it had started.

Run as `python -m api.processes.guard TOKEN` with a pipe from the supervisor as standard input. The pipe closes when the
supervisor ends, even by `kill -9`; a parent-death signal would reach only direct children, and not flow runs.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time

GRACE_S = 3.0
TRIES = 20


def main(token: str) -> None:
    """Wait until the supervisor is gone, then end what is left of its stack."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.read(sys.stdin.fileno(), 4096):
        pass
    sweep(token)


def sweep(token: str) -> int:
    """End every process of a stack, gently first; return how many there were."""
    # Imported late, so that a waiting guard stays small.
    from api.processes.living import members

    first = [member.pid for member in members(token)]
    for pid in first:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + (GRACE_S if first else 0)
    while time.monotonic() < deadline and any(members(token)):
        time.sleep(0.1)
    for _ in range(TRIES):
        left = [member.pid for member in members(token)]
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if not left:
            break
        time.sleep(0.1)
    return len(first)


if __name__ == "__main__":
    main(sys.argv[1])
