"""Take the two pictures of README from a demo that serves its pages: dashboard.png and metric.png.

`foreact demo --port 5099`, then in another terminal `.venv/bin/python -m docs.take_pictures http://127.0.0.1:5099`.
"""

from __future__ import annotations

import base64
import sys
import tempfile
from pathlib import Path

from tests.api.dashboard.browser import Tab, browser, soon

PICTURES = {"dashboard.png": ("/", 1_100), "metric.png": ("/series/shop_response_ms", 1_000)}
"""Page and height of each; all are as wide as the widest layout needs."""
WIDTH = 1_280
IS_DRAWN = """document.querySelector("#chart") ? !!document.querySelector("#chart .main-svg")
: document.querySelectorAll("svg").length > 2"""


def take(tab: Tab, address: str, height: int) -> bytes:
    """Return the picture of the upper part of a page, once its charts are drawn."""
    tab.resize(WIDTH, height)
    tab.call("Emulation.setScrollbarsHidden", hidden=True)
    tab.open(address)
    soon("its charts", lambda: tab.run(IS_DRAWN))
    return base64.b64decode(tab.call("Page.captureScreenshot")["data"])


def main() -> None:
    """Take all pictures into this folder."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home, browser(Path(home)) as tab:
        for name, (path, height) in PICTURES.items():
            (Path(__file__).parent / name).write_bytes(take(tab, f"{sys.argv[1]}{path}", height))


if __name__ == "__main__":
    main()
