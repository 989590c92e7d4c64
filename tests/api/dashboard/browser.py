"""Debian's Chromium, driven over its own protocol: what a page shows, what it complains of, and real clicks on it."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import httpx
from websockets.sync.client import ClientConnection, connect

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
PICTURES = Path(os.environ["FOREACT_TEST_PICTURES"]) if os.environ.get("FOREACT_TEST_PICTURES") else None
"""The folder in which each page's picture is to be kept, for people to look at."""
PATIENCE_S = 60.0
GRAVE = """axe.run(%s, {resultTypes: ["violations"], %s}).then(all => all.violations.filter(
  each => ["serious", "critical"].includes(each.impact)).map(
  each => each.id + ": " + each.nodes.slice(0, 3).map(node => node.html.slice(0, 160)).join(" | ")))"""
T = TypeVar("T")


def soon(what: str, look: Callable[[], T]) -> T:
    """Return what a look finds as soon as that is something."""
    ends_s = time.monotonic() + PATIENCE_S
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > ends_s:
            raise AssertionError(f"{what} did not come within {PATIENCE_S:g} s")
        time.sleep(0.01)


class Tab:
    """One page of a browser."""

    def __init__(self, line: ClientConnection) -> None:
        self._line, self._number, self._events = line, 0, list[dict[str, Any]]()
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        self._line.send(json.dumps({"id": self._number, "method": method, "params": params}))
        while True:
            told = json.loads(self._line.recv(PATIENCE_S))
            if told.get("id") == self._number:
                assert "error" not in told, told
                return dict(told["result"])
            self._events.append(told)

    def run(self, script: str) -> Any:
        """Return what a script comes to, a promise when it is kept."""
        told = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def open(self, address: str) -> None:
        # What the page before had still in mind, such as to load itself again, ends with it.
        for url in ("about:blank", address):
            self._events.clear()
            self.call("Page.navigate", url=url)
            is_there = f"location.href === new URL({json.dumps(url)}).href && document.readyState === 'complete'"
            soon(url, partial(self._is_at, url, is_there, time.monotonic()))

    def _is_at(self, url: str, is_there: str, since_s: float) -> bool:
        """Tell whether a page is open; a page before that loaded itself again at that moment is left once more."""
        found = bool(self.run(is_there))
        if not found and url == "about:blank" and time.monotonic() - since_s > 1:
            self.call("Page.navigate", url=url)
        return found

    def click(self, selector: str) -> None:
        """Click where an element is, as a person does."""
        place = soon(
            selector,
            lambda: self.run(
                f"""(() => {{ const found = document.querySelector({json.dumps(selector)}); if (!found) return null;
                found.scrollIntoView({{block: 'center'}}); const box = found.getBoundingClientRect();
                return {{x: box.x + box.width / 2, y: box.y + box.height / 2}}; }})()"""
            ),
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **place)

    def type(self, selector: str, text: str) -> None:
        """Write a text in place of what a field holds."""
        self.run(f"document.querySelector({json.dumps(selector)}).focus()")
        self.run("document.activeElement.select()")
        self.call("Input.insertText", text=text)

    def complaints(self) -> list[str]:
        """Return the errors and warnings of the page so far."""
        self.run("1")
        told = []
        for event in self._events:
            params = event.get("params", {})
            if event["method"] == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
                told.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
            if event["method"] == "Runtime.exceptionThrown":
                told.append(json.dumps(params["exceptionDetails"])[:500])
            if event["method"] == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
                told.append(json.dumps(params["args"])[:500])
        return told

    def grave(self, what: str = "document", rules: str = "") -> list[str]:
        """Return what axe-core finds serious or critical in a part of the page, by some of its rules or all."""
        if self.run("typeof axe") == "undefined":
            self.run(f"{_axe_script()}; 1")
        return list(self.run(GRAVE % (what, rules)))

    def asked(self) -> list[str]:
        """Return the addresses that the page asked for."""
        return [
            each["params"]["request"]["url"] for each in self._events if each["method"] == "Network.requestWillBeSent"
        ]

    def first_paint_ms(self) -> float:
        return float(
            soon(
                "a paint",
                lambda: self.run("(performance.getEntriesByName('first-contentful-paint')[0] || {}).startTime"),
            )
        )

    def resize(self, width: int, height: int) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 700
        )

    def picture(self, file: Path) -> None:
        """Keep the picture of the whole page, however long."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        told = self.call("Page.captureScreenshot", captureBeyondViewport=True, clip={**size, "scale": 1})
        file.write_bytes(base64.b64decode(told["data"]))


@cache
def _axe_script() -> str:
    spec = find_spec("axe_core_python")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return (Path(spec.submodule_search_locations[0]) / "axe.min.js").read_text()


@contextmanager
def browser(home: Path) -> Iterator[Tab]:
    """Run a browser without a window, with a home of its own."""
    assert BROWSER is not None
    switches = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    program = subprocess.Popen(
        [BROWSER, *switches, "--remote-debugging-port=0", f"--user-data-dir={home}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        file = home / "DevToolsActivePort"
        soon("the browser", lambda: file.exists() and len(file.read_text().splitlines()) > 1)
        told = httpx.get(f"http://127.0.0.1:{file.read_text().splitlines()[0]}/json", trust_env=False).json()
        address = next(each["webSocketDebuggerUrl"] for each in told if each["type"] == "page")
        with connect(address, max_size=None, proxy=None) as line:
            yield Tab(line)
    finally:
        program.kill()
        program.wait(20)
