"""A real CPU load in steps: one process whose threads keep every core busy for a share of the time.

    python tests/e2e/load.py NAME SECONDS_A_STEP SHARE [SHARE …]

NAME becomes the process name, so that an allow-list can name it. The last share is held until the process is ended.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import sys
import threading
import time

PR_SET_NAME = 15
PERIOD_S = 0.1
BLOCK = bytes(1 << 20)


def burn(share: list[float]) -> None:
    """Hash for a share of each period, without holding the interpreter's lock, and sleep for the rest."""
    while True:
        until_s = time.perf_counter() + share[0] * PERIOD_S
        while time.perf_counter() < until_s:
            hashlib.sha256(BLOCK).digest()
        time.sleep(max(0.0, (1 - share[0]) * PERIOD_S))


def main() -> None:
    name, seconds, shares = sys.argv[1], float(sys.argv[2]), [float(each) for each in sys.argv[3:]]
    ctypes.CDLL(None).prctl(PR_SET_NAME, name.encode(), 0, 0, 0)
    share = [shares[0]]
    for _ in range(os.cpu_count() or 1):
        threading.Thread(target=burn, args=(share,), daemon=True).start()
    for share[0] in shares:
        time.sleep(seconds)
    threading.Event().wait()


if __name__ == "__main__":
    main()
